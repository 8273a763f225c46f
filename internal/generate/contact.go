package generate

import (
	"cmp"
	"math/rand/v2"
	"strconv"
	"strings"

	"annals/domain/client"
)

// A number is a phone number, which people write in several ways.
type number struct {
	of     *locale
	digits string // within the country
}

func (l *locale) mobile(rnd *rand.Rand) number {
	return number{l, fill(rnd, pick(rnd, l.mobiles))}
}

func (l *locale) landline(rnd *rand.Rand) number {
	return number{l, fill(rnd, pick(rnd, l.landlines))}
}

// notations is how many ways there are to write a number.
const notations = 6

// write is the number in one of the notations. The first are understood anywhere, the others
// where the country is known.
func (n number) write(notation int) string {
	area, rest := n.digits[:3], n.digits[3:]
	half := len(rest) / 2
	switch notation {
	case 0:
		return "+" + n.of.calling + n.digits
	case 1:
		return "+" + n.of.calling + " " + area + " " + rest[:half] + " " + rest[half:]
	case 2:
		return cmp.Or(n.of.abroad, "00") + n.of.calling + " " + area + " " + rest
	case 3:
		return n.of.trunk + area + " " + rest[:half] + " " + rest[half:]
	case 4:
		return n.of.trunk + area + "-" + rest[:half] + "-" + rest[half:]
	default:
		return "(" + n.of.trunk + area + ") " + rest
	}
}

// somehow is the number in a notation, the first ones more often than not.
func (n number) somehow(rnd *rand.Rand) string {
	if percent(rnd, 55) {
		return n.write(rnd.IntN(2))
	}
	return n.write(rnd.IntN(notations))
}

// address is somewhere in the country. What the country is called differs.
func (l *locale) address(rnd *rand.Rand) client.Address {
	street := strings.NewReplacer("STREET", pick(rnd, l.streets), "NUMBER", strconv.Itoa(1+rnd.IntN(180))).Replace(l.street)
	a := client.Address{Street: street, City: pick(rnd, l.cities), PostalCode: fill(rnd, l.postal), Country: l.countries[0]}
	if percent(rnd, 40) {
		a.Country = pick(rnd, l.countries)
	}
	return a
}

// providers are where people have free addresses. All domains here and below are reserved
// by RFC 2606: no address is anybody's.
var providers = list("example.com, example.net, example.org, mail.example, post.example, webmail.example")

// mailbox is an address of somebody of the name: digits keep the free ones apart.
func mailbox(rnd *rand.Rand, first, last, at string, n int) string {
	local := first + "." + last
	switch {
	case first == "" || last == "":
		local = first + last
	default:
		switch rnd.IntN(6) {
		case 0:
			local = first[:1] + "." + last
		case 1:
			local = last + "." + first
		case 2:
			local = first + "_" + last
		case 3:
			local = first + last
		}
	}
	if n >= 0 {
		local += strconv.Itoa(n)
	}
	return local + "@" + at
}

// site is the domain of a company.
func site(latinName string) string { return latinName + ".example" }

// patch moves somebody to somewhere else.
func (l *locale) patch(rnd *rand.Rand) map[string]any {
	a := l.address(rnd)
	return map[string]any{"street": a.Street, "city": a.City, "postal_code": a.PostalCode, "country": a.Country}
}
