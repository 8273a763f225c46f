package field

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"annals/domain"
)

// normal brings a value, as JSON has it, into the form in which it is stored: nil for
// null and for what is empty. A choice that was made before stays possible.
func (d *Definition) normal(at string, v, was any) (any, error) {
	switch text, isText := v.(string); {
	case v == nil:
		return nil, nil
	case isText && strings.TrimSpace(text) == "":
		return nil, nil
	}
	switch d.Type {
	case Boolean:
		return boolean(at, v)
	case Number:
		s, err := exact(at, v)
		if err != nil {
			return nil, err
		}
		return number(at, s)
	case Money:
		return money(at, v)
	case SeveralOf:
		return d.several(at, v, was)
	case Text, LongText, Date, DateTime, OneOf, Email, Phone, URL, Employee, Client:
	}
	text, ok := v.(string)
	if !ok {
		return nil, domain.Fault(at, "type", "has to be a text, or null")
	}
	s, err := d.text(at, text, was)
	if err != nil || s == "" {
		return nil, err
	}
	return s, nil
}

// text is [Definition.normal] for the types whose values are texts.
func (d *Definition) text(at, s string, was any) (string, error) {
	if d.Type == LongText {
		s = domain.LongText(s)
		return s, domain.CheckText(at, s, 20_000)
	}
	s = domain.Text(s)
	if err := domain.CheckText(at, s, 2000); err != nil {
		return "", err
	}
	switch d.Type {
	case Text:
		return s, domain.CheckText(at, s, 1000)
	case Date:
		t, err := time.Parse(time.DateOnly, s)
		if err != nil || t.Year() < 1 {
			return "", domain.Fault(at, "date", "has to be a date as in 2026-01-31")
		}
	case DateTime:
		t, err := time.Parse(time.RFC3339, s)
		if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
			return "", domain.Fault(at, "datetime", "has to be a time as in 2026-01-31T15:04:05Z")
		}
		return t.Truncate(time.Microsecond).Format(time.RFC3339Nano), nil
	case OneOf:
		had, _ := was.(string)
		key, ok := d.option(s, s == had)
		if !ok {
			return "", d.noOption(at, s)
		}
		return key, nil
	case Email:
		return s, domain.CheckEmail(at, s)
	case Phone:
		return s, checkPhone(at, s)
	case URL:
		return domain.WebAddress(at, s)
	case Employee, Client:
		id, ok := parseID(s)
		if !ok {
			return "", domain.Fault(at, "id", "has to be the id of one")
		}
		return id.String(), nil
	case LongText, Number, Money, Boolean, SeveralOf: // above
	}
	return s, nil
}

func (d *Definition) noOption(at, s string) error {
	var keys []string
	for _, o := range d.Options {
		if !o.Retired {
			keys = append(keys, o.Key)
		}
	}
	if len(keys) > mostNamed {
		keys = append(keys[:mostNamed], "…")
	}
	if runes := []rune(s); len(runes) > 50 {
		s = string(runes[:50]) + "…"
	}
	return domain.Fault(at, "option", "%q is none of %s", s, strings.Join(keys, ", "))
}

func (d *Definition) several(at string, v, was any) (any, error) {
	list, ok := v.([]any)
	if texts, isTexts := v.([]string); isTexts {
		for ok = true; len(texts) > 0; texts = texts[1:] {
			list = append(list, texts[0])
		}
	}
	if !ok {
		return nil, domain.Fault(at, "type", "has to be a list of texts, or null")
	}
	if len(list) > mostOptions {
		return nil, domain.Fault(at, "too_many", "has %d values, at most %d are allowed", len(list), mostOptions)
	}
	had, _ := was.([]any)
	var f domain.Faults
	chosen := map[string]bool{}
	for i, one := range list {
		s, ok := one.(string)
		if !ok {
			f.Add(domain.Fault(domain.At(at, i), "type", "has to be a text"))
			continue
		}
		key, ok := d.option(domain.Text(s), slices.ContainsFunc(had, func(h any) bool { return reflect.DeepEqual(h, one) }))
		if !ok {
			f.Add(d.noOption(domain.At(at, i), s))
		}
		chosen[key] = true
	}
	var out []any
	for _, o := range d.Options {
		if chosen[o.Key] {
			out = append(out, o.Key)
		}
	}
	if err := f.Err(); err != nil || len(out) == 0 {
		return nil, err
	}
	return out, nil
}

func boolean(at string, v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes":
			return true, nil
		case "false", "no":
			return false, nil
		}
	}
	return nil, domain.Fault(at, "type", "has to be true or false, or null")
}

func checkPhone(at, s string) error {
	if err := domain.CheckText(at, s, 50); err != nil {
		return err
	}
	return domain.CheckPhone(at, s)
}
