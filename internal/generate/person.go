package generate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"annals/domain/client"
)

// A profile is somebody or some company before anything happens with them: what a
// duplicate has in common with its original.
type profile struct {
	of          *locale
	details     client.Details
	phone       number
	first, last word
	site        string // the domain of the company, if there is one
	n           int    // of the client that it was made for
}

// profile is that of the n-th client.
func (g *Generator) profile(n int) profile {
	rnd := g.random(n, ofProfile)
	p := profile{of: someLocale(rnd), n: n}
	if percent(rnd, 18) {
		p.company(rnd)
	} else {
		p.person(rnd)
	}
	d := &p.details
	if percent(rnd, 92) {
		d.Address = p.of.address(rnd)
	}
	if percent(rnd, 60) {
		d.Language = p.of.language
	}
	if percent(rnd, 4) {
		d.TimeZone = p.of.zone
	}
	if percent(rnd, 85) {
		d.Phone = p.phone.somehow(rnd)
		if percent(rnd, 25) {
			d.PhoneCountry = p.of.code
		}
	}
	p.origin(rnd)
	return p
}

// origin is how the client came, and what it is called elsewhere.
func (p *profile) origin(rnd *rand.Rand) {
	d := &p.details
	if percent(rnd, 30) {
		d.Affiliation.Source = pick(rnd, sources)
		if d.Affiliation.Source == "campaign" {
			d.Affiliation.Campaign = pick(rnd, seasons) + fmt.Sprintf("-%d", start.Year()+rnd.IntN(years))
		}
	}
	if percent(rnd, 15) {
		d.ExternalIDs = map[string]string{"erp": fmt.Sprintf("C-%06d", p.n)}
	}
	if percent(rnd, 10) {
		d.Consents = map[client.Channel]client.Consent{"email": {Granted: percent(rnd, 75), Source: pick(rnd, consents)}}
	}
}

func (p *profile) person(rnd *rand.Rand) {
	d := &p.details
	d.Type = client.Person
	woman := percent(rnd, 50)
	p.name(rnd, woman)
	if percent(rnd, 40) {
		if d.Gender = "male"; woman {
			d.Gender = "female"
		}
	}
	if percent(rnd, 5) {
		d.Title = pick(rnd, titles)
	}
	if percent(rnd, 55) {
		d.DateOfBirth = time.Date(1935+rnd.IntN(70), time.Month(1+rnd.IntN(12)), 1+rnd.IntN(28), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	p.phone = p.of.mobile(rnd)
	if percent(rnd, 25) {
		p.employer(rnd)
		d.JobTitle = pick(rnd, jobs)
	}
	if percent(rnd, 88) {
		p.mail(rnd)
	}
}

// name gives the person one.
func (p *profile) name(rnd *rand.Rand, woman bool) {
	l, d := p.of, &p.details
	given, middle := l.male, l.middleM
	if woman {
		given, middle = l.female, l.middleF
	}
	p.first, p.last = pick(rnd, given), l.family(rnd, woman)
	if l.double {
		second := l.family(rnd, woman)
		d.LastName = p.last.text + " " + second.text
	} else {
		d.LastName = p.last.text
	}
	d.FirstName = p.first.text
	if len(middle) > 0 && percent(rnd, 80) {
		d.MiddleName = pick(rnd, middle).text
	}
}

func (l *locale) family(rnd *rand.Rand, woman bool) word {
	f := pick(rnd, l.families)
	if woman {
		return f.female
	}
	return f.male
}

// mail gives the person an address: at the company, or one of the free ones.
func (p *profile) mail(rnd *rand.Rand) {
	d := &p.details
	if p.site != "" && percent(rnd, 80) {
		d.Email, d.EmailKind = mailbox(rnd, p.of.latin(p.first), p.of.latin(p.last), p.site, -1), "work"
		return
	}
	d.Email = mailbox(rnd, p.of.latin(p.first), p.of.latin(p.last), pick(rnd, providers), p.n)
}

// employer gives the person a company to work for.
func (p *profile) employer(rnd *rand.Rand) {
	named, trade := p.of.family(rnd, false), pick(rnd, p.of.trades)
	p.details.Company = named.text + " " + trade.text
	if percent(rnd, 60) {
		p.details.Company += " " + pick(rnd, p.of.forms)
	}
	p.site = site(p.of.latin(named) + "-" + p.of.latin(trade))
}

func (p *profile) company(rnd *rand.Rand) {
	d := &p.details
	d.Type = client.Company
	p.employer(rnd)
	p.phone = p.of.landline(rnd)
	d.PhoneKind = "work"
	if percent(rnd, 90) {
		d.Email = pick(rnd, offices) + "@" + p.site
	}
	if percent(rnd, 75) {
		d.Website = pick(rnd, []string{"https://", "https://www.", "www.", ""}) + p.site
	}
	if percent(rnd, 40) {
		d.Billing = client.Billing{LegalName: d.Company, Currency: p.of.currency, PaymentTerms: pick(rnd, []string{"14", "30", "60"})}
	}
}

// again is how somebody else wrote the same client down: mistyped, in another notation,
// with another address or with less.
func (p *profile) again(rnd *rand.Rand) {
	d := &p.details
	name := &d.LastName
	if d.Type == client.Company {
		name = &d.Company
	} else if percent(rnd, 30) {
		name = &d.FirstName
	}
	switch dice := rnd.IntN(10); {
	case dice < 6:
		*name = mistype(rnd, *name)
	case dice < 8 && d.Type == client.Person: // without the letters for it
		d.FirstName, d.LastName = capital(p.of.latin(p.first)), capital(p.of.latin(p.last))
	}
	if d.Phone != "" {
		d.Phone, d.PhoneCountry = p.phone.write(rnd.IntN(notations)), ""
	}
	if local, at, ok := strings.Cut(d.Email, "@"); ok {
		switch dice := rnd.IntN(10); {
		case dice < 4:
			d.Email = local + "@" + pick(rnd, providers)
		case dice < 6:
			d.Email = latin(mistype(rnd, strings.ReplaceAll(local, ".", ""))) + "@" + at
		}
	}
	if percent(rnd, 30) {
		d.Address = client.Address{}
	}
	if percent(rnd, 50) {
		d.DateOfBirth, d.Title = "", ""
	}
	d.ExternalIDs, d.Consents, d.Affiliation = nil, nil, client.Affiliation{}
}

// mistype makes one mistake: two letters change places, one is missing, or one is there
// twice.
func mistype(rnd *rand.Rand, s string) string {
	r := []rune(s)
	if len(r) < 3 {
		return s + string(r[len(r)-1])
	}
	i := 1 + rnd.IntN(len(r)-2)
	switch rnd.IntN(3) {
	case 0:
		r[i], r[i+1] = r[i+1], r[i]
		return string(r)
	case 1:
		return string(r[:i]) + string(r[i+1:])
	}
	return string(r[:i+1]) + string(r[i:])
}

func capital(ascii string) string {
	if ascii == "" {
		return ascii
	}
	return strings.ToUpper(ascii[:1]) + ascii[1:]
}
