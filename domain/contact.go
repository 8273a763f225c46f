package domain

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// CheckPhone faults what people would not write for a phone number, extensions
// included. Whether it is one of a country is another question.
func CheckPhone(field, s string) error {
	digits := 0
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits++
		case !strings.ContainsRune(" +-\u2010\u2011\u2012\u2013\u2014().,/#*;:=xXextEXT", r):
			return Fault(field, "phone", "holds %q, which is not part of a phone number", r)
		}
	}
	if digits < 3 {
		return Fault(field, "phone", "is no phone number: it has %d digits", digits)
	}
	return nil
}

// WebAddress is s with its scheme, https where it has none. It is only such as a browser
// opens, so that to show it as a link is safe.
func WebAddress(field, s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || strings.Contains(s, " ") {
		return "", noWebAddress(field)
	}
	if labels := strings.Split(u.Hostname(), "."); len(labels) < 2 || slices.Contains(labels, "") {
		return "", noWebAddress(field)
	}
	return s, nil
}

func noWebAddress(field string) error {
	return Fault(field, "url", "is no web address, as in https://example.com")
}
