package template

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"annals/domain"
	"annals/domain/client"
)

var anna = Values{
	Client:       client.Details{FirstName: "Anna", LastName: "Größe", Email: "anna@example.com", Website: "example.com/a?b=c&d", Address: client.Address{City: "Varna"}},
	EmployeeName: "Ben", EmployeeEmail: "ben@example.com", ProjectName: "Atlas",
}

func TestRendering(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Hello {{client.first_name}} {{ client.last_name }}, {{client.name}}": "Hello Anna Größe, Anna Größe",
		"{{client.address.city}} {{client.email}}":                            "Varna anna@example.com",
		"{{employee.name}} <{{employee.email}}> {{project.name}}":             "Ben <ben@example.com> Atlas",
		"{{client.company|your company}}, {{client.middle_name}}.":            "your company, .",
		"{{client.first_name|there}} {{client.company|}}|":                    "Anna |",
		"} {not} a {placeholder}":                                             "} {not} a {placeholder}",
	} {
		_, got, _, err := Text{"S", in, ""}.Render(anna)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"{{", "{{client.name", "{{client.name}", "{{}}", "{{client.}}", "{{client.address}}", "{{range}}", "{{client.name | upper {}}}", "{{.}}", "{{client.name.x}}", "{{client.custom.}}"} {
		if _, _, _, err := (Text{in, "T", ""}).Render(anna); err == nil {
			t.Errorf("%s is rendered", in)
		}
	}
}

// A value is never taken for a part of the template, nor for a header.
func TestValuesAreValues(t *testing.T) {
	t.Parallel()
	v := anna
	v.Client.FirstName = "{{client.last_name}}\r\nBcc: x@example.com\r\n\r\n<b>\x00\x1b[31m"
	subject, text, _, err := Text{"Hi {{client.first_name}}!", "Hi {{client.first_name}}!", ""}.Render(v)
	if err != nil || subject != "Hi {{client.last_name}} Bcc: x@example.com <b>[31m!" || strings.ContainsFunc(subject, unicode.IsControl) {
		t.Errorf("%q, %v", subject, err)
	}
	if !strings.HasPrefix(text, "Hi {{client.last_name}}\nBcc:") || strings.ContainsAny(text, "\x00\x1b\r") {
		t.Errorf("%q", text)
	}
}

func TestRenderingHTML(t *testing.T) {
	t.Parallel()
	v := anna
	v.Client.Company = "A & B\n\"C\" <D>"
	for in, want := range map[string]string{
		"<p>{{client.company}}</p>":                                                           "<p>A &amp; B<br>&#34;C&#34; &lt;D&gt;</p>",
		"<p>{{client.job|d&#39;accord <i>&amp;</i>}}</p>":                                     "",
		"<p>{{client.middle_name|d&#39;accord <i>&amp;</i>}}</p>":                             "<p>d&#39;accord &lt;i&gt;&amp;&lt;/i&gt;</p>",
		`<img alt="{{client.company}}" src="https://x.example/a.png">`:                        `<img alt="A &amp; B &#34;C&#34; &lt;D&gt;" src="https://x.example/a.png">`,
		`<a href="{{client.website}}">x</a>`:                                                  `<a href="https://example.com/a?b=c&amp;d">x</a>`,
		`<a href="https://x.example/{{client.company}}?a=1&amp;b={{client.email}}">`:          `<a href="https://x.example/A%20%26%20B%20%22C%22%20%3CD%3E?a=1&amp;b=anna%40example.com">`,
		`<a href="mailto:{{client.email}}?subject={{client.first_name}}">x</a>`:               `<a href="mailto:anna@example.com?subject=Anna">x</a>`,
		`<a href="{{client.email}}">x</a>`:                                                    `<a href="">x</a>`,
		`<a href="https://{{client.email}}/">x</a>`:                                           "",
		`<a href="https://x.example{{client.email}}">x</a>`:                                   "",
		`<a href="{{client.website}}/more">x</a>`:                                             "",
		`<a href="{{client.website}}{{client.email}}">x</a>`:                                  "",
		`<a href="java{{client.email}}script:alert(1)">x</a>`:                                 "",
		`<a href="javascript:{{client.email}}">x</a>`:                                         "",
		`<img src="mailto:{{client.email}}">`:                                                 "",
		`<p style="color:{{client.company}}">x</p>`:                                           "",
		`<p {{client.company}}>x</p>`:                                                         "",
		`<{{client.company}}>x</p>`:                                                           "",
		`<p title={{client.company}}>x</p>`:                                                   "",
		`<p title='{{client.company}}'>x</p>`:                                                 "",
		`<p onclick="{{client.company}}">x</p>`:                                               "",
		`<script>{{client.company}}</script>`:                                                 "",
		`<STYLE>{{client.company}}</STYLE>`:                                                   "",
		`<!-- {{client.company}} -->`:                                                         "",
		`<p title="x`:                                                                         "",
		`<p title="<b>">x</p>`:                                                                "",
		`a > b {{client.company}}`:                                                            "",
		"<b\u226f {{client.company}}":                                                         "",
		`<p title="{{client.first_name}}" title="x">{{client.last_name}}</p>{{client.email}}`: `<p title="Anna" title="x">Größe</p>anna@example.com`,
	} {
		_, _, got, err := Text{"S", "T", in}.Render(v)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%s\n\tbecomes %s\n\t%v", in, got, err)
		}
	}
}

// Whatever a value is, the HTML around it stays what it was: the same elements and
// attributes, and no address of another kind.
func TestNoValueChangesTheHTML(t *testing.T) {
	t.Parallel()
	texts := Text{"S", "T", `<p title="{{client.company}}">{{client.company}}</p><a href="{{client.company}}">x</a><a href="https://x.example/{{client.company}}">y</a><a href="mailto:{{client.company}}">z</a><img src="{{client.company}}" alt="{{client.company|x}}">`}
	shape := func(company string) (shape, addresses []string) {
		v := anna
		v.Client.Company = company
		_, _, out, err := texts.Render(v)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := html.Parse(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode || n.Data == "br" {
				continue
			}
			shape = append(shape, n.Data)
			for _, a := range n.Attr {
				shape = append(shape, a.Key)
				if a.Key == "href" || a.Key == "src" {
					addresses = append(addresses, a.Val)
				}
			}
		}
		return shape, addresses
	}
	want, _ := shape("Acme")
	for _, attack := range []string{
		"<script>alert(1)</script>", `"><script>alert(1)</script>`, `" onmouseover="alert(1)`, "' onmouseover='alert(1)", "` onerror=`alert(1)",
		"javascript:alert(1)", " javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
		"javascript&colon;alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "//evil.example", "/\\evil.example", "\\\\evil.example",
		"https://user:pass@evil.example/", "https:javascript:alert(1)", "http:", "http:///", "file:///etc/passwd", "blob:x", "x\u0338>", "\u0338 onclick=alert(1)",
		"&lt;script&gt;", "&#x3c;script&#x3e;", "-->", "]]>", "</p></a><img src=x onerror=alert(1)>", "{{client.email}}", "../../x", "?a=b#c", "%0d%0aX: y", "%22%3e", "a@b?bcc=c@d&body=x", "\u2028alert(1)",
	} {
		got, addresses := shape(attack)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v instead of %v", attack, got, want)
		}
		for i, a := range addresses {
			ok := strings.HasPrefix(a, "https://") || strings.HasPrefix(a, "http://") || a == ""
			switch i {
			case 1:
				ok = strings.HasPrefix(a, "https://x.example/") && strings.Count(a, "/") == 3 && !strings.ContainsAny(a, "?#&\\")
			case 2:
				ok = strings.HasPrefix(a, "mailto:") && !strings.ContainsAny(a, "?&")
			}
			if !ok {
				t.Errorf("%q: address %d is %q", attack, i, a)
			}
		}
	}
}

// A long value that stands there often does not fill the memory.
func TestWhatBecomesTooLong(t *testing.T) {
	t.Parallel()
	v := anna
	v.Client.Company = strings.Repeat("x", 10_000)
	often := strings.Repeat("{{client.company}}", 2_000)
	for field, text := range map[string]Text{"subject": {often, "T", ""}, "text": {"S", often, ""}, "html": {"S", "T", often}} {
		_, _, _, err := text.Render(v)
		if all := domain.All(err); len(all) != 1 || all[0].Field != field || all[0].Code != "too_long" {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// All placeholders that there are have a value, where the client has.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	all := Placeholders()
	for _, want := range []string{"client.first_name", "client.address.city", "client.email", "client.name", "employee.name", "project.name"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is no placeholder", want)
		}
	}
	for _, p := range all {
		if _, _, _, err := (Text{"{{" + p + "}}", "T", ""}).Render(anna); err != nil {
			t.Error(p, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add(`<a href="https://x.example/{{client.company|x}}">{{client.name}}</a>`, `"><script>`)
	f.Fuzz(func(t *testing.T, template, value string) {
		v := anna
		v.Client.Company = value
		subject, _, _, err := Text{template, template, template}.Render(v)
		if err == nil && strings.ContainsAny(subject, "\r\n") {
			t.Errorf("%q", subject)
		}
	})
}
