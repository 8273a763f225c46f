package readapi

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"annals/internal/textfold"
)

// Limits of what somebody may have meant by a word.
const (
	leastNear    = 4  // letters of a word that may have been mistyped
	leastBegin   = 6  // and of one that the beginning of a longer word may have been mistyped in
	longestKnown = 32 // letters of words that are counted
	mostNear     = 20 // words that are looked for instead
	leastDigit   = 4  // of digits that are found also within a number
)

// term is a word that is searched for.
type term struct {
	word string
	near []string // words that may have been meant, and do not begin with it
	// In how many places there are this word, words that begin with it, and those that may
	// have been meant; not of numbers.
	whole, begun, meant int
	counted             bool
}

// mostBegun is how many words that begin with one are counted.
const mostBegun = 2000

// text is what somebody searches for.
type text struct {
	terms    []term
	unknown  bool   // some word is none of a client's
	number   string // if all of it is one number, its digits
	wordless bool   // something is searched for, but no word
}

// parseText reads what somebody searches for.
func parseText(q string) (t text) {
	t.wordless = strings.TrimSpace(q) != "" && len(textfold.Terms(q)) == 0
	for _, word := range textfold.Terms(q) {
		t.terms = append(t.terms, term{word: word})
	}
	if len(t.terms) > 1 && strings.Trim(q, "0123456789+-()./ \t\u00a0") == "" {
		t.number = textfold.Digits(q)
	}
	return t
}

// mistyped says whether a word may have been.
func mistyped(word string) bool {
	first, _ := utf8.DecodeRuneInString(word)
	return utf8.RuneCountInString(word) >= leastNear && !unicode.IsDigit(first)
}

// meantBy says whether somebody who wrote a may have meant the word b, which does not
// begin with a: they differ in one letter, or a and the beginning of b do so, in the second
// half of a.
func meantBy(a, b string) bool {
	if strings.HasPrefix(b, a) || !mistyped(a) {
		return false
	}
	if textfold.Near(a, b) {
		return true
	}
	x, y := []rune(a), []rune(b)
	half := (len(x) + 1) / 2
	if len(x) < leastBegin || len(y) <= len(x)+1 || string(x[:half]) != string(y[:half]) {
		return false
	}
	for n := len(x) - 1; n <= len(x)+1; n++ {
		if textfold.Near(a, string(y[:n])) {
			return true
		}
	}
	return false
}

// The words that begin as one does, or end as one does, those of about its length and
// longer ones; and the one in which the letters on both sides of the middle are swapped.
const nearWords = `select word, n from annals_read.client_words where length(word) = any($1::int[]) and word >= $2 and word < $2 || $6
	union select word, n from annals_read.client_words where length(word) = any($1::int[]) and reverse(word) collate "C" >= reverse($3) and reverse(word) collate "C" < reverse($3) || $6
	union select word, n from annals_read.client_words where word = $4
	union select word, n from annals_read.client_words where $5 and word >= $2 and word < $2 || $6 and length(word) > $7`

// resolve finds the words that may have been meant.
func (t *text) resolve(ctx context.Context, a *API) error {
	var b pgx.Batch
	for i := range t.terms {
		word := t.terms[i].word
		if word >= ":" && utf8.RuneCountInString(word) <= longestKnown { // those that are counted
			t.terms[i].counted = true
			b.Queue(`select coalesce((select n from annals_read.client_words where word = $1), 0),
				coalesce((select sum(n) from (select n from annals_read.client_words where word >= $1 and word < $1 || $2 limit $3) w), 0)`, word, last, mostBegun).QueryRow(func(r pgx.Row) error {
				err := r.Scan(&t.terms[i].whole, &t.terms[i].begun)
				t.unknown = t.unknown || t.terms[i].whole == 0
				return err
			})
		}
		if !mistyped(word) {
			continue
		}
		runes := []rune(word)
		n := len(runes)
		half := (n + 1) / 2
		swapped := slices.Clone(runes)
		swapped[half-1], swapped[half] = swapped[half], swapped[half-1]
		b.Queue(nearWords, []int{n - 1, n, n + 1}, string(runes[:half]), string(runes[half:]), string(swapped), n >= leastBegin, last, n+1).Query(func(r pgx.Rows) error {
			type found struct {
				word string
				n    int64
			}
			var all []found
			var f found
			_, err := pgx.ForEachRow(r, []any{&f.word, &f.n}, func() error {
				if meantBy(word, f.word) {
					all = append(all, f)
				}
				return nil
			})
			slices.SortFunc(all, func(a, b found) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.word, b.word)) })
			for _, f := range all[:min(len(all), mostNear)] {
				t.terms[i].near = append(t.terms[i].near, f.word)
				t.terms[i].meant += int(f.n)
			}
			return err
		})
	}
	if len(b.QueuedQueries) == 0 {
		return nil
	}
	if err := a.DB.Find(ctx, &b, 0); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return nil
}

// most is how many clients there may be at a level and the better ones, and false if that
// is not known.
func (t text) most(level int) (int, bool) {
	n, known := math.MaxInt, t.number == ""
	for _, term := range t.terms {
		if !term.counted {
			continue
		}
		of := []int{term.whole, term.begun, term.begun + term.meant}[level]
		n = min(n, of)
	}
	return n, known && n < math.MaxInt
}

// places is in how many of a client's words one is, about, that is in any: in the name, and
// in the e-mail address that has it.
const places = 2

// likely is the part of so many clients that there is at a level and the better ones, as
// far as it is known, if words have nothing to do with each other.
func (t text) likely(level, every int) float64 {
	part := 1.0
	for _, term := range t.terms {
		if term.counted {
			part *= min(1, float64([]int{term.whole, term.begun, term.begun + term.meant}[level])/places/float64(max(every, 1)))
		}
	}
	return part
}

// conditions are those of a client that is found, by how well: each level takes in the
// better ones. The last is that of all that are found.
// Typos are what the last level has beyond the others, if that can be told.
func (t text) conditions(bind func(any) string) (levels []string, typos string) {
	if len(t.terms) == 0 {
		return nil, ""
	}
	like := func(pattern string) string { return "c.search like " + bind(pattern) + "::text" }
	var exact, beginning, near []string
	for _, term := range t.terms {
		word := likeEscape.Replace(term.word)
		exact = append(exact, like("% "+word+" %"))
		begun := like("% " + word + "%")
		if inside(term.word) {
			begun = like("%" + word + "%")
		}
		beginning = append(beginning, begun)
		if len(term.near) > 0 {
			patterns := make([]string, len(term.near))
			for i, word := range term.near {
				patterns[i] = "% " + likeEscape.Replace(word) + " %"
			}
			typos = "c.search like any (" + bind(patterns) + "::text[])"
			begun = "(" + begun + " or " + typos + ")"
		}
		near = append(near, begun)
	}
	all := func(conds []string) string { return "(" + strings.Join(conds, " and ") + ")" }
	out := []string{all(exact), all(beginning)}
	if t.unknown && t.number == "" {
		out[0] = "false"
	}
	if slices.ContainsFunc(t.terms, func(one term) bool { return one.counted && one.begun == 0 }) && t.number == "" {
		out[1] = "false"
	}
	if t.number != "" {
		out[1] = "(" + out[1] + " or " + like("%"+t.number+"%") + ")"
	}
	if typos == "" {
		return out, ""
	}
	if len(t.terms) > 1 {
		typos = ""
	}
	return append(out, all(near)), typos
}

// inside says whether a word is found anywhere in a word: the last digits of a number.
func inside(word string) bool {
	return len(word) >= leastDigit && strings.Trim(word, "0123456789") == ""
}

// spanned is a part of a text, in characters.
type spanned struct {
	Start  int `json:"start" doc:"In characters, from 0"`
	Length int `json:"length"`
}

// marks are the parts of a shown text that were searched for.
func (t text) marks(shown string) []spanned {
	var out []spanned
	runes := []rune(shown)
	for i := 0; i < len(runes); {
		if !letter(runes[i]) {
			i++
			continue
		}
		end := i
		for end < len(runes) && letter(runes[end]) {
			end++
		}
		if n := t.markedOf(string(runes[i:end])); n > 0 {
			out = append(out, spanned{i, n})
		}
		i = end
	}
	if len(out) == 0 && (t.number != "" || len(t.terms) == 1 && inside(t.terms[0].word)) {
		return t.markedNumber(runes)
	}
	return out
}

func letter(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }

// markedOf is how many letters of a word from its beginning on were searched for, as far
// as the word is told by them: all of one that was only meant.
func (t text) markedOf(word string) int {
	most := 0
	runes := []rune(word)
	for _, form := range textfold.Words(word) {
		for _, term := range t.terms {
			switch {
			case strings.HasPrefix(form, term.word):
				n := len(runes)
				for k := 1; k < len(runes); k++ { // as many of the letters as are what was written
					if slices.ContainsFunc(textfold.Words(string(runes[:k])), func(f string) bool { return strings.HasPrefix(f, term.word) }) {
						n = k
						break
					}
				}
				most = max(most, n)
			case slices.Contains(term.near, form):
				most = max(most, len(runes))
			}
		}
	}
	return most
}

// markedNumber is where the digits of a number are, whatever is between them.
func (t text) markedNumber(runes []rune) []spanned {
	want := t.number
	if want == "" {
		want = t.terms[0].word
	}
	var digits strings.Builder
	var at []int
	for i, r := range runes {
		if r >= '0' && r <= '9' {
			digits.WriteRune(r)
			at = append(at, i)
		}
	}
	i := strings.Index(digits.String(), want)
	if i < 0 {
		return nil
	}
	return []spanned{{at[i], at[i+len(want)-1] - at[i] + 1}}
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
