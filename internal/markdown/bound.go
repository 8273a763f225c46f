package markdown

import "strings"

// Bounds of what is parsed: beyond them, what the parser has to do grows faster than
// the text. Nobody writes such a text; one who pastes it sees it as it is.
const (
	mostNested = 20     // quotes and lists in each other
	mostCells  = 10_000 // of tables, counted as if all lines were rows
	mostMarks  = 2_000  // runs of marks that may begin or end emphasis
	mostLinks  = 400    // beginnings of links
)

// unbounded says whether a text is beyond the bounds, by what its lines look like: which
// of them are in a block of code, where nothing of that counts, only the parser knows.
func unbounded(text string) bool {
	marks, last := 0, rune(0)
	for _, r := range text {
		if r != last && (r == '*' || r == '_' || r == '~') {
			marks++
		}
		last = r
	}
	if marks > mostMarks || strings.Count(text, "](")+strings.Count(text, "]:")+strings.Count(text, "][") > mostLinks {
		return true
	}
	lines, columns := 0, 0
	for line := range strings.Lines(text) {
		lines++
		if nesting(line) > mostNested {
			return true
		}
		if strings.Trim(line, "|:- \t\r\n>*+.)0123456789") == "" {
			columns = max(columns, strings.Count(line, "|")+1)
		}
	}
	return lines*columns > mostCells
}

// nesting is how many quotes and lists a line may be in: the marks that it begins with,
// and as many again as its white space has room for.
func nesting(line string) int {
	rest := strings.TrimRight(line, " \t\r\n")
	if strings.Trim(rest, "- \t") == "" || strings.Trim(rest, "* \t") == "" {
		return 0 // a line across the page
	}
	marks, blanks := 0, 0
	for rest != "" {
		switch c := rest[0]; {
		case c == ' ':
			blanks++
		case c == '\t':
			blanks += 4
		case c == '>' || c == '-' || c == '*' || c == '+':
			marks += 1 + blanks/4
			blanks = 0
		case '0' <= c && c <= '9' && strings.ContainsAny(first(strings.TrimLeft(rest, "0123456789")), ".)"):
			rest = strings.TrimLeft(rest, "0123456789")
			marks += 1 + blanks/4
			blanks = 0
		default:
			return marks
		}
		rest = rest[1:]
	}
	return marks
}

func first(s string) string { return s[:min(1, len(s))] }
