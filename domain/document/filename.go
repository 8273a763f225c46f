package document

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"annals/domain"
)

// mostName is how long a name may be, in bytes of UTF-8: what file systems take.
const mostName = 255

// FileName is what a file is called by somebody, as it can be given to anybody: the
// last part of a path of any system, in Unicode NFC, any script. What would deceive who
// reads it, such as marks that turn the direction of text around, is taken out, and so
// are control characters; what some system takes for something else than a name is made
// one by an underscore.
func FileName(typed string) (string, error) {
	if !utf8.ValidString(typed) {
		return "", domain.Fault("name", "encoding", "is not valid UTF-8")
	}
	name := typed[strings.LastIndexAny(typed, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), invisible(r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		case strings.ContainsRune(`<>:"|?*`, r): // reserved on Windows, where a colon also names a stream of a file
			return '_'
		}
		return r
	}, name)
	name = norm.NFC.String(name)
	name = strings.TrimRight(strings.TrimLeft(name, " "), " .") // Windows takes the end off
	switch {
	case name == "":
		return "", domain.Fault("name", "required", "is required: the name of a file, without a path")
	case len(name) > mostName:
		return "", domain.Fault("name", "too_long", "has %d bytes, at most %d are allowed", len(name), mostName)
	case device(name):
		name = "_" + name
		if len(name) > mostName {
			return "", domain.Fault("name", "too_long", "has %d bytes, at most %d are allowed", len(name), mostName)
		}
	}
	return name, nil
}

// invisible says whether nobody sees the character, or it changes the direction of what
// is around it: invoice\u202efdp.exe reads as invoiceexe.pdf. Joiners stay, since they
// are part of how some scripts are written.
func invisible(r rune) bool {
	if r == '\u200c' || r == '\u200d' || unicode.Is(unicode.Prepended_Concatenation_Mark, r) {
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point)
}

// device says whether Windows takes the name for one of a device, whatever follows its
// first dot.
func device(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	number, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		number, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(number) == 1 && strings.Contains("0123456789¹²³", number)
}
