package markdown

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// allowed are the elements and attributes that there may be in a page, said anew, so
// that a slip in the policy is found.
var allowed = map[string][]string{
	"p": nil, "br": nil, "hr": nil, "h1": nil, "h2": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil,
	"em": nil, "strong": nil, "del": nil, "code": nil, "pre": nil, "blockquote": nil,
	"ul": nil, "ol": {"start"}, "li": nil,
	"table": nil, "thead": nil, "tbody": nil, "tr": nil, "th": {"align"}, "td": {"align"},
	"a": {"href", "rel", "target"}, "span": {"class", "data-employee"},
}

var values = map[string]*regexp.Regexp{
	"start":         regexp.MustCompile(`^[0-9]+$`),
	"align":         regexp.MustCompile(`^(left|right|center)$`),
	"class":         regexp.MustCompile(`^mention$`),
	"data-employee": regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"target":        regexp.MustCompile(`^_blank$`),
}

// unsafe says what there is in the HTML that may not be, as a browser reads it, and reads
// it again after it has written it down itself.
func unsafe(out string) error {
	if !utf8.ValidString(out) {
		return fmt.Errorf("is not UTF-8: %q", out)
	}
	for range 3 {
		body := &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body}
		nodes, err := html.ParseFragment(strings.NewReader(out), body)
		if err != nil {
			return err
		}
		var again bytes.Buffer
		for _, n := range nodes {
			if err := unsafeNode(n); err != nil {
				return err
			}
			if err := html.Render(&again, n); err != nil {
				return err
			}
		}
		out = again.String()
	}
	return nil
}

func unsafeNode(n *html.Node) error {
	switch n.Type { //nolint:exhaustive // nothing else may be there
	case html.TextNode:
	case html.ElementNode:
		attributes, ok := allowed[n.Data]
		if !ok || n.Namespace != "" {
			return fmt.Errorf("there is an element %s %s", n.Namespace, n.Data)
		}
		for _, a := range n.Attr {
			if !slices.Contains(attributes, a.Key) || a.Namespace != "" {
				return fmt.Errorf("%s has an attribute %s", n.Data, a.Key)
			}
			if form := values[a.Key]; form != nil && !form.MatchString(a.Val) {
				return fmt.Errorf("%s of %s is %q", a.Key, n.Data, a.Val)
			}
		}
		if n.Data == "a" {
			if err := unsafeLink(n); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("there is a node %d %q", n.Type, n.Data)
	}
	for c := range n.ChildNodes() {
		if err := unsafeNode(c); err != nil {
			return err
		}
	}
	return nil
}

func unsafeLink(n *html.Node) error {
	get := func(key string) string {
		for _, a := range n.Attr {
			if a.Key == key {
				return a.Val
			}
		}
		return ""
	}
	href := get("href")
	if href == "" {
		return nil
	}
	// As browsers do: they drop what is invisible, and take a backslash for a slash.
	seen := strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, href)
	u, err := url.Parse(strings.ReplaceAll(seen, `\`, "/"))
	if err != nil {
		return fmt.Errorf("href %q: %w", href, err)
	}
	rel := strings.Fields(get("rel"))
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" || get("target") != "_blank" || !slices.Contains(rel, "noopener") {
			return fmt.Errorf("a link to %q has host %q, target %q, rel %q", href, u.Host, get("target"), rel)
		}
	case "mailto":
	default:
		return fmt.Errorf("a link to %q", href)
	}
	if !slices.Contains(rel, "nofollow") || !slices.Contains(rel, "noreferrer") {
		return fmt.Errorf("a link to %q has rel %q", href, rel)
	}
	return nil
}

// What unsafe does not find, no test of this package does.
func TestUnsafeIsFound(t *testing.T) {
	t.Parallel()
	for _, out := range []string{
		`<script>1</script>`, `<p onclick="x">a</p>`, `<a href="javascript:x" rel="nofollow noreferrer noopener" target="_blank">a</a>`,
		`<a href=" java&#10;script:x" rel="nofollow noreferrer noopener" target="_blank">a</a>`, `<img src="https://example.com/a.png">`,
		`<p style="color:red">a</p>`, `<svg><a>b</a></svg>`, `<math><mi>a</mi></math>`, `<!-- a -->`, `<a href="https://example.com">a</a>`,
		`<a href="https://example.com" rel="nofollow noreferrer" target="_blank">a</a>`, `<a href="/api" rel="nofollow noreferrer">a</a>`,
		`<a href="//example.com" rel="nofollow noreferrer">a</a>`, `<span class="modal">a</span>`, `<span data-employee="x">a</span>`,
		`<input type="checkbox">`, `<form action="x"></form>`, `<p id="x">a</p>`, `<code class="language-x">a</code>`, "a\xff", `<td align="char">`,
		`<a href="employee:1" rel="nofollow noreferrer">a</a>`, `<iframe></iframe>`, `<ol start="-1"></ol>`, `<a name="x">a</a>`,
	} {
		if out == `<td align="char">` {
			out = "<table><tr>" + out + "a</td></tr></table>"
		}
		if unsafe(out) == nil {
			t.Errorf("passes: %s", out)
		}
	}
}

// No attack comes through: not as an element or attribute that nobody allowed, and what
// is written as HTML is shown as text.
func TestVectors(t *testing.T) {
	t.Parallel()
	all := vectors()
	if len(all) < 150 {
		t.Errorf("only %d vectors", len(all))
	}
	for _, v := range all {
		for _, around := range []string{"%s", "a %s b", "**%s**", "> %s", "- %s", "| a |\n|---|\n| %s |", "[%s](https://example.com)", "![%s](https://example.com)", "# %s", "<div>%s</div>", "[a]: %s\n\n[a] ![a]"} {
			text := strings.Replace(around, "%s", v, 1)
			if err := unsafe(HTML(text)); err != nil {
				t.Errorf("%q: %v\n%s", text, err, HTML(text))
			}
		}
		if err := unsafe(plain(v)); err != nil {
			t.Errorf("%q: %v\n%s", v, err, plain(v))
		}
	}
}

func FuzzHTML(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v)
	}
	for name := range attacks() {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		out := HTML(text)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("takes %v", took)
		}
		if err := unsafe(out); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		for _, m := range Mentions(text) {
			if m.Handle != "" && (!strings.Contains(text, m.Typed) || m.Handle != strings.ToLower(m.Typed[1:])) {
				t.Errorf("%+v is not in the text", m)
			}
		}
	})
}
