package client

import (
	"strings"
	"testing"
	"time"

	"annals/domain"
	"annals/domain/domaintest"
)

// TestTextForms: what is taken for a text with a form, and how it is stored.
func TestTextForms(t *testing.T) {
	for name, c := range map[string]struct {
		taken  map[string]string // as it is stored
		faults []string
	}{
		"gender":        {map[string]string{"female": "female", "Diverse": "diverse", "agender": "agender", "Q": "Q"}, []string{strings.Repeat("x", 51)}},
		"date_of_birth": {map[string]string{"1984-02-29": "1984-02-29", "1850-01-01": "1850-01-01", "2026-03-15": "2026-03-15"}, []string{"1983-02-29", "1849-12-31", "2026-03-16", "29.2.1984", "1984-2-9", "-1984-02-1", "today", "1984-02-29T00:00:00Z"}},
		"language":      {map[string]string{"de": "de", "DE-at": "de-AT", "pt_BR": "pt-BR", "zh-hant-tw": "zh-Hant-TW", "iw": "he"}, []string{"english", "xx-", "und", "d", "q!", "deu-XXXX-YYYY-ZZZZ!"}},
		"time_zone":     {map[string]string{"Europe/Berlin": "Europe/Berlin", "UTC": "UTC", "America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires", "Etc/GMT+5": "Etc/GMT+5"}, []string{"Local", "europe/berlin", "Mars/Base", "../../etc/passwd", "/etc/localtime", "Europe", "Europe/../UTC", "posix/UTC", "CEST2"}},
		"email_kind":    {map[string]string{"WORK": "work", "home": "home", "billing": "billing", "other": "other"}, []string{"mobile", "x"}},
		"phone_kind":    {map[string]string{"Mobile": "mobile", "fax": "fax"}, []string{"billing", "pager"}},
		"phone_country": {map[string]string{"de": "DE", "uk": "GB", "XK": "XK"}, []string{"EU", "UN", "X", "ZZ", "12"}},
		"billing.iban": {
			map[string]string{"DE89 3704 0044 0532 0130 00": "DE89370400440532013000", "gb33bukb20201555555555": "GB33BUKB20201555555555", "BE68\u00a05390-0754-7034": "BE68539007547034", "BG80BNBG96611020345678": "BG80BNBG96611020345678"},
			[]string{"DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "DE", "3704 0044", "GB33BUKB2020155555555\u0665"},
		},
		"billing.vat_id": {
			map[string]string{"DE 123.456.789": "DE123456789", "atu12345678": "ATU12345678", "EL123456789": "EL123456789", "IE1234567WA": "IE1234567WA", "NL123456789B01": "NL123456789B01", "CHE-123.456.789 MWST": "CHE123456789MWST", "GB123456789": "GB123456789", "XIGD123": "XIGD123", "FRXX999999999": "FRXX999999999", "ESX1234567L": "ESX1234567L"},
			[]string{"DE12345678", "AT12345678", "123456789", "D", "FRIO999999999", "IT1234567890", "DE12345678\u0669", "ÄÖ123"},
		},
		"billing.currency":      {map[string]string{"eur": "EUR", "USD": "USD", "jpy": "JPY"}, []string{"EURO", "€", "QQQ", "12"}},
		"billing.payment_terms": {map[string]string{"0": "0", "030": "30", "365": "365"}, []string{"366", "-1", "30 days", "1.5", "99999999999"}},
		"website":               {map[string]string{"example.com": "example.com"}, []string{"example"}},
		"affiliation.source":    {map[string]string{" the  fair ": "the fair"}, []string{strings.Repeat("x", 101), "a\x00b"}},
		"display_name":          {map[string]string{"Acme": "Acme"}, []string{strings.Repeat("x", 201)}},
	} {
		for s, want := range c.taken {
			var d Details
			d.LastName = "Lee"
			one, _ := d.at(name)
			*one = s
			d, err := d.normal(Details{}, nil, today)
			if one, _ := d.at(name); err != nil || *one != want {
				t.Errorf("%s %q is stored as %q, %v, want %q", name, s, *one, err, want)
			}
		}
		for _, s := range c.faults {
			var d Details
			d.LastName = "Lee"
			one, _ := d.at(name)
			*one = s
			if d, err := d.normal(Details{}, nil, today); err == nil {
				t.Errorf("%s %q is taken: %+v", name, s, d)
			} else if all := domain.All(err); len(all) != 1 || all[0].Field != name {
				t.Errorf("%s %q: %v", name, s, err)
			}
		}
	}
}

func FuzzForms(f *testing.F) {
	for _, s := range []string{"DE89 3704 0044 0532 0130 00", "de 123.456.789", "pt_BR", "Europe/Berlin", "eur", "030", "1984-02-29", "uk", "\u0130\u0131\u00df\ufb01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, text := range texts {
			var d Details
			d.LastName = "Lee"
			*text.at(&d) = s
			once, err := d.normal(Details{}, nil, today)
			if err != nil {
				for _, e := range domain.All(err) {
					if e.Kind != domain.Invalid || e.Field == "" {
						t.Fatalf("%s %q: %v", text.name, s, e)
					}
				}
				continue
			}
			if twice, err := once.normal(Details{}, nil, today); err != nil || !twice.same(once) {
				t.Fatalf("%s %q: %+v, then %+v, %v", text.name, s, once, twice, err)
			}
		}
	})
}

// TestMaps: what is kept by keys.
func TestMaps(t *testing.T) {
	hour := today.Add(time.Hour)
	given := []Event{Registered{Details{
		Type: Person, LastName: "Lee", Meta: map[string]string{"a": "1", "b": "2"}, ExternalIDs: map[string]string{"erp": "9"},
		Consents: map[Channel]Consent{ByEmail: {true, today, "form"}},
	}, Assignment{ProjectID: retail}, Lead, nil}}
	edit := func(patch map[string]any) Edit { return Edit{patch} }
	consent := func(channel string, c any) Edit {
		return edit(map[string]any{"consents": map[string]any{channel: c}})
	}
	from := func(d Details) Edited { return Edited{From: d} }
	long := strings.Repeat("x", 101)
	cases := map[string]domaintest.Case[Command, Event]{
		"a key": {When: edit(map[string]any{"meta": map[string]any{"c": " 3\n", "a": "1"}}), Then: []Event{Edited{To: Details{Meta: map[string]string{"c": "3"}}}}},
		"another value, and one away": {
			When: edit(map[string]any{"meta": map[string]any{"a": "2", " b ": nil, "z": nil}}),
			Then: []Event{Edited{From: Details{Meta: map[string]string{"a": "1", "b": "2"}}, To: Details{Meta: map[string]string{"a": "2"}}}},
		},
		"to nothing":     {When: edit(map[string]any{"external_ids": map[string]any{"erp": " "}}), Then: []Event{from(Details{ExternalIDs: map[string]string{"erp": "9"}})}},
		"all away":       {When: edit(map[string]any{"meta": nil, "consents": nil}), Then: []Event{from(Details{Meta: map[string]string{"a": "1", "b": "2"}, Consents: map[Channel]Consent{ByEmail: {true, today, "form"}}})}},
		"nothing":        {When: edit(map[string]any{"meta": map[string]any{}, "external_ids": map[string]any{"erp": "9"}})},
		"no object":      {When: edit(map[string]any{"meta": "x", "external_ids": []any{}, "consents": 1.0}), Err: faults(fault("meta", "type"), fault("external_ids", "type"), fault("consents", "type"))},
		"no texts":       {When: edit(map[string]any{"meta": map[string]any{"a": 1.0, "b": map[string]any{}}}), Err: faults(fault("meta.a", "type"), fault("meta.b", "type"))},
		"without a key":  {When: edit(map[string]any{"meta": map[string]any{" ": "x"}}), Err: fault("meta.", "required")},
		"too long":       {When: edit(map[string]any{"meta": map[string]any{long: "x", "y": strings.Repeat(long, 10)}}), Err: faults(fault("meta."+long, "too_long"), fault("meta.y", "too_long"))},
		"too many":       {When: edit(map[string]any{"meta": many101(), "external_ids": many101()}), Err: faults(fault("meta", "too_many"), fault("external_ids", "too_many"))},
		"not text":       {When: edit(map[string]any{"external_ids": map[string]any{"a\x00": "b\x00"}}), Err: faults(fault("external_ids.a\x00", "control_character"), fault("external_ids.a\x00", "control_character"))},
		"twice":          {World: world, When: Register{Details: Details{LastName: "Lee", Meta: map[string]string{"a": "1", " a": "2"}}, ProjectID: retail}, Given: []Event{}, Err: fault("meta.a", "duplicate")},
		"a consent":      {When: consent("sms", map[string]any{"granted": true}), Then: []Event{Edited{To: Details{Consents: map[Channel]Consent{BySMS: {true, today.Add(time.Minute), ""}}}}}},
		"a refusal":      {When: consent("sms", map[string]any{"granted": false, "at": "2026-03-01T12:00:00+01:00", "source": " by  phone"}), Then: []Event{Edited{To: Details{Consents: map[Channel]Consent{BySMS: {false, time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), "by phone"}}}}}},
		"again":          {When: consent("email", map[string]any{"granted": true})},
		"again, in full": {When: consent("email", map[string]any{"granted": true, "at": today.Format(time.RFC3339), "source": "form"})},
		"its source": {When: consent("email", map[string]any{"source": "letter"}), Then: []Event{Edited{
			From: Details{Consents: map[Channel]Consent{ByEmail: {true, today, "form"}}}, To: Details{Consents: map[Channel]Consent{ByEmail: {true, today, "letter"}}},
		}}},
		"withdrawn": {When: consent("email", map[string]any{"granted": false}), Then: []Event{Edited{
			From: Details{Consents: map[Channel]Consent{ByEmail: {true, today, "form"}}}, To: Details{Consents: map[Channel]Consent{ByEmail: {false, today.Add(time.Minute), ""}}},
		}}},
		"a consent away":         {When: consent("email", nil), Then: []Event{from(Details{Consents: map[Channel]Consent{ByEmail: {true, today, "form"}}})}},
		"a consent by pigeon":    {When: consent("pigeon", map[string]any{"granted": true}), Err: fault("consents.pigeon", "unknown")},
		"a consent of tomorrow":  {When: consent("chat", map[string]any{"granted": true, "at": hour.Format(time.RFC3339)}), Err: fault("consents.chat.at", "future")},
		"a consent of some time": {When: consent("chat", map[string]any{"granted": true, "at": "yesterday"}), Err: fault("consents.chat.at", "time")},
		"not whether":            {When: consent("chat", map[string]any{"source": "x"}), Err: fault("consents.chat.granted", "required")},
		"all wrong": {When: consent("chat", map[string]any{"granted": "yes", "at": 5.0, "source": true, "x": nil}), Err: faults(
			fault("consents.chat.granted", "type"), fault("consents.chat.at", "type"), fault("consents.chat.source", "type"), fault("consents.chat.x", "unknown_field"),
		)},
		"no consent": {When: consent("chat", true), Err: fault("consents.chat", "type")},
	}
	for name, c := range cases {
		if c.Given == nil {
			c.Given = given
		}
		c.At = today.Add(time.Minute)
		cases[name] = c
	}
	domaintest.Run(t, Aggregate, cases)
}

func many101() map[string]any {
	out := map[string]any{}
	for _, key := range many(101, func(s string) string { return s }) {
		out[key] = "x"
	}
	return out
}
