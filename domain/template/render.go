package template

import (
	"html"
	"strings"
	"unicode"

	"annals/domain"
)

// piece is a part of a text: as it is written, or a placeholder.
type piece struct {
	literal        string
	hole           bool
	path, fallback string
	escape         func(string) string // into where it stands in HTML
}

// parse takes a text apart at its placeholders, {{path}} or {{path|fallback}}, and
// faults those that there are not. There is no more to the language: no conditions,
// loops or calls, and what is put in is not looked at again.
func parse(field, s string) ([]piece, error) {
	var f domain.Faults
	var pieces []piece
	for {
		before, rest, open := strings.Cut(s, "{{")
		if before != "" {
			pieces = append(pieces, piece{literal: before})
		}
		if !open {
			return pieces, f.Err()
		}
		inside, after, closed := strings.Cut(rest, "}}")
		if !closed || strings.ContainsAny(inside, "{}") {
			f.Add(domain.Fault(field, "placeholder", "has {{ without the }} that ends it"))
			return nil, f.Err()
		}
		path, fallback, _ := strings.Cut(inside, "|")
		path = strings.TrimSpace(path)
		if !known(path) {
			f.Add(domain.Fault(field, "placeholder", "has {{%s}}, which is no placeholder", path))
		}
		pieces = append(pieces, piece{hole: true, path: path, fallback: strings.TrimSpace(fallback)})
		s = after
	}
}

// Render fills in the values. The subject is one line, whatever they hold. In the HTML
// they are text, whatever they hold: escaped for where they stand, and in the address
// of a link never more than a web, mail or phone address.
func (t Text) Render(v Values) (subject, text, htm string, err error) {
	var f domain.Faults
	parts := func(field, s string) []piece {
		pieces, err := parse(field, s)
		f.Add(err)
		return pieces
	}
	filled := func(field string, pieces []piece, how func(string) string) string {
		s, ok := fill(pieces, v, how)
		if !ok {
			f.Add(domain.Fault(field, "too_long", "has more than %d bytes when the values are filled in", maxFilled))
		}
		return s
	}
	subject = domain.Text(filled("subject", parts("subject", t.Subject), plain))
	text = domain.LongText(filled("text", parts("text", t.Text), plain))
	pieces := parts("html", t.HTML)
	f.Add(place("html", pieces))
	if err := f.Err(); err != nil {
		return "", "", "", err
	}
	for i, p := range pieces {
		pieces[i].fallback = html.UnescapeString(p.fallback)
	}
	htm = filled("html", pieces, nil)
	return subject, text, htm, f.Err()
}

// maxFilled is how long something may become, in bytes: a value can stand there often.
const maxFilled = 200_000

// fill puts the pieces together, the values escaped by how, or as each piece says. It
// gives up what becomes too long.
func fill(pieces []piece, v Values, how func(string) string) (string, bool) {
	var b strings.Builder
	for _, p := range pieces {
		if b.Len() > maxFilled {
			return "", false
		}
		if !p.hole {
			b.WriteString(p.literal)
			continue
		}
		value, escape := clean(v.at(p.path)), how
		if value == "" {
			value = p.fallback
		}
		if escape == nil {
			escape = p.escape
		}
		b.WriteString(escape(value))
	}
	return b.String(), b.Len() <= maxFilled
}

func plain(s string) string { return s }

// clean drops what is no text: values were checked when they were stored, by the rules
// of then.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s))
}
