package textfold

import (
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"José  Núñez": "jose nunez", "MÜLLER": "muller", "Straße": "strasse", "Łódź": "lodz", "Ærø": "aero",
		"İstanbul": "istanbul", "ﬁne": "fine", "Ελλάδα": "ελλαδα", "  a\tb ": "a b", "": "", "日本": "日本",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDigits(t *testing.T) {
	if got := Digits("(5) 555-4729 x12"); got != "5555472912" {
		t.Error(got)
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Jürgen ẞ")
	f.Fuzz(func(t *testing.T, s string) {
		if once := Fold(s); Fold(once) != once {
			t.Errorf("Fold(%q) = %q, and folded again %q", s, once, Fold(once))
		}
	})
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"Müller & Söhne": "mueller muller soehne sohne", "O'Brien": "brien o obrien", "jose.garcia@example.com": "com example garcia jose",
		"+49 (30) 12-34": "12 30 34 49", "山田": "山田 田", "  ": "", "Straße 7b": "7b strasse", "x y X": "x y",
	} {
		if got := strings.Join(Words(in), " "); got != want {
			t.Errorf("%q has the words %q, want %q", in, got, want)
		}
	}
	if got := strings.Join(Terms("Müller  o'Brien müller"), " "); got != "muller o brien" {
		t.Error(got)
	}
}

func TestNear(t *testing.T) {
	for _, c := range []struct {
		a, b string
		near bool
	}{
		{"maria", "maria", true},
		{"maria", "mria", true},
		{"maria", "mariaa", true},
		{"maria", "marja", true},
		{"maria", "amria", true},
		{"maria", "marai", true},
		{"maria", "mraai", false},
		{"maria", "mari", true},
		{"maria", "mar", false},
		{"maria", "mariano", false},
		{"ab", "ba", true},
		{"", "a", true},
		{"", "ab", false},
		{"zoë", "zoe", true},
	} {
		if Near(c.a, c.b) != c.near || Near(c.b, c.a) != c.near {
			t.Errorf("%s and %s: %v", c.a, c.b, !c.near)
		}
	}
}
