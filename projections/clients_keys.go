package projections

import (
	"strings"
	"time"

	"annals/domain/client"
	"annals/internal/textfold"
)

// longestKey is how many letters of a text are sorted and filtered by.
const longestKey = 2000

// keys are what details are sorted and filtered by, by path: texts folded, times such
// that they sort, of an amount of money the number, and of a consent whether it is given.
// What is empty has none; the type is a column.
func keys(d client.Details) map[string]any {
	out := map[string]any{}
	for path, value := range client.Flatten(d) {
		switch v := value.(type) {
		case string:
			value = fold(v)
		case client.Consent:
			value = v.Granted
		case []client.Email:
			var all []string
			for _, e := range v {
				all = append(all, e.Email)
			}
			value = fold(strings.Join(all, " "))
		case []client.Phone:
			var all []string
			for _, p := range v {
				all = append(all, p.Number)
			}
			value = fold(strings.Join(all, " "))
		case map[string]any:
			value = v["amount"]
		}
		if value != nil && value != "" && path != "type" {
			out[path] = value
		}
	}
	return out
}

func fold(s string) string {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return Moment(t)
	}
	s = textfold.Fold(s)
	if len(s) > longestKey {
		if runes := []rune(s); len(runes) > longestKey {
			s = string(runes[:longestKey])
		}
	}
	return s
}

// Moment is a time as a text that sorts.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02t15:04:05.000000z") }

// Derived are the columns keys and words of a client with these details, for who fills
// the read model without a log.
func Derived(d client.Details) (keysOf, wordsOf []byte) {
	return object(keys(d)), object(searched(d))
}

// reason is the key of a reason that is not empty.
func reason(path, text string) map[string]any {
	if text = fold(text); text == "" {
		return map[string]any{}
	}
	return map[string]any{path: text}
}

// searched are the words that a client is found by, by detail.
func searched(d client.Details) map[string]any {
	out := map[string]any{}
	add := func(path string, texts ...string) {
		var all []string
		for _, text := range texts {
			all = append(all, textfold.Words(text)...)
		}
		if len(all) > 0 {
			out[path] = strings.Join(all, " ")
		}
	}
	number := func(typed, e164 string) []string {
		return []string{typed, textfold.Digits(typed), textfold.Digits(e164)}
	}
	add("display_name", d.DisplayName)
	add("first_name", d.FirstName)
	add("middle_name", d.MiddleName)
	add("last_name", d.LastName)
	add("company", d.Company)
	add("email", d.Email)
	add("phone", number(d.Phone, "")...)
	add("phone_e164", textfold.Digits(d.PhoneE164))
	var emails, phones []string
	for _, e := range d.OtherEmails {
		emails = append(emails, e.Email)
	}
	for _, p := range d.OtherPhones {
		phones = append(phones, number(p.Number, p.E164)...)
	}
	add("other_emails", emails...)
	add("other_phones", phones...)
	return out
}
