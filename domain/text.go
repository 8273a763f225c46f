package domain

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Text brings what somebody typed or pasted into one form: Unicode NFC, invisible
// marks gone, white space at the ends gone and inside a line folded to single
// spaces.
func Text(s string) string {
	if s == "" {
		return "" // as most details of most clients are
	}
	return strings.Join(strings.Fields(visible(s)), " ")
}

// LongText is [Text] for text of several lines: the lines are kept.
func LongText(s string) string { return strings.TrimSpace(newlines.Replace(visible(s))) }

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// visible drops marks that nobody sees and that make equal things differ: address
// books put them around what is copied from them. Joiners stay, since they are
// part of how some scripts are written. What is not UTF-8 stays, for [CheckText].
func visible(s string) string {
	if !utf8.ValidString(s) {
		return s
	}
	return norm.NFC.String(strings.Map(func(r rune) rune {
		switch {
		case r == '\u00ad', r == '\u200b', r == '\u2060', r == '\ufeff', // hyphen, spaces and joiner without width
			r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069': // direction of what follows
			return -1
		}
		return r
	}, s))
}

// CheckText faults a field whose text is longer than most characters, or holds
// what cannot be text.
func CheckText(field, s string, most int) error {
	switch {
	case !utf8.ValidString(s):
		return Fault(field, "encoding", "is not valid UTF-8")
	case utf8.RuneCountInString(s) > most:
		return Fault(field, "too_long", "has %d characters, at most %d are allowed", utf8.RuneCountInString(s), most)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return Fault(field, "control_character", "holds a control character")
	}
	return nil
}

// CheckName is [CheckText] for a text of one line that has to be there.
func CheckName(field, s string, most int) error {
	if s == "" {
		return Fault(field, "required", "is required")
	}
	return CheckText(field, s, most)
}

// CheckEmail faults what cannot be an e-mail address: RFC 5321 §4.5.3.1 lengths,
// one @ with something on both sides, no white space. Whether it is read by
// somebody only a message can tell.
func CheckEmail(field, s string) error {
	local, host, ok := strings.Cut(s, "@")
	bad := !ok || local == "" || len(local) > 64 || len(s) > 254 || strings.Contains(host, "@") ||
		strings.ContainsFunc(s, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`<>()[]\,;:"`, r)
		})
	labels := strings.Split(host, ".")
	if bad || slices.Contains(labels, "") || !utf8.ValidString(s) {
		return Fault(field, "email", "is not an e-mail address, as in name@example.com")
	}
	return nil
}

// CheckWord faults what is not one word of a vocabulary that a house may have of its own:
// at most 30 lower-case letters of ASCII, digits and underscores, a letter first. It
// stands in the log in the clear, which no sentence about somebody could.
func CheckWord(field, s string) error {
	for i, r := range s {
		if (r < 'a' || r > 'z') && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return Fault(field, "word", "is not a word of lower-case letters, digits and _, as in follow_up")
		}
	}
	switch {
	case s == "":
		return Fault(field, "required", "is required")
	case len(s) > 30:
		return Fault(field, "too_long", "has %d characters, at most 30 are allowed", len(s))
	}
	return nil
}
