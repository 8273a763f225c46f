package record

import (
	"regexp"
	"strings"

	"golang.org/x/text/currency"

	"annals/domain"
)

// mostDigits is how many digits an amount may have before the point.
const mostDigits = 15

var decimal = regexp.MustCompile(`^(-?)0*([0-9]+)(?:\.([0-9]+))?$`)

// money brings an amount into the one form that it has in its currency, with all of
// its decimals.
func money(amount, code string) (string, string, error) {
	amount, code = strings.TrimSpace(amount), strings.ToUpper(strings.TrimSpace(code))
	switch {
	case amount == "" && code == "":
		return "", "", nil
	case code == "":
		return "", "", domain.Fault("currency", "required", "goes with the amount: both or none")
	case amount == "":
		return "", "", domain.Fault("amount", "required", "goes with the currency: both or none")
	case !known(code):
		return "", "", domain.Fault("currency", "currency", "is no currency of ISO 4217, as in EUR")
	}
	m := decimal.FindStringSubmatch(amount)
	if m == nil || len(amount) > 40 {
		return "", "", domain.Fault("amount", "number", "has to be a number as in 129.90 or -129.90")
	}
	whole, digits := m[2], digitsOf(code)
	decimals := strings.TrimRight(m[3], "0")
	switch {
	case len(whole) > mostDigits:
		return "", "", domain.Fault("amount", "range", "has more than %d digits before the point", mostDigits)
	case len(decimals) > digits:
		return "", "", domain.Fault("amount", "decimals", "has more than the %d decimals of %s", digits, code)
	}
	out := whole
	if digits > 0 {
		out += "." + decimals + strings.Repeat("0", digits-len(decimals))
	}
	if m[1] == "-" && strings.Trim(out, "0.") != "" {
		out = "-" + out
	}
	return out, code, nil
}

// newer are currencies that golang.org/x/text does not know yet.
var newer = map[string]bool{"BYN": true, "MRU": true, "SLE": true, "STN": true, "UYW": true, "VED": true, "VES": true, "XCG": true, "ZWG": true}

func known(code string) bool {
	unit, err := currency.ParseISO(code)
	return newer[code] || err == nil && unit.String() == code && code != "XXX" && code != "XTS"
}

// digitsOf is how many decimals a currency has by ISO 4217, of 2018 and its amendments.
// Those of golang.org/x/text are what prices are shown with, which for some are fewer
// than accounts have.
func digitsOf(code string) int {
	switch code {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	}
	return 2
}
