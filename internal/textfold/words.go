package textfold

import (
	"slices"
	"strings"
	"unicode"
)

// Limits of what is searched of one text.
const (
	mostWords   = 200
	longestWord = 64 // letters
)

// umlauts are letters that are also written as two.
var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "å", "aa", "ø", "oe")

// Words are what a text is found by, sorted: its words folded, those with umlauts also
// as they are written without, those with an apostrophe also without it, and of scripts
// that do not part words also what follows each of their letters, so that all words are
// found by their beginning.
func Words(s string) []string {
	var words []string
	add := func(folded string) {
		for word := range strings.FieldsFuncSeq(folded, parts) {
			words = append(words, short(word))
			for i, r := range word {
				if i > 0 && unparted(r) {
					words = append(words, short(word[i:]))
				}
			}
		}
	}
	folded := Fold(s)
	add(folded)
	if !ascii(s) {
		add(Fold(umlauts.Replace(strings.ToLower(s))))
	}
	if strings.ContainsAny(folded, "'’") {
		add(strings.NewReplacer("'", "", "’", "").Replace(folded))
	}
	slices.Sort(words)
	words = slices.Compact(words)
	return words[:min(len(words), mostWords)]
}

// Terms are the words that somebody searches for, in their order.
func Terms(s string) []string {
	var terms []string
	for word := range strings.FieldsFuncSeq(Fold(s), parts) {
		if word = short(word); !slices.Contains(terms, word) {
			terms = append(terms, word)
		}
	}
	return terms
}

// parts says whether a letter is none, but stands between words.
func parts(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) }

// unparted says whether a letter is of a script that does not part words.
func unparted(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

func short(word string) string {
	if len(word) <= longestWord {
		return word
	}
	if runes := []rune(word); len(runes) > longestWord {
		return string(runes[:longestWord])
	}
	return word
}

// Near says whether two words differ by at most one letter: one that is another,
// missing or too many, or two neighbours that are swapped.
func Near(a, b string) bool {
	x, y := []rune(a), []rune(b)
	if len(x) > len(y) {
		x, y = y, x
	}
	if len(y)-len(x) > 1 {
		return false
	}
	i := 0
	for i < len(x) && x[i] == y[i] {
		i++
	}
	rest := func(s []rune, from int) []rune { return s[min(from, len(s)):] }
	if len(x) < len(y) {
		return slices.Equal(x[i:], y[i+1:])
	}
	if slices.Equal(rest(x, i+1), rest(y, i+1)) {
		return true
	}
	return i+1 < len(x) && x[i] == y[i+1] && x[i+1] == y[i] && slices.Equal(x[i+2:], y[i+2:])
}
