package client

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/domain"
	"annals/domain/domaintest"
)

// TestE164: what is made of a number, by what is known about where it is.
func TestE164(t *testing.T) {
	bad := fault("phone", "phone")
	for _, c := range []struct {
		number, country, here string
		want                  string
		err                   error
	}{
		{"030 901820", "DE", "", "+4930901820", nil},
		{"030 901820", "DE", "FR", "+4930901820", nil},
		{"+49 30 901820", "DE", "", "+4930901820", nil},
		{"+49 (0)30 901820", "", "", "+4930901820", nil},
		{"+359 88 555 0142", "", "US", "+359885550142", nil},
		{"030 901820", "", "DE", "+4930901820", nil},
		{"0049 30 901820", "", "FR", "+4930901820", nil},
		{"030 901820", "", "", "", nil},
		{"(5) 555-4729", "", "MX", "", nil},    // from another system
		{"+1 555\u20110123", "", "", "", nil},  // no area code
		{"112", "", "DE", "", nil},             // not to be dialled from abroad
		{"555-0123 ext. 9", "", "US", "", nil}, //
		{"030 901820", "FR", "DE", "", bad},    // says which country, and is none of it
		{"+49 30 901820", "FR", "", "", bad},
		{"112", "DE", "", "", bad},
		{"123", "GB", "", "", bad},
		{"+49 1", "", "DE", "", bad},
		{"+999 12345678", "", "", "", bad},
		{"+", "", "", "", nil}, // is told otherwise
		{"", "DE", "", "", nil},
		{"030 901820", "XX", "DE", "", nil},
	} {
		got, err := e164("phone", c.number, c.country, c.here)
		if got != c.want || (err == nil) != (c.err == nil) || err != nil && !strings.Contains(err.Error(), "phone") {
			t.Errorf("%q of %q, at %q: %q, %v, want %q, %v", c.number, c.country, c.here, got, err, c.want, c.err)
		}
	}
}

func FuzzE164(f *testing.F) {
	f.Add("+49 (0)30 / 123 45", "DE", "")
	f.Add("(5) 555-4729", "", "MX")
	f.Add("1-800-555 ext. 12", "", "US")
	f.Add("\u0661\u0662\u0663;;=#*x.x", "", "EG")
	number := regexp.MustCompile(`^(\+[1-9]\d{3,14})?$`)
	f.Fuzz(func(t *testing.T, s, country, here string) {
		s = domain.Text(s)
		if domain.CheckText("phone", s, 50) != nil {
			return
		}
		got, err := e164("phone", s, country, here)
		if !number.MatchString(got) || err != nil && got != "" {
			t.Fatalf("%q is %q, %v", s, got, err)
		}
		if got == "" {
			return
		}
		if again, err := e164("phone", got, "", ""); again != got || err != nil {
			t.Fatalf("%q is %q, which is %q, %v", s, got, again, err)
		}
	})
}

func TestCountryOf(t *testing.T) {
	for code, names := range map[string][]string{
		"DE": {"DE", "de", "DEU", "Germany", "GERMANY", " germany ", "Deutschland", "Allemagne", "Alemania", "Германия", "ドイツ", "德国", "ألمانيا"},
		"GB": {"UK", "U.K.", "GB", "GBR", "United Kingdom", "the United Kingdom", "England", "Great Britain", "Vereinigtes Königreich", "Royaume-Uni"},
		"US": {"USA", "U.S.A.", "US", "United States", "United States of America", "Vereinigte Staaten", "États-Unis", "Etats-Unis"},
		"AT": {"Austria", "Österreich", "Osterreich"}, "CH": {"Switzerland", "Schweiz", "Suisse", "CH"}, "CZ": {"Czechia", "Czech Republic", "Česko"},
		"CI": {"Côte d’Ivoire", "Cote d'Ivoire", "Ivory Coast"}, "NL": {"Netherlands", "The Netherlands", "Holland", "Nederland", "les Pays-Bas"},
		"TR": {"Turkey", "Türkiye"}, "KR": {"South Korea", "Republic of Korea"}, "NE": {"Niger"}, "NG": {"Nigeria"}, "GE": {"Georgia"}, "XK": {"Kosovo"},
		"BR": {"Brazil", "Brasil"}, "MX": {"Mexico", "México"}, "VE": {"Venezuela"}, "IE": {"Ireland", "Irlande"}, "AU": {"Australia"},
		"": {"", "Atlantis", "Europe", "EU", "Korea", "D", "XX", "ZZ", "Yugoslavia", "12", "Guinea X", "\x00", "\xff\xfe", "Germany, West", strings.Repeat("x", 10_000)},
	} {
		for _, name := range names {
			if got := countryOf(name); got != code {
				t.Errorf("%q is %q, want %q", name, got, code)
			}
		}
	}
	if n := len(countries); n != 249+1 {
		t.Errorf("%d countries: ISO 3166-1 has 249, and there is Kosovo", n)
	}
	for code := range countries {
		if got := countryOf(code); got != code {
			t.Errorf("%s is %q", code, got)
		}
	}
}

// TestContact: numbers, addresses and countries by commands.
func TestContact(t *testing.T) {
	in := func(d Details) Register {
		d.Type, d.LastName = Person, "Lee"
		return Register{Details: d, ProjectID: retail}
	}
	is := func(d Details) []Event {
		d.Type, d.LastName = Person, "Lee"
		return []Event{Registered{d, Assignment{ProjectID: retail}, Lead, nil}}
	}
	berlin := Details{Phone: "030 901820", PhoneE164: "+4930901820", Address: Address{Country: "Germany", CountryCode: "DE"}}
	germany := map[string]any{"country": "Germany", "country_code": "DE"}
	edit := func(patch map[string]any) Edit { return Edit{patch} }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"a number at home":              {World: world, When: in(Details{Phone: "030 901820", Address: Address{Country: "Germany"}}), Then: is(berlin)},
		"a number derived by somebody":  {World: world, When: in(Details{Phone: "030 901820", PhoneE164: "+1", Address: Address{Country: "Germany"}}), Then: is(berlin)},
		"a number without a country":    {World: world, When: in(Details{Phone: "030 901820"}), Then: is(Details{Phone: "030 901820"})},
		"a number where one works":      {World: world, When: in(Details{Phone: "030 901820", WorkAddress: Address{CountryCode: "DE"}}), Then: is(Details{Phone: "030 901820", PhoneE164: "+4930901820", WorkAddress: Address{Country: "Germany", CountryCode: "DE"}})},
		"a number of its country":       {World: world, When: in(Details{Phone: "030 901820", PhoneCountry: "de"}), Then: is(Details{Phone: "030 901820", PhoneCountry: "DE", PhoneE164: "+4930901820"})},
		"a number of another country":   {World: world, When: in(Details{Phone: "030 901820", PhoneCountry: "FR"}), Err: fault("phone", "phone")},
		"a number of no country":        {World: world, When: in(Details{Phone: "030 901820", PhoneCountry: "QQ"}), Err: fault("phone_country", "country")},
		"a number that cannot be":       {World: world, When: in(Details{Phone: "+49 1"}), Err: fault("phone", "phone")},
		"a country that is not known":   {World: world, When: in(Details{Address: Address{Country: "Atlantis"}}), Then: is(Details{Address: Address{Country: "Atlantis"}})},
		"a country by its code":         {World: world, When: in(Details{BillingAddress: Address{CountryCode: "uk"}}), Then: is(Details{BillingAddress: Address{Country: "United Kingdom", CountryCode: "GB"}})},
		"a code that is none":           {World: world, When: in(Details{Address: Address{Country: "Germany", CountryCode: "XX"}}), Err: fault("address.country_code", "country")},
		"a code too long":               {World: world, When: in(Details{Address: Address{CountryCode: "DEU"}}), Err: fault("address.country_code", "too_long")},
		"two countries":                 {World: world, When: in(Details{Address: Address{Country: "France", CountryCode: "DE"}}), Err: fault("address.country_code", "contradiction")},
		"a country not known, and code": {World: world, When: in(Details{Address: Address{Country: "Bayern", CountryCode: "DE"}}), Then: is(Details{Address: Address{Country: "Bayern", CountryCode: "DE"}})},
		"other numbers and addresses": {
			World: world,
			When: in(Details{
				Email: "a@example.com", OtherEmails: []Email{{" b@example.com", "Work"}, {"A@example.com", ""}},
				Phone: "1234", OtherPhones: []Phone{{"030 901820", "MOBILE", "de", "x"}, {"1234", "", "", ""}, {"+49 30  901821", "", "", ""}},
			}),
			Then: is(Details{
				Email: "a@example.com", OtherEmails: []Email{{"b@example.com", "work"}},
				Phone: "1234", OtherPhones: []Phone{{"030 901820", "mobile", "DE", "+4930901820"}, {"+49 30 901821", "", "", "+4930901821"}},
			}),
		},
		"every fault told": {
			World: world,
			When: in(Details{
				EmailKind: "pigeon", PhoneKind: "work", OtherEmails: []Email{{"", ""}, {"x", "?"}, {"b@example.com", ""}, {"B@example.com", ""}},
				OtherPhones: []Phone{{"", "", "", ""}, {"call me", "?", "XX", ""}, {"123", "", "GB", ""}, {"123", "", "", ""}},
			}),
			Err: faults(fault("email_kind", "unknown"), fault("other_emails[0].email", "required"), fault("other_emails[1].email", "email"), fault("other_emails[1].kind", "unknown"),
				fault("other_emails[3].email", "duplicate"), fault("other_phones[0].number", "required"), fault("other_phones[1].number", "phone"), fault("other_phones[1].kind", "unknown"),
				fault("other_phones[1].country", "country"), fault("other_phones[2].number", "phone"), fault("other_phones[3].number", "duplicate")),
		},
		"too many": {
			World: world, When: in(Details{OtherEmails: many(21, func(s string) Email { return Email{Email: s + "@example.com"} }), OtherPhones: many(21, func(s string) Phone { return Phone{Number: "123" + s} })}),
			Err: faults(fault("other_emails", "too_many"), fault("other_phones", "too_many")),
		},
		"moving abroad": {
			Given: is(berlin), When: edit(map[string]any{"address": map[string]any{"country": "France"}}),
			Then: []Event{Edited{
				From: Details{PhoneE164: "+4930901820", Address: Address{Country: "Germany", CountryCode: "DE"}},
				To:   Details{Address: Address{Country: "France", CountryCode: "FR"}},
			}},
		},
		"the code alone": {
			Given: is(Details{Address: Address{Country: "Germany", CountryCode: "DE"}}), When: edit(map[string]any{"address": map[string]any{"country_code": "fr"}}),
			Then: []Event{Edited{
				From: Details{Address: Address{Country: "Germany", CountryCode: "DE"}},
				To:   Details{Address: Address{Country: "France", CountryCode: "FR"}},
			}},
		},
		"the country away": {
			Given: is(Details{Address: Address{City: "Bonn", Country: "Germany", CountryCode: "DE"}}), When: edit(map[string]any{"address": map[string]any{"country": nil}}),
			Then: []Event{Edited{From: Details{Address: Address{Country: "Germany", CountryCode: "DE"}}}},
		},
		"the same, as somebody sends all of it": {Given: is(berlin), When: edit(map[string]any{"address": germany, "phone": "030 901820", "phone_e164": "+4930901820"})},
		"a city, beside what nobody derived then": {
			Given: is(Details{Phone: "030 901820", Address: Address{Country: "Germany"}}), When: edit(map[string]any{"address": map[string]any{"city": "Bonn"}}),
			Then: []Event{Edited{To: Details{Address: Address{City: "Bonn"}}}},
		},
		"something else, past numbers that would not be taken today": {
			Given: is(Details{Phone: "+49 1", PhoneCountry: "QQ", OtherPhones: []Phone{{Number: "?", Country: "QQ"}}, OtherEmails: []Email{{Email: "x"}}}),
			When:  edit(map[string]any{"title": "Dr."}), Then: []Event{Edited{To: Details{Title: "Dr."}}},
		},
		"another beside them": {
			Given: is(Details{OtherPhones: []Phone{{Number: "?", Country: "QQ"}}}),
			When:  edit(map[string]any{"other_phones": []any{map[string]any{"number": "?", "country": "QQ"}, map[string]any{"number": "112"}}}),
			Then: []Event{Edited{
				From: Details{OtherPhones: []Phone{{Number: "?", Country: "QQ"}}},
				To:   Details{OtherPhones: []Phone{{Number: "?", Country: "QQ"}, {Number: "112"}}},
			}},
		},
		"the second address becomes the first": {
			Given: is(Details{Email: "a@example.com", OtherEmails: []Email{{"b@example.com", "home"}, {"c@example.com", ""}}}), When: edit(map[string]any{"email": "b@example.com"}),
			Then: []Event{Edited{
				From: Details{Email: "a@example.com", OtherEmails: []Email{{"b@example.com", "home"}, {"c@example.com", ""}}},
				To:   Details{Email: "b@example.com", OtherEmails: []Email{{"c@example.com", ""}}},
			}},
		},
		"lists that are none": {
			Given: is(Details{}), When: edit(map[string]any{"other_emails": "x", "other_phones": []any{"x", map[string]any{"number": 5.0, "fax": "y"}}}),
			Err: faults(fault("other_emails", "type"), fault("other_phones[0]", "type"), fault("other_phones[1].number", "type"), fault("other_phones[1].fax", "unknown_field")),
		},
		"a list without end": {Given: is(Details{}), When: edit(map[string]any{"other_emails": make([]any, 100_000)}), Err: fault("other_emails", "too_many")},
	})
}

func many[T any](n int, of func(string) T) []T {
	var out []T
	for i := range n {
		out = append(out, of(string(rune('0'+i/10))+string(rune('0'+i%10))))
	}
	return out
}

// TestForms: the forms in which people think of addresses and numbers say the same as
// the fields that they stand for.
func TestForms(t *testing.T) {
	var (
		all = Details{
			Type: Person, LastName: "Lee", Email: "a@example.com", EmailKind: "work", OtherEmails: []Email{{"b@example.com", "home"}},
			Phone: "030 901820", PhoneKind: "fax", PhoneCountry: "DE", PhoneE164: "+4930901820", OtherPhones: []Phone{{Number: "112"}},
			Address: Address{City: "Bonn"}, BillingAddress: Address{City: "Köln"},
		}
		emails    = []EmailEntry{{Email: "b@example.com", Kind: "home"}, {Email: "a@example.com", Kind: "work", Primary: true}}
		phones    = []PhoneEntry{{Number: "030 901820", Kind: "fax", Country: "DE"}, {Number: "112"}}
		addresses = AddressesForm{Home: Address{City: "Bonn"}, Billing: Address{City: "Köln"}}
		forms     = map[string]any{
			"emails": []any{map[string]any{"email": "b@example.com", "kind": "home"}, map[string]any{"email": "a@example.com", "kind": "work", "primary": true}},
			"phones": []any{map[string]any{"number": "030 901820", "kind": "fax", "country": "DE", "e164": "+4930901820", "primary": true}, map[string]any{"number": "112", "primary": false}},
			"addresses": map[string]any{
				"home": map[string]any{"city": "Bonn"}, "work": nil, "billing": map[string]any{"city": "Köln"},
			},
		}
		registered = []Event{Registered{all, Assignment{ProjectID: retail}, Lead, nil}}
		bare       = []Event{Registered{Details{Type: Person, LastName: "Lee"}, Assignment{ProjectID: retail}, Lead, nil}}
	)
	register := func(d Details, s Forms) Register {
		d.LastName = "Lee"
		return Register{Details: d, Forms: s, ProjectID: retail}
	}
	with := func(patch map[string]any, more ...any) Edit {
		out := maps.Clone(patch)
		for i := 0; i < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return Edit{out}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"registered by forms":             {World: world, When: register(Details{}, Forms{emails, phones, addresses}), Then: registered},
		"registered by both, the same":    {World: world, When: register(all, Forms{emails, phones, addresses}), Then: registered},
		"registered with custom fields":   {World: world, When: register(Details{Custom: map[string]any{"x": "y"}}, Forms{Emails: emails}), Err: fault("custom.x", "unknown_field")},
		"registered by both, not in line": {World: world, When: register(Details{Email: "c@example.com", Address: Address{City: "Ulm"}}, Forms{emails, phones, addresses}), Err: faults(fault("emails[1].email", "contradiction"), fault("addresses.home", "contradiction"))},
		"registered by lists, not in line": {
			World: world, When: register(Details{OtherEmails: []Email{{"c@example.com", ""}}, OtherPhones: []Phone{{Number: "113"}}}, Forms{Emails: emails, Phones: phones}),
			Err: faults(fault("emails", "contradiction"), fault("phones", "contradiction")),
		},
		"registered with faults": {
			World: world, When: register(Details{}, Forms{
				[]EmailEntry{{Email: "x"}, {Email: "y", Kind: "?"}, {Email: "z@example.com"}},
				[]PhoneEntry{{Number: "1", Country: "DE"}, {Number: "2", Primary: true}},
				AddressesForm{Work: Address{CountryCode: "XX"}},
			}),
			Err: faults(fault("emails[0].email", "email"), fault("emails[1].email", "email"), fault("emails[1].kind", "unknown"),
				fault("phones[0].number", "phone"), fault("phones[1].number", "phone"), fault("addresses.work.country_code", "country")),
		},
		"edited by forms":            {Given: bare, When: Edit{forms}, Then: []Event{Edited{To: without(all, "type", "last_name")}}},
		"edited by forms again":      {Given: registered, When: Edit{forms}},
		"edited by both, the same":   {Given: registered, When: with(forms, "email", " a@example.com", "email_kind", "work", "address", map[string]any{"city": "Bonn"}, "other_phones", []any{map[string]any{"number": "112", "e164": ""}})},
		"edited by both, otherwise":  {Given: registered, When: with(forms, "phone", nil), Err: fault("phones[0].number", "contradiction")},
		"edited by both, other kind": {Given: registered, When: with(forms, "email_kind", "home"), Err: fault("emails[1].kind", "contradiction")},
		"one address away": {
			Given: registered, When: Edit{map[string]any{"addresses": map[string]any{"billing": nil}}},
			Then: []Event{Edited{From: Details{BillingAddress: Address{City: "Köln"}}}},
		},
		"all away": {
			Given: registered, When: Edit{map[string]any{"emails": nil, "phones": []any{}, "addresses": nil}},
			Then: []Event{Edited{From: without(all, "type", "last_name")}},
		},
		"two primary": {
			Given: bare, When: Edit{map[string]any{"emails": []any{map[string]any{"email": "a@example.com", "primary": true}, map[string]any{"email": "b@example.com", "primary": true}}}},
			Err: fault("emails[1].primary", "contradiction"),
		},
		"forms that are none": {
			Given: bare, When: Edit{map[string]any{"emails": "a@example.com", "phones": []any{5.0, map[string]any{"number": "112", "primary": "yes", "x": nil}, map[string]any{}}, "addresses": []any{}}},
			Err: faults(fault("emails", "type"), fault("phones[0]", "type"), fault("phones[1].primary", "type"), fault("phones[1].x", "unknown_field"), fault("phones[2].number", "required"), fault("addresses", "type")),
		},
		"addresses of nowhere": {
			Given: bare, When: Edit{map[string]any{"addresses": map[string]any{"moon": nil, "home": "Bonn"}}},
			Err: faults(fault("addresses.moon", "unknown_field"), fault("addresses.home", "type")),
		},
	})
	wantEmails := []EmailEntry{{"a@example.com", "work", true}, {"b@example.com", "home", false}}
	wantPhones := []PhoneEntry{{"030 901820", "fax", "DE", "+4930901820", true}, {Number: "112"}}
	if diff := cmp.Diff(wantEmails, Emails(all)) + cmp.Diff(wantPhones, Phones(all)); diff != "" {
		t.Error(diff)
	}
}

// without is d without some texts.
func without(d Details, names ...string) Details {
	for _, name := range names {
		one, _ := d.at(name)
		*one = ""
	}
	return d
}
