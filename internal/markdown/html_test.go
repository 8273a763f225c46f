package markdown

import (
	"strings"
	"testing"
)

func TestHTML(t *testing.T) {
	t.Parallel()
	const id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	for text, want := range map[string]string{
		"":                                   "",
		"Wants a **call** in *May*":          "<p>Wants a <strong>call</strong> in <em>May</em></p>",
		"one\ntwo":                           "<p>one<br>two</p>",
		"# Plan\n\n- a\n- b\n\n3. c":         "<h1>Plan</h1><ul><li>a</li><li>b</li></ul><ol start=\"3\"><li>c</li></ol>",
		"> said\n\n---\n\n`x < y`":           "<blockquote><p>said</p></blockquote><hr><p><code>x &lt; y</code></p>",
		"```go\na := <b>\n```":               "<pre><code>a := &lt;b&gt;</code></pre>",
		"~~no~~":                             "<p><del>no</del></p>",
		"- [x] done\n- [ ] open":             "<ul><li>☑ done</li><li>☐ open</li></ul>",
		"| a | b |\n|:--|--:|\n| 1 | 2 |":    `<table><thead><tr><th align="left">a</th><th align="right">b</th></tr></thead><tbody><tr><td align="left">1</td><td align="right">2</td></tr></tbody></table>`,
		"[x](https://example.com/?a=1&b=2)":  `<p><a href="https://example.com/?a=1&amp;b=2" rel="nofollow noreferrer noopener" target="_blank">x</a></p>`,
		"https://example.com, a@example.com": `<p><a href="https://example.com" rel="nofollow noreferrer noopener" target="_blank">https://example.com</a>, <a href="mailto:a@example.com" rel="nofollow noreferrer">a@example.com</a></p>`,
		"![logo](https://example.com/a.png)": `<p><a href="https://example.com/a.png" rel="nofollow noreferrer noopener" target="_blank">logo</a></p>`,
		"[x](javascript:alert(1)) [y](/z)":   "<p>x y</p>",
		"error is <nil> & 1 < 2":             "<p>error is &lt;nil&gt; &amp; 1 &lt; 2</p>",
		"<b>x</b>":                           "<p>&lt;b&gt;x&lt;/b&gt;</p>",
		"Ask @mira or [Tom](employee:" + strings.ToUpper(id) + ")": `<p>Ask @mira or <span class="mention" data-employee="` + id + `">Tom</span></p>`,
		"[Tom *A.*](/employees/" + id + ")":                        `<p><span class="mention" data-employee="` + id + `">Tom <em>A.</em></span></p>`,
		strings.Repeat("a", Most-1) + "*":                          "<p>" + strings.Repeat("a", Most-1) + "*</p>",
		strings.Repeat("a", Most) + "<b>":                          "<pre>" + strings.Repeat("a", Most) + "&lt;b&gt;</pre>",
		strings.Repeat("> ", mostNested+1) + "*deep*":              "<pre>" + strings.Repeat("&gt; ", mostNested+1) + "*deep*</pre>",
		"* * * * * * * * * * * * * * * * * * * * * * * *\n**a**":   "<hr><p><strong>a</strong></p>",
	} {
		if got := strings.ReplaceAll(HTML(text), "\n", ""); got != want {
			t.Errorf("%q is\n%s, want\n%s", text, got, want)
		}
	}
}
