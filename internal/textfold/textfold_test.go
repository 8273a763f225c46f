package textfold

import "testing"

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
