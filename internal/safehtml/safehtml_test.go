package safehtml

import (
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/text/unicode/norm"
)

// attacks are those in testdata/xss.txt.
func attacks(tb testing.TB) []string {
	tb.Helper()
	raw, err := os.ReadFile("testdata/xss.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if s, err := strconv.Unquote(line); err == nil {
			line = s
		}
		all = append(all, line)
	}
	return all
}

var elements = strings.Fields(`html head body p br hr div span center h1 h2 h3 h4 h5 h6 ul ol li dl dt dd b strong i em u s strike del ins small big
	sub sup mark code pre tt kbd samp blockquote q cite abbr address a img font table caption colgroup col thead tbody tfoot tr th td`)

var attributes = strings.Fields(`href rel target src alt title width height cellpadding cellspacing border colspan rowspan span start size
	align valign bgcolor color face dir lang style`)

// fault is what a program that shows the HTML could be made to do by it: the HTML is
// parsed as browsers do, and held against lists that are not the sanitiser's.
func fault(s string) string {
	doc, err := html.Parse(strings.NewReader(s))
	if err != nil {
		return err.Error()
	}
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.CommentNode || n.Type == html.DoctypeNode:
			return "a comment"
		case n.Type != html.ElementNode:
			continue
		case !slices.Contains(elements, n.Data) || n.Namespace != "":
			return "element " + n.Data
		}
		for _, a := range n.Attr {
			value := strings.ToLower(a.Val)
			switch {
			case !slices.Contains(attributes, a.Key) || a.Namespace != "":
				return "attribute " + a.Key
			case a.Key == "href" || a.Key == "src":
				u, err := url.Parse(a.Val)
				if err != nil || !slices.Contains([]string{"http", "https", "mailto", "tel"}, u.Scheme) {
					return "address " + a.Val
				}
			case strings.ContainsAny(value, "\\<>@{}") && a.Key == "style", strings.Contains(value, "url"), strings.Contains(value, "expression"):
				if a.Key == "style" {
					return "style " + a.Val
				}
			}
		}
	}
	return ""
}

func TestNothingRuns(t *testing.T) {
	t.Parallel()
	all := attacks(t)
	if len(all) < 200 {
		t.Fatalf("only %d attacks", len(all))
	}
	wraps := []string{"%", "<p>%</p>", "<b>%", `<a href="https://x.example/%">x</a>`, `<img alt="%">`, "<table><tr><td>%</table>", "%%", "<p style=\"color:%\">x</p>"}
	for _, attack := range all {
		for _, wrap := range wraps {
			s := strings.ReplaceAll(wrap, "%", attack)
			safe := Mail(s)
			if why := fault(safe); why != "" {
				t.Errorf("%s\n\t%q becomes\n\t%q", why, s, safe)
			}
			if why := fault(norm.NFC.String(safe)); why != "" {
				t.Errorf("normalised: %s\n\t%q becomes\n\t%q", why, s, safe)
			}
			if again := Mail(safe); again != safe {
				t.Errorf("%q changes again\n\t%q\n\t%q", s, safe, again)
			}
		}
	}
}

// The test itself can fail: each attack that is one, as it is, has a fault.
func TestAttacksAreAttacks(t *testing.T) {
	t.Parallel()
	n := 0
	for _, attack := range attacks(t) {
		if fault(attack) != "" {
			n++
		}
	}
	if n < 150 {
		t.Errorf("only %d of the attacks would do anything", n)
	}
}

func TestWhatIsHarmlessStays(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		`<p>Hello <b>Zoë</b>,</p><p style="color: #333; font-family: Arial, sans-serif; font-size: 14px; line-height: 1.5">a &amp; b &lt; c</p>`,
		`<table width="100%" cellpadding="0" cellspacing="0" border="0"><tr><td align="center" bgcolor="#ffffff" style="padding: 10px 20px; background-color: rgb(1, 2, 3)">x</td></tr></table>`,
		`<img src="https://example.com/logo.png" alt="Logo" width="120" height="40">`,
		`<ul><li>one</li></ul><ol start="3"><li>two</li></ol><blockquote>q</blockquote><pre><code>x</code></pre><hr><br>`,
		`<h1 style="text-align: center">x</h1><font color="#f00" face="Arial, Helvetica" size="2">y</font><span dir="rtl" lang="ar">z</span>`,
	} {
		if got := Mail(s); got != s {
			t.Errorf("%s\n\tbecomes\n%s", s, got)
		}
	}
	const link = `<a href="https://example.com/?a=b&amp;c=d" title="x">x</a> <a href="mailto:a@example.com">m</a> <a href="tel:+43123">t</a>`
	got := Mail(link)
	for _, want := range []string{`href="https://example.com/?a=b&amp;c=d"`, `href="mailto:a@example.com"`, `href="tel:+43123"`, `rel="nofollow noreferrer noopener"`, `target="_blank"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

func TestPlaceholdersStay(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`<p>{{client.name|d'accord <b>&}}</p>`:                 `<p>{{client.name|d'accord <b>&}}</p>`,
		`<a href="{{client.website}}">x</a>`:                   `href="{{client.website}}"`,
		`<a href='https://x.example/{{client.name}}?q={{a}}'>`: `href="https://x.example/{{client.name}}?q={{a}}"`,
		`<img src=https://x.example/{{a}}.png alt="{{b}}">`:    `<img src="https://x.example/{{a}}.png" alt="{{b}}">`,
		`ph ph0z phx {{a}} PH0Z {{a}}`:                         `ph ph0z phx {{a}} PH0Z {{a}}`,
	} {
		if got := Template(in); !strings.Contains(got, want) {
			t.Errorf("%s becomes %s", in, got)
		}
	}
	for _, in := range []string{
		`<script>{{client.name}}</script>`, `<{{a}}>`, `<p {{a}}>`, `<p on{{a}}=x>`, `<a href="java{{a}}script:x">`, `<a href="{{a}}:x">`,
	} {
		if got := Template(in); strings.Contains(got, "{{") || strings.Contains(got, "script") {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

func FuzzMail(f *testing.F) {
	for _, attack := range attacks(f) {
		f.Add(attack)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 10_000 {
			return
		}
		safe := Mail(s)
		if why := fault(safe); why != "" {
			t.Errorf("%s: %q becomes %q", why, s, safe)
		}
		if why := fault(norm.NFC.String(safe)); why != "" {
			t.Errorf("normalised: %s: %q becomes %q", why, s, safe)
		}
		Template(s)
	})
}
