package markdown

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// A Mention is what a text calls a colleague.
type Mention struct {
	Typed  string    // as it stands in the text: @ and a handle, or the text of a link
	Handle string    // in lower case; empty where there is an ID
	ID     uuid.UUID // where it is a link to an employee
}

// Mentions are the colleagues that a text mentions, each handle and id once, in their
// order: by @ and the part of an e-mail address before the @, or by a link to employee:ID
// or /employees/ID. What stands in code, in links to elsewhere, in words and in e-mail
// addresses is none, nor is what a backslash stands before.
func Mentions(s string) []Mention {
	if !strings.ContainsRune(s, '@') && !strings.Contains(strings.ToLower(s), "employee") || !parseable(s) {
		return nil
	}
	source := []byte(s)
	f := finder{seen: map[string]bool{}}
	_ = ast.Walk(reader.Parser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.CodeSpan, *ast.AutoLink, *ast.Image, *ast.CodeBlock, *ast.FencedCodeBlock:
			return ast.WalkSkipChildren, nil
		case *ast.Link:
			if id, ok := employeeIn(n.Destination); ok {
				f.add(Mention{Typed: shortened(string(words(n, source))), ID: uuid.MustParse(id)})
			}
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			if prev, ok := n.PreviousSibling().(*ast.Text); ok && prev.Segment.Stop == n.Segment.Start {
				return ast.WalkContinue, nil // has been read with it
			}
			stop := n.Segment.Stop
			for next, ok := n.NextSibling().(*ast.Text); ok && next.Segment.Start == stop; next, ok = next.NextSibling().(*ast.Text) {
				stop = next.Segment.Stop
			}
			f.handles(string(source[n.Segment.Start:stop]))
		}
		return ast.WalkContinue, nil
	})
	return f.found
}

type finder struct {
	found []Mention
	seen  map[string]bool
}

func (f *finder) add(m Mention) {
	key := m.Handle
	if key == "" {
		key = m.ID.String()
	}
	if !f.seen[key] {
		f.seen[key] = true
		f.found = append(f.found, m)
	}
}

// mostHandle is how long the part of an address before the @ can be: RFC 5321 §4.5.3.1.1.
const mostHandle = 64

// handles finds what begins with an @ that nothing stands before that it could belong to.
func (f *finder) handles(s string) {
	for {
		before, after, found := strings.Cut(s, "@")
		if !found {
			return
		}
		last, _ := utf8.DecodeLastRuneInString(before)
		end := strings.IndexFunc(after, func(r rune) bool { return !inHandle(r) })
		if end < 0 {
			end = len(after)
		}
		handle, next := strings.TrimRight(after[:end], "._+-"), after[end:]
		first, _ := utf8.DecodeRuneInString(handle)
		if handle != "" && !strings.ContainsRune(".+-", first) && len(handle) <= mostHandle && !strings.HasPrefix(next, "@") &&
			(before == "" || !inHandle(last) && !strings.ContainsRune(`@\/:`, last)) {
			f.add(Mention{Typed: "@" + handle, Handle: strings.ToLower(handle)})
		}
		s = after[end:]
		if strings.HasPrefix(s, "@") {
			s = strings.TrimLeft(s, "@") // of an address, or of nothing
			s = strings.TrimLeftFunc(s, inHandle)
		}
	}
}

func inHandle(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("._+-", r)
}

func shortened(s string) string {
	if r := []rune(s); len(r) > mostHandle {
		return string(r[:mostHandle]) + "…"
	}
	return s
}
