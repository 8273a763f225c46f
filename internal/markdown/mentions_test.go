package markdown

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestMentions(t *testing.T) {
	t.Parallel()
	const id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	for text, want := range map[string][]string{
		"":                                   nil,
		"nobody":                             nil,
		"@mira":                              {"mira"},
		"Ask @Mira, please":                  {"mira"},
		"(@mira) and @tom!":                  {"mira", "tom"},
		"@mira @MIRA @mira":                  {"mira"},
		"@mira.okafor's":                     {"mira.okafor"},
		"@mira. Then @tom... and @a_b-c+d":   {"mira", "tom", "a_b-c+d"},
		"**@mira** and _@tom_ and ~~@vera~~": {"mira", "tom", "vera"},
		"@mira_okafor_":                      {"mira_okafor"},
		"- @mira\n- @tom\n\n> @vera":         {"mira", "tom", "vera"},
		"# @mira\n\n| a | b |\n|---|---|\n| @tom | x |": {"mira", "tom"},
		"@mira\n@tom  \n@vera":                          {"mira", "tom", "vera"},
		"@mira/@tom":                                    {"mira"},
		"@Ömer @josé":                                   {"ömer", "josé"},
		"@josé":                                         {"josé"},
		"@1st":                                          {"1st"},

		"mira@example.com":                nil,
		"<mira@example.com>":              nil,
		"a@mira b.@mira c-@mira _@mira":   nil,
		"@@mira @ mira @":                 nil,
		"@mira@social.example and @tom":   {"tom"},
		"mira@@tom":                       nil,
		`\@mira`:                          nil,
		"`@mira`":                         nil,
		"``a ` @mira``":                   nil,
		"```\n@mira\n```":                 nil,
		"~~~ @mira\n@tom":                 nil,
		"    @mira":                       nil,
		"[@mira](https://example.com)":    nil,
		"![@mira](https://example.com/a)": nil,
		"https://example.com/@mira":       nil,
		"example.com/@mira mailto:@tom":   nil,
		"<https://example.com/ @mira>":    {"mira"},
		"@.mira @-mira @+mira":            nil,
		"@" + strings.Repeat("a", 65):     nil,

		"[Mira](employee:" + id + ")": {id},
		"[Mira](/employees/" + id + ") [M](EMPLOYEE:" + strings.ToUpper(id) + ")": {id},
		"[Mira][m]\n\n[m]: employee:" + id:                                        {id},
		"[*Mira* O.](<employee:" + id + "> \"title\")":                            {id},
		"[Mira](employee:mira)":                                                   nil,
		"[Mira](employee:" + id + "/x)":                                           nil,
		"[Mira](https://example.com/employees/" + id + ")":                        nil,
		"![Mira](employee:" + id + ")":                                            nil,
		"<employee:" + id + ">":                                                   nil,
		"`[Mira](employee:" + id + ")`":                                           nil,
		"<b>@mira</b>":                                                            {"mira"},
		strings.Repeat("a", Most) + " @mira":                                      nil,
	} {
		var got []string
		for _, m := range Mentions(text) {
			if m.ID != uuid.Nil {
				got = append(got, m.ID.String())
			} else {
				got = append(got, m.Handle)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", text, diff)
		}
	}
	if got := Mentions("@Mira [Tom *A.*](employee:" + id + ")"); got[0].Typed != "@Mira" || got[1].Typed != "Tom A." {
		t.Errorf("%+v", got)
	}
}
