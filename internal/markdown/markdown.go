// Package markdown reads the Markdown that people write: CommonMark with the tables,
// strikethrough, task lists and links of GitHub Flavored Markdown. It makes HTML of it
// that is safe to show, and finds the colleagues that it mentions.
//
// HTML in a text is text: it is shown as it was written. What comes out has passed a
// list of the elements and attributes that there may be, whatever the parser made:
// TestVectors holds that with attacks, FuzzHTML with whatever comes to its mind, and
// TestAttacksOnTime that no text takes long.
package markdown

import (
	"bytes"
	"html"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	rendered "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"
)

// Most is how long a text may be, in characters. A longer one is shown as it is.
const Most = 20_000

// reader has the parsers of goldmark without those of HTML.
var reader = goldmark.New(
	goldmark.WithParser(parser.NewParser(
		parser.WithBlockParsers(
			util.Prioritized(parser.NewSetextHeadingParser(), 100),
			util.Prioritized(parser.NewThematicBreakParser(), 200),
			util.Prioritized(parser.NewListParser(), 300),
			util.Prioritized(parser.NewListItemParser(), 400),
			util.Prioritized(parser.NewCodeBlockParser(), 500),
			util.Prioritized(parser.NewATXHeadingParser(), 600),
			util.Prioritized(parser.NewFencedCodeBlockParser(), 700),
			util.Prioritized(parser.NewBlockquoteParser(), 800),
			util.Prioritized(parser.NewParagraphParser(), 1000),
		),
		parser.WithInlineParsers(
			util.Prioritized(parser.NewCodeSpanParser(), 100),
			util.Prioritized(parser.NewLinkParser(), 200),
			util.Prioritized(parser.NewAutoLinkParser(), 300),
			util.Prioritized(parser.NewEmphasisParser(), 500),
		),
		parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...),
	)),
	goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
		extension.Strikethrough,
		extension.TaskList,
		extension.NewLinkify(extension.WithLinkifyAllowedProtocols([]string{"http:", "https:"})),
	),
	goldmark.WithRendererOptions(
		rendered.WithHardWraps(), // a new line is one, as people write notes
		renderer.WithNodeRenderers(util.Prioritized(ours{}, 10)),
	),
)

// policy is what there may be in the HTML.
var policy = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "blockquote", "ul", "li",
		"table", "thead", "tbody", "tr", "th", "td", "ol")
	p.AllowAttrs("start").Matching(regexp.MustCompile(`^[0-9]{1,9}$`)).OnElements("ol")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(left|center|right)$`)).OnElements("th", "td")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^mention$`)).OnElements("span")
	p.AllowAttrs("data-employee").Matching(regexp.MustCompile("^" + uuidPattern + "$")).OnElements("span")
	p.AllowURLSchemes("mailto")
	for _, scheme := range []string{"http", "https"} {
		p.AllowURLSchemeWithCustomPolicy(scheme, func(u *url.URL) bool { return u.Host != "" }) // as browsers read https:example.com
	}
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return p
}()

// HTML is the text as HTML that can be put into a page as it is. Links lead outside, in a
// page of their own that learns nothing of this one. What mentions an employee by their
// id is <span class="mention" data-employee="ID">. Nothing is loaded from anywhere:
// images are links.
func HTML(text string) string {
	if text == "" {
		return ""
	}
	if !parseable(text) {
		return plain(text)
	}
	var out bytes.Buffer
	if err := reader.Convert([]byte(text), &out); err != nil {
		return plain(text)
	}
	return policy.SanitizeReader(&out).String()
}

// plain is a text as it was written.
func plain(text string) string {
	return "<pre>" + html.EscapeString(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\ufffd")) + "</pre>"
}

// parseable says whether a text is one for the parser.
func parseable(text string) bool {
	return utf8.ValidString(text) && !strings.Contains(text, "\x00") && utf8.RuneCountInString(text) <= Most && !unbounded(text)
}
