// Package safehtml makes HTML harmless, whoever wrote it: what is left runs nothing, and
// loads nothing but images. The sanitiser is bluemonday, which allows what is listed and
// nothing else; TestNothingRuns holds it against a list of attacks.
package safehtml

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
)

// Mail is HTML as it may be sent, and shown: what mail programs know of layout, with
// styles where they stand, links to web, mail and phone addresses, and images of the web.
//
// Tags that nobody closes are left open.
func Mail(s string) string { return steady(mail.Sanitize(s)) }

// Template is [Mail] for what has placeholders, {{…}}, which stay as they are: also where
// the address of a link or image is to be, so that what they were filled into has to go
// through Mail as well.
func Template(s string) string {
	mark := "ph"
	for strings.Contains(strings.ToLower(s), mark) {
		mark += "x"
	}
	var found []string
	s = placeholder.ReplaceAllStringFunc(s, func(p string) string {
		found = append(found, p)
		return fmt.Sprintf("%s%dz", mark, len(found)-1)
	})
	s = steady(template.Sanitize(s))
	for i, p := range found {
		s = strings.ReplaceAll(s, fmt.Sprintf("%s%dz", mark, i), p)
	}
	return s
}

// steady has a tag end where it does after Unicode normalisation as well, which makes one
// character of > and U+0338.
func steady(s string) string { return strings.ReplaceAll(s, ">\u0338", ">&#824;") }

// placeholder is what package template takes for one.
var placeholder = regexp.MustCompile(`\{\{[^{}]*\}\}`)

var mail, template = policy(), policy().AllowRelativeURLs(true)

func policy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements(
		"p", "br", "hr", "div", "span", "center", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd",
		"b", "strong", "i", "em", "u", "s", "strike", "del", "ins", "small", "big", "sub", "sup", "mark", "code", "pre", "tt", "kbd", "samp",
		"blockquote", "q", "cite", "abbr", "address", "a", "img", "font",
		"table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td",
	)
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src").OnElements("img")
	p.AllowAttrs("alt", "title").Globally()
	p.AllowURLSchemes("http", "https", "mailto", "tel")
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)

	length := regexp.MustCompile(`^[0-9]{1,5}(\.[0-9]{1,3})?(px|%)?$`)
	p.AllowAttrs("width", "height").Matching(length).OnElements("img", "table", "td", "th", "tr", "col", "hr")
	p.AllowAttrs("cellpadding", "cellspacing", "border", "colspan", "rowspan", "span", "start", "size").Matching(regexp.MustCompile(`^[0-9]{1,5}$`)).Globally()
	p.AllowAttrs("align", "valign").Matching(regexp.MustCompile(`^(?i)(left|right|center|justify|top|middle|bottom|baseline)$`)).Globally()
	p.AllowAttrs("bgcolor", "color").Matching(regexp.MustCompile(`^(?i)(#[0-9a-f]{3,8}|[a-z]{3,20})$`)).Globally()
	p.AllowAttrs("face").Matching(regexp.MustCompile(`^[a-zA-Z0-9 ,'-]{1,200}$`)).OnElements("font")
	p.AllowAttrs("dir").Matching(regexp.MustCompile(`^(?i)(ltr|rtl|auto)$`)).Globally()
	p.AllowAttrs("lang").Matching(regexp.MustCompile(`^[a-zA-Z0-9-]{1,35}$`)).Globally()
	p.AllowStyles(
		"color", "background-color", "font-family", "font-size", "font-weight", "font-style", "line-height", "letter-spacing",
		"text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "white-space",
		"margin", "margin-top", "margin-right", "margin-bottom", "margin-left",
		"padding", "padding-top", "padding-right", "padding-bottom", "padding-left",
		"border", "border-top", "border-right", "border-bottom", "border-left", "border-color", "border-style", "border-width",
		"border-radius", "border-collapse", "border-spacing",
		"width", "height", "max-width", "min-width", "max-height", "min-height", "display",
	).MatchingHandler(harmless).Globally()
	return p
}

// harmless says whether a value of a style is one: words, numbers, colours and lengths.
// Nothing is loaded or computed, and nothing is escaped.
func harmless(value string) bool {
	return style.MatchString(value) && !strings.Contains(strings.ToLower(value), "expression")
}

var style = regexp.MustCompile(`^[a-zA-Z0-9 ,.#%'"-]{1,200}$|^(?i)rgba?\([0-9 ,.%]{1,40}\)$`)
