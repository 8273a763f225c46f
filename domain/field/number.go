package field

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/currency"

	"annals/domain"
)

// Bounds of numbers, in digits before and after the point.
const (
	mostDigits   = 30
	mostDecimals = 15
)

// exact is a number as it was written, in a text or in JSON. JSON has been read into a
// binary number by then: one of more digits than that is certain to keep is refused,
// rather than stored as another.
func exact(at string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), nil
	case json.Number:
		return v.String(), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if math.IsInf(v, 0) || math.IsNaN(v) || len(strings.Trim(strings.ReplaceAll(strings.TrimLeft(s, "-"), ".", ""), "0")) > 15 {
			return "", domain.Fault(at, "inexact", "has more than 15 digits: send it as a text, as in \"12.5\", or it is not certain to be kept as it is")
		}
		return s, nil
	}
	return "", domain.Fault(at, "type", "has to be a number, or a text with one, or null")
}

var decimal = regexp.MustCompile(`^([+-]?)0*([0-9]+)(?:\.([0-9]*[0-9]))?$`)

// number is the one form of a decimal number: no zeros that say nothing, no plus, no
// minus before zero.
func number(at, s string) (any, error) {
	s, err := plain(at, s, 0)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// plain is that form, with at least so many decimals.
func plain(at, s string, least int) (string, error) {
	if len(s) > 100 {
		return "", domain.Fault(at, "too_long", "is longer than any number")
	}
	m := decimal.FindStringSubmatch(s)
	if m == nil {
		return "", domain.Fault(at, "number", "has to be a number as in -1234.5")
	}
	whole, decimals := m[2], strings.TrimRight(m[3], "0")
	if len(whole) > mostDigits || len(decimals) > mostDecimals {
		return "", domain.Fault(at, "range", "has more than %d digits before or %d after the point", mostDigits, mostDecimals)
	}
	decimals += strings.Repeat("0", max(0, least-len(decimals)))
	out := whole
	if decimals != "" {
		out += "." + decimals
	}
	if m[1] == "-" && strings.Trim(out, "0.") != "" {
		out = "-" + out
	}
	return out, nil
}

// money reads {"amount": "12.50", "currency": "EUR"}, or a text as in "12.50 EUR".
func money(at string, v any) (any, error) {
	in, ok := v.(map[string]any)
	if s, isText := v.(string); isText {
		if parts := strings.Fields(s); len(parts) == 2 {
			in, ok = map[string]any{"amount": parts[0], "currency": parts[1]}, true
		}
	}
	if !ok {
		return nil, domain.Fault(at, "type", `has to be an object as in {"amount": "12.50", "currency": "EUR"}, or null`)
	}
	var f domain.Faults
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if name != "amount" && name != "currency" {
			f.Add(domain.Fault(at+"."+name, "unknown_field", "is neither amount nor currency"))
		}
	}
	code, _ := in["currency"].(string)
	code = strings.ToUpper(strings.TrimSpace(code))
	unit, err := currency.ParseISO(code)
	if err != nil || len(code) != 3 || code == "XXX" {
		f.Add(domain.Fault(at+".currency", "currency", "has to be the code of a currency by ISO 4217, as in EUR"))
	}
	least, _ := currency.Standard.Rounding(unit)
	amount, err := exact(at+".amount", in["amount"])
	if err == nil {
		amount, err = plain(at+".amount", amount, least)
	}
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return map[string]any{"amount": amount, "currency": code}, nil
}
