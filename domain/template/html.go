package template

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"annals/domain"
)

// place says for each placeholder in HTML how a value is escaped where it stands. It
// takes no more than the form that package safehtml writes, in which no two programs can
// see different things: attributes in double quotes, and < > " nowhere else than where
// they are part of a tag.
func place(field string, pieces []piece) error {
	s := scanner{field: field}
	for i, p := range pieces {
		if !p.hole {
			if err := s.literal(p.literal); err != nil {
				return err
			}
			continue
		}
		escape, err := s.placeholder(p.path)
		if err != nil {
			return err
		}
		pieces[i].escape = escape
	}
	if s.where != inText {
		return s.malformed()
	}
	return nil
}

type position uint8

const (
	inText  position = iota
	inTag            // after <
	inValue          // of an attribute
)

// scanner knows where in HTML it is.
type scanner struct {
	field string
	where position
	tag   string // so far
	value string // so far, without placeholders
	whole bool   // a placeholder is the whole value
}

func (s *scanner) malformed() error {
	return domain.Fault(s.field, "html", "is not well-formed")
}

func (s *scanner) literal(text string) error {
	for i := range len(text) {
		c := text[i]
		switch {
		case s.where == inText && c == '<':
			s.where, s.tag = inTag, ""
		case s.where == inText && c == '>':
			return s.malformed()
		case s.where == inText:
		case s.where == inTag && c == '>':
			if !tag.MatchString(s.tag) || slices.Contains(raw, strings.ToLower(element.FindString(s.tag))) {
				return s.malformed()
			}
			s.where = inText
		case s.where == inTag && c == '"':
			s.where, s.value, s.whole = inValue, "", false
			s.tag += `"`
		case s.where == inTag:
			s.tag += string(rune(c))
		case c == '"':
			s.where = inTag
			s.tag += `"`
		case c == '<', c == '>', s.whole:
			return s.malformed()
		default:
			s.value += string(rune(c))
		}
	}
	return nil
}

var (
	// tag is what is between < and >, without the values of its attributes.
	tag = regexp.MustCompile(`^(/[a-zA-Z][a-zA-Z0-9]*|[a-zA-Z][a-zA-Z0-9]*( [a-zA-Z-]+="")*/?)$`)
	// element is its name.
	element = regexp.MustCompile(`^[a-zA-Z0-9]+`)
	// raw are elements whose content is no HTML.
	raw = []string{"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext", "template", "svg", "math"}
	// attribute is the one whose value begins.
	attribute = regexp.MustCompile(` ([a-zA-Z-]+)="$`)
	// site is the beginning of a web address, up to where a part of it may be a value.
	site = regexp.MustCompile(`^(?i)https?://[^/?#\\]+[/?#]`)
	// direct is the beginning of another address.
	direct = regexp.MustCompile(`^(?i)(mailto|tel):`)
)

func (s *scanner) placeholder(path string) (func(string) string, error) {
	switch s.where {
	case inText:
		return intoText, nil
	case inTag:
		return nil, domain.Fault(s.field, "placeholder", "has {{%s}} where no value can stand", path)
	case inValue:
	}
	name := ""
	if m := attribute.FindStringSubmatch(s.tag); m != nil {
		name = strings.ToLower(m[1])
	}
	before := html.UnescapeString(s.value)
	switch {
	case s.whole:
	case name == "alt" || name == "title":
		return intoValue, nil
	case name != "href" && name != "src":
	case before == "":
		s.whole = true
		return intoAddress, nil
	case site.MatchString(before):
		return intoPart, nil
	case direct.MatchString(before) && name == "href":
		return func(v string) string { return strings.ReplaceAll(intoPart(v), "%40", "@") }, nil
	}
	return nil, domain.Fault(s.field, "placeholder", "has {{%s}} in the attribute %s, where no value can stand: of an address it is all, or stands behind the host", path, name)
}

func intoText(v string) string {
	return strings.ReplaceAll(html.EscapeString(v), "\n", "<br>")
}

func intoValue(v string) string {
	return html.EscapeString(strings.Join(strings.Fields(v), " "))
}

func intoPart(v string) string {
	return strings.ReplaceAll(url.QueryEscape(strings.Join(strings.Fields(v), " ")), "+", "%20")
}

// intoAddress is empty for what is no web, mail or phone address. One of the web may be
// without its scheme, as people type them.
func intoAddress(v string) string {
	u, err := url.Parse(v)
	if err == nil && u.Scheme == "" && !strings.HasPrefix(v, "/") && strings.Contains(v, ".") {
		u, err = url.Parse("https://" + v)
	}
	if err != nil || u.User != nil {
		return ""
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return ""
		}
	case "mailto", "tel":
	default:
		return ""
	}
	return html.EscapeString(u.String())
}
