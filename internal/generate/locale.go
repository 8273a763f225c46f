package generate

import (
	"math/rand/v2"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A locale is how people in a country are called, where they live and how they are reached.
type locale struct {
	weight             int      // of a hundred clients so many are of it, about
	countries          []string // what people write for the country
	code               string
	language, zone     string
	currency           string
	female, male       []word
	middleF, middleM   []word
	families           []family
	double             bool   // people have two family names
	street             string // with STREET and NUMBER
	streets, cities    []string
	postal             string // # stands for a digit, and ? for a letter
	trades             []word
	forms              []string // of companies
	calling, trunk     string   // the country's calling code, and what is dialled before numbers within it
	abroad             string   // what is dialled before calling codes; 00 if empty
	mobiles, landlines []string
	german             bool // ä is ae, and not a
}

// A word is a name in its script, and how that is spelled in an e-mail address.
type word struct{ text, latin string }

// A family name, which is another for women in some languages.
type family struct{ male, female word }

// words reads a list: a word, or word=spelling where [latin] cannot tell that.
func words(list string) []word {
	var out []word
	for one := range strings.SplitSeq(list, ", ") {
		out = append(out, newWord(one))
	}
	return out
}

func newWord(s string) word {
	text, spelled, given := strings.Cut(s, "=")
	if !given {
		spelled = latin(text)
	}
	return word{text, spelled}
}

// pairs are all words that begin with one of the first and end with one of the second.
func pairs(first, second string) []word {
	var out []word
	for _, a := range words(first) {
		for _, b := range words(second) {
			out = append(out, word{a.text + b.text, a.latin + b.latin})
		}
	}
	return out
}

// families reads a list of names, as in Kos or Nowicki|Nowicka.
func families(list string) []family {
	var out []family
	for one := range strings.SplitSeq(list, ", ") {
		male, female, differ := strings.Cut(one, "|")
		if !differ {
			female = male
		}
		out = append(out, family{newWord(male), newWord(female)})
	}
	return out
}

// compounds are all names of a root and an ending, as in ski|ska.
func compounds(roots, endings string) []family {
	var out []family
	for root := range strings.SplitSeq(roots, ", ") {
		for ending := range strings.SplitSeq(endings, ", ") {
			male, female, differ := strings.Cut(ending, "|")
			if !differ {
				female = male
			}
			out = append(out, family{newWord(root + male), newWord(root + female)})
		}
	}
	return out
}

func list(s string) []string { return strings.Split(s, ", ") }

// letters are those that are not a letter of ASCII with a mark, and how they are spelled.
var letters = func() *strings.Replacer {
	const table = `ß ss ł l ø o đ d ı i æ ae œ oe ð d þ th
а a б b в v г g д d е e ж zh з z и i й y к k л l м m н n о o п p р r с s т t у u ф f х h ц ts ч ch ш sh щ sht ъ a ь y ю yu я ya
і i ї yi є ye ґ g
α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o`
	return strings.NewReplacer(strings.Fields(table)...)
}()

// latin spells a name of a European script in lower-case letters of ASCII.
func latin(s string) string {
	s = letters.Replace(strings.ToLower(norm.NFC.String(s))) // й before its mark goes
	s = letters.Replace(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s)))
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// umlauts is how they are spelled where German is spoken, before all other marks go.
var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue")

func (l *locale) latin(w word) string {
	if l.german {
		return latin(umlauts.Replace(w.text))
	}
	return w.latin
}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }

// percent says yes so many times of a hundred.
func percent(rnd *rand.Rand, n int) bool { return rnd.IntN(100) < n }

// fill puts random digits for # and letters for ?.
func fill(rnd *rand.Rand, pattern string) string {
	out := []byte(pattern)
	for i, c := range out {
		switch c {
		case '#':
			out[i] = "0123456789"[rnd.IntN(10)]
		case '?':
			out[i] = "ABCDEFGHJKLMNPRSTUWXY"[rnd.IntN(21)]
		}
	}
	return string(out)
}

// someLocale is one of them, by their weights.
func someLocale(rnd *rand.Rand) *locale {
	n := rnd.IntN(weightOfAll)
	for _, l := range locales {
		if n -= l.weight; n < 0 {
			return l
		}
	}
	return locales[0]
}

var weightOfAll = func() (sum int) {
	for _, l := range locales {
		sum += l.weight
	}
	return sum
}()
