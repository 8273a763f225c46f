package client

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // where the machine has no time zones
	"unicode"

	"github.com/jacoelho/banking/iban"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"

	"annals/domain"
)

// checked is the form of what is stored as it was typed.
func checked(check func(field, s string) error) func(field, s string) (string, error) {
	return func(field, s string) (string, error) { return s, check(field, s) }
}

var (
	emailKinds = []string{"work", "home", "billing", "other"}
	phoneKinds = []string{"mobile", "work", "home", "fax", "other"}
	genders    = []string{"female", "male", "diverse", "unknown"}
)

func kindForm(kinds []string) func(field, s string) (string, error) {
	return func(field, s string) (string, error) {
		if k := strings.ToLower(s); slices.Contains(kinds, k) {
			return k, nil
		}
		return s, domain.Fault(field, "unknown", "is %q, and has to be one of %s", s, strings.Join(kinds, ", "))
	}
}

func genderForm(_, s string) (string, error) {
	if g := strings.ToLower(s); slices.Contains(genders, g) {
		return g, nil
	}
	return s, nil
}

func dateForm(field, s string) (string, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return s, domain.Fault(field, "date", "is no date as in 1984-02-29")
	}
	return s, nil
}

// checkBirth faults the birth of somebody who cannot be a client: not yet born at that
// time, wherever on earth they are, or longer ago than anybody lives.
func checkBirth(date string, at time.Time) error {
	born, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return nil //nolint:nilerr // told already
	}
	switch {
	case born.After(at.Add(14 * time.Hour)):
		return domain.Fault("date_of_birth", "future", "is in the future")
	case born.Year() < 1850:
		return domain.Fault("date_of_birth", "too_early", "is before 1850")
	}
	return nil
}

// languageForm reads a tag of BCP 47, as in RFC 5646, into its canonical form.
func languageForm(field, s string) (string, error) {
	tag, err := language.Parse(s)
	if err != nil || tag == language.Und {
		return s, domain.Fault(field, "language", "is no language tag of BCP 47, as in de or pt-BR")
	}
	return tag.String(), nil
}

var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*$`)

func zoneForm(field, s string) (string, error) {
	if zoneName.MatchString(s) && s != "Local" {
		if _, err := time.LoadLocation(s); err == nil {
			return s, nil
		}
	}
	return s, domain.Fault(field, "time_zone", "is no time zone of the IANA database, as in Europe/Berlin")
}

func currencyForm(field, s string) (string, error) {
	unit, err := currency.ParseISO(s)
	if err != nil {
		return s, domain.Fault(field, "currency", "is no currency of ISO 4217, as in EUR")
	}
	return unit.String(), nil
}

func termsForm(field, s string) (string, error) {
	days, err := strconv.ParseUint(s, 10, 16)
	if err != nil || days > 365 {
		return s, domain.Fault(field, "days", "is no number of days from 0 to 365")
	}
	return strconv.FormatUint(days, 10), nil
}

// compact drops what people put between the letters and digits of a number.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune(".-/\u2010\u2011\u2012\u2013", r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, s)
}

func ibanForm(field, s string) (string, error) {
	s = compact(s)
	if err := iban.Validate(s); err != nil {
		return s, domain.Fault(field, "iban", "is no IBAN: its country, length or check digits are not right")
	}
	return s, nil
}

// vats are the forms of numbers for value added tax in the European Union, Greece as EL
// and Northern Ireland as XI: as its system VIES says, in the question "What is the
// format of a VAT number?".
var vats = func() map[string]*regexp.Regexp {
	forms := map[string]*regexp.Regexp{}
	for country, form := range map[string]string{
		"AT": `U\d{8}`, "BE": `[01]\d{9}`, "BG": `\d{9,10}`, "CY": `\d{8}[A-Z]`, "CZ": `\d{8,10}`, "DE": `\d{9}`, "DK": `\d{8}`, "EE": `\d{9}`, "EL": `\d{9}`,
		"ES": `[A-Z0-9]\d{7}[A-Z0-9]`, "FI": `\d{8}`, "FR": `[A-HJ-NP-Z0-9]{2}\d{9}`, "HR": `\d{11}`, "HU": `\d{8}`,
		"IE": `\d[A-Z0-9+*]\d{5}[A-Z]{1,2}`, "IT": `\d{11}`, "LT": `(\d{9}|\d{12})`, "LU": `\d{8}`, "LV": `\d{11}`, "MT": `\d{8}`,
		"NL": `[A-Z0-9+*]{12}`, "PL": `\d{10}`, "PT": `\d{9}`, "RO": `\d{2,10}`, "SE": `\d{12}`, "SI": `\d{8}`, "SK": `\d{10}`, "XI": `(\d{9}|\d{12}|(GD|HA)\d{3})`,
	} {
		forms[country] = regexp.MustCompile("^" + country + form + "$")
	}
	return forms
}()

var anyVAT = regexp.MustCompile(`^[A-Z]{2}[A-Z0-9+*]{2,20}$`)

func vatForm(field, s string) (string, error) {
	s = compact(s)
	switch {
	case !anyVAT.MatchString(s):
		return s, domain.Fault(field, "vat", "is no VAT number: one begins with the two letters of its country, as in DE123456789")
	case vats[s[:2]] != nil && !vats[s[:2]].MatchString(s):
		return s, domain.Fault(field, "vat", "does not have the form of a VAT number of %s", s[:2])
	}
	return s, nil
}

func checkWebsite(field, s string) error {
	_, err := domain.WebAddress(field, s)
	return err
}
