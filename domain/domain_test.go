package domain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		" \t\r\n\u00a0\u2003":                    "",
		"  Ann \t Lee\n":                         "Ann Lee",
		"Ann\u00a0Lee":                           "Ann Lee",
		"Zoe\u0308":                              "Zo\u00eb", // NFC
		"\ufeffAnn":                              "Ann",
		"\u202a+49\u00a030\u00a0123\u202c":       "+49 30 123", // copied from an address book
		"co\u00adop\u200berative":                "cooperative",
		"\u0645\u06cc\u200c\u062e\u0648\u0627":   "\u0645\u06cc\u200c\u062e\u0648\u0627", // the joiner belongs to the word
		"\U0001f469\u200d\U0001f4bb":             "\U0001f469\u200d\U0001f4bb",
		"not\xffUTF-8":                           "not\xffUTF-8", // for CheckText to refuse
		"\u2066Abc\u2069 \u202edesrever\u202c x": "Abc desrever x",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := LongText(" one\r\n  two \rthree\n\n"), "one\n  two \nthree"; got != want {
		t.Errorf("LongText = %q, want %q", got, want)
	}
}

func FuzzText(f *testing.F) {
	f.Add("  Zoe\u0308 \u202aLee\n")
	f.Add("\xff\u200b\r\n\x00")
	f.Fuzz(func(t *testing.T, s string) {
		for name, form := range map[string]func(string) string{"Text": Text, "LongText": LongText} {
			once := form(s)
			if twice := form(once); twice != once {
				t.Errorf("%s(%q) = %q, and then %q", name, s, once, twice)
			}
			if utf8.ValidString(s) != utf8.ValidString(once) {
				t.Errorf("%s(%q) = %q: what is UTF-8 stays so, and the reverse", name, s, once)
			}
			if strings.ContainsRune(once, '\r') && name == "LongText" {
				t.Errorf("%s(%q) = %q", name, s, once)
			}
		}
		if once := Text(s); strings.ContainsFunc(once, func(r rune) bool { return unicode.IsSpace(r) && r != ' ' }) {
			t.Errorf("Text(%q) = %q", s, once)
		}
	})
}

func TestCheckText(t *testing.T) {
	for in, want := range map[string]string{
		"":          "",
		"äöü":       "",
		"a\n\tb":    "",
		"äöüß":      "too_long",
		"a\x00b":    "control_character",
		"a\u0085b":  "control_character",
		"a\u007f":   "control_character",
		"\xc3\x28":  "encoding",
		"\xff\xff4": "encoding",
	} {
		most := 4
		if want == "too_long" {
			most = 3
		}
		if got := code(CheckText("f", in, most)); got != want {
			t.Errorf("CheckText(%q, %d) = %q, want %q", in, most, got, want)
		}
	}
	if got := code(CheckName("f", "", 10)); got != "required" {
		t.Errorf("CheckName of nothing = %q", got)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

func TestCheckEmail(t *testing.T) {
	for _, s := range []string{
		"", "@", "a", "a@", "@b", "a@b@c", "a b@c.de", "a@b c", "a@b\u00a0c", "a@.de", "a@de.", "a@b..c", "<a@b.c>", `"a"@b`, "a@b,c@d",
		"a;b@c", "a:b@c", "mailto:a@b.c", "Ann (x)@b", "a@[1.2.3.4]", "a\\b@c", "a\x00@b.c", "a@b.c\x7f", "a\xff@b.c",
		strings.Repeat("x", 65) + "@b.c", "a@" + strings.Repeat("x.", 126) + "de",
	} {
		if CheckEmail("email", s) == nil {
			t.Errorf("%q is taken for an e-mail address", s)
		}
	}
	for _, s := range []string{
		"a@b", "ann.lee+crm@example.co.uk", "o'brien@example.com", "Ann@Example.COM", "ä@ö.de", "a_b-c@d-e.f", "1@2.3", "root@localhost",
		strings.Repeat("x", 64) + "@example.com",
	} {
		if err := CheckEmail("email", s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzEmail(f *testing.F) {
	f.Add("ann@example.com")
	f.Add("@\xff.")
	f.Fuzz(func(t *testing.T, s string) {
		if CheckEmail("email", s) != nil {
			return
		}
		if len(s) > 254 || strings.Count(s, "@") != 1 || CheckText("email", s, 254) != nil || strings.ContainsFunc(s, unicode.IsSpace) {
			t.Errorf("%q is taken for an e-mail address", s)
		}
	})
}

func TestField(t *testing.T) {
	type request struct {
		ID   Field[ID]     `json:"id,omitzero"`
		Name Field[string] `json:"name,omitzero"`
	}
	id := uuid.New()
	for in, want := range map[string]request{
		`{}`:                           {},
		`{"id":null}`:                  {ID: Set(ID{})},
		`{"id":"` + id.String() + `"}`: {ID: Set(id)},
		`{"name":null}`:                {Name: Set("")},
		`{"name":""}`:                  {Name: Set("")},
		`{"name":"x","id":null}`:       {Name: Set("x"), ID: Set(ID{})},
	} {
		var got request
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s = %+v, %v, want %+v", in, got, err, want)
		}
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again request
		if err := json.Unmarshal(out, &again); err != nil || again != want {
			t.Errorf("%s is written %s and read %+v, %v", in, out, again, err)
		}
	}
	for _, in := range []string{`{"id":5}`, `{"id":"x"}`, `{"name":{}}`, `{"name":`} {
		if json.Unmarshal([]byte(in), new(request)) == nil {
			t.Errorf("%s is taken", in)
		}
	}
	if (Field[int]{}).Or(7) != 7 || Set(0).Or(7) != 0 {
		t.Error("Or")
	}
}

func FuzzField(f *testing.F) {
	f.Add(`"00000000-0000-0000-0000-000000000001"`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, s string) {
		var a, b Field[ID]
		if json.Unmarshal([]byte(s), &a) != nil {
			return
		}
		out, err := json.Marshal(a)
		if err != nil || !a.Set || json.Unmarshal(out, &b) != nil || a != b {
			t.Errorf("%s = %+v, and then %s = %+v, %v", s, a, out, b, err)
		}
	})
}

func TestErrors(t *testing.T) {
	name, size := Fault("name", "required", "is required"), Fault("size", "too_long", "has %d", 5)
	var f Faults
	f.Add(nil)
	if f.Err() != nil {
		t.Error("no faults are an error")
	}
	f.Add(fmt.Errorf("wrapped: %w", name))
	f.Add(errors.Join(size, io.EOF))
	if diff := cmp.Diff([]*Error{name, size}, All(fmt.Errorf("more: %w", f.Err()))); diff != "" {
		t.Error(diff)
	}
	if All(nil) != nil || All(io.EOF) != nil {
		t.Error("errors out of nothing")
	}
	for err, want := range map[error]Kind{
		f.Err():                          Invalid,
		io.EOF:                           Internal,
		Errorf(Conflict, "x", "y"):       Conflict,
		fmt.Errorf("at %w", error(size)): Invalid,
	} {
		if got := KindOf(err); got != want {
			t.Errorf("KindOf(%v) = %v, want %v", err, got, want)
		}
	}
	if !errors.Is(name, Fault("name", "required", "other words")) || errors.Is(name, Fault("size", "required", "")) || errors.Is(name, io.EOF) {
		t.Error("errors are the same when kind, code and field are")
	}
	if name.Error() != "name: is required" || Errorf(Conflict, "x", "y").Error() != "y" {
		t.Error("message")
	}
}

func TestWorld(t *testing.T) {
	here, gone := Ref{Desk, ID{1}}, Ref{Desk, ID{2}}
	w := World{here: something(true), gone: something(false)}
	if !w.Has(here) || w.Has(gone) || w.Has(Ref{Desk, ID{3}}) || World(nil).Has(here) {
		t.Error("Has")
	}
	if Look[something](w, here) != true || Look[something](w, Ref{Desk, ID{3}}) != false {
		t.Error("Look")
	}
	if got, want := here.Stream(), "desk-01000000-0000-0000-0000-000000000000"; got != want {
		t.Errorf("stream = %s, want %s", got, want)
	}
}

type something bool

func (s something) Exists() bool { return bool(s) }
