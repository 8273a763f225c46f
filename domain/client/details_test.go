package client

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"annals/domain"
)

// someDetails draws details that may or may not be taken.
var someDetails = rapid.Custom(func(t *rapid.T) Details {
	d := Details{Type: rapid.SampledFrom([]Type{"", Person, Company, "robot"}).Draw(t, "type")}
	for _, text := range texts {
		*text.at(&d) = someText(text.name).Draw(t, text.name)
	}
	if rapid.Bool().Draw(t, "more than texts") {
		kind := rapid.SampledFrom([]string{"", "home", " Work", "bogus"})
		d.OtherEmails = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Email {
			return Email{someText("email").Draw(t, "email"), kind.Draw(t, "kind")}
		}), 0, 3).Draw(t, "emails")
		d.OtherPhones = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Phone {
			return Phone{someText("phone").Draw(t, "number"), kind.Draw(t, "kind"), someText("phone_country").Draw(t, "country"), someText("phone_e164").Draw(t, "e164")}
		}), 0, 3).Draw(t, "phones")
		d.ExternalIDs = rapid.MapOfN(someText("key"), someText("id"), 0, 3).Draw(t, "ids")
		d.Meta = rapid.MapOfN(someText("key"), someText("value"), 0, 3).Draw(t, "meta")
		d.Consents = rapid.MapOfN(rapid.SampledFrom([]Channel{ByEmail, BySMS, ByChat, "fax"}), rapid.Custom(func(t *rapid.T) Consent {
			return Consent{rapid.Bool().Draw(t, "granted"), rapid.SampledFrom([]time.Time{{}, today, today.Add(-time.Hour), today.Add(time.Hour)}).Draw(t, "at"), someText("source").Draw(t, "source")}
		}), 0, 2).Draw(t, "consents")
	}
	return d
})

// someValues draws values of custom fields, as JSON has them.
var someValues = rapid.MapOfN(rapid.SampledFrom([]string{"colour", "size", "a.b"}), rapid.SampledFrom([]any{"red", 5.0, true, []any{"a", "b"}}), 0, 3)

// today is when it is in these tests.
var today = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// someText draws what people type into a field: often nothing, often what fits.
func someText(name string) *rapid.Generator[string] {
	fits := map[string][]string{
		"email": {"kim@example.com", " a@b "}, "phone": {"555-0123", "+49 (30) 1 23\u00a045", "030 901820", "+49 30 901820"}, "website": {"example.com", "https://example.com/a?b"},
		"gender": {"Female", "agender"}, "date_of_birth": {"1984-02-29", "2026-03-15", "1849-12-31", "2026-04-01", "1.2.1990"}, "language": {"de", "pt_br", "zh-Hant-TW"},
		"time_zone": {"Europe/Berlin", "UTC", "Local", "../etc/passwd"}, "email_kind": {"Work", "home"}, "phone_kind": {"MOBILE", "fax"}, "phone_country": {"de", "DE", "UK", "FR"},
		"phone_e164": {"+4930901820"}, "address.country": someCountries, "address.country_code": someCodes, "work_address.country": someCountries, "work_address.country_code": someCodes,
		"billing.vat_id": {"de 123.456.789", "FR1", "GB999"}, "billing.iban": {"de89 3704 0044 0532 0130 00"}, "billing.currency": {"eur", "XXX"}, "billing.payment_terms": {"030", "366", "-1"},
	}[name]
	return rapid.OneOf(
		rapid.Just(""),
		rapid.SampledFrom(append(fits, "Kim", " Kim ", "Zoe\u0308", "", "\u0958", "x\u200by")),
		rapid.String(),
	)
}

var someCountries, someCodes = []string{"Germany", "Deutschland", "UK", "Atlantis"}, []string{"de", "GB", "XX"}

// stored draws details as they stand in the log.
var stored = rapid.Custom(func(t *rapid.T) Details {
	d := storedButCustom.Draw(t, "details")
	if rapid.Bool().Draw(t, "custom") {
		if d.Custom = someValues.Draw(t, "custom"); len(d.Custom) == 0 {
			d.Custom = nil
		}
	}
	return d
})

var storedButCustom = rapid.Custom(func(t *rapid.T) Details {
	for {
		d := someDetails.Draw(t, "details")
		if d.LastName == "" {
			d.LastName = "Lee"
		}
		if d.Company == "" {
			d.Company = "Acme"
		}
		if d, err := d.normal(Details{}, nil, today); err == nil {
			return d
		}
		d.OtherEmails, d.OtherPhones, d.ExternalIDs, d.Consents, d.Meta = nil, nil, nil, nil, nil
		d.Address.CountryCode, d.WorkAddress.CountryCode, d.BillingAddress.CountryCode, d.PhoneCountry = "", "", "", ""
		for _, text := range texts { // keep what fits, drop the rest
			one := Details{Type: Company, Company: "Acme"}
			*text.at(&one) = *text.at(&d)
			if one.Company == "" {
				one.Company = "Acme"
			}
			if one, err := one.normal(Details{}, nil, today); err != nil {
				*text.at(&d) = ""
			} else {
				*text.at(&d) = *text.at(&one)
			}
		}
		d.Type, d.LastName = Person, "Lee"
		if d, err := d.normal(Details{}, nil, today); err == nil {
			return d
		}
	}
})

// TestTextsAreComplete: every field of Details is told apart, checked and merged.
func TestTextsAreComplete(t *testing.T) {
	var names []string
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Type.Kind() == reflect.Struct {
				walk(prefix+name+".", f.Type)
				continue
			}
			if f.Type.Kind() != reflect.String {
				continue
			}
			if !derived[name] {
				names = append(names, prefix+name)
			}
			var d Details
			if one, _ := d.at(prefix + name); one == nil {
				t.Errorf("%s has no line in texts", prefix+name)
			} else if *one = "x"; fieldNamed(t, d, prefix+name) != "x" {
				t.Errorf("%s leads to another field", prefix+name)
			}
		}
	}
	walk("", reflect.TypeFor[Details]())
	if diff := cmp.Diff(names, Fields()); diff != "" {
		t.Errorf("Fields (-details +got)\n%s", diff)
	}
}

func fieldNamed(t *testing.T, d Details, name string) any {
	t.Helper()
	var m any = document(t, d)
	for part := range strings.SplitSeq(name, ".") {
		m = m.(map[string]any)[part]
	}
	return m
}

func document(t interface{ Fatal(...any) }, d Details) map[string]any {
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestName(t *testing.T) {
	for want, d := range map[string]Details{
		"":           {},
		"Kim Lee":    {FirstName: "Kim", LastName: "Lee"},
		"Kim J. Lee": {Type: Person, FirstName: "Kim", MiddleName: "J.", LastName: "Lee", Company: "Acme"},
		"Lee":        {Type: Person, LastName: "Lee"},
		"Acme":       {Type: Company, Company: "Acme", FirstName: "Kim"},
		"Beta":       {Type: Person, Company: "Beta"},
	} {
		if got := d.Name(); got != want {
			t.Errorf("%+v is called %q, want %q", d, got, want)
		}
	}
}

// TestNormalIsIdempotent: what has been brought into the stored form once stays as
// it is and is taken again, alone or on top of itself.
func TestNormalIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once, err := rapid.OneOf(someDetails, stored).Draw(t, "details").normal(Details{}, nil, today)
		if err != nil {
			return
		}
		if twice, err := once.normal(Details{}, nil, today); err != nil || !twice.same(once) {
			t.Fatalf("%+v\n%+v, %v", once, twice, err)
		}
		if twice, err := once.normal(once, given{}, today); err != nil || !twice.same(once) {
			t.Fatalf("%+v\n%+v, %v", once, twice, err)
		}
		for _, text := range texts {
			if s := *text.at(&once); !utf8.ValidString(s) || utf8.RuneCountInString(s) > text.most || strings.Contains(s, "\n") {
				t.Fatalf("%s is stored as %q", text.name, s)
			}
		}
	})
}

// TestEditedLaws: applying what differs leads from the one to the other, and back.
func TestEditedLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := stored.Draw(t, "from"), stored.Draw(t, "to")
		was, is := diff(from, to)
		if got := from.apply(Edited{was, is}); !got.same(to) || !reflect.DeepEqual(got, to) {
			t.Fatalf("forward:\n%+v\n%+v", got, to)
		}
		if got := to.apply(Edited{is, was}); !got.same(from) {
			t.Fatalf("back:\n%+v\n%+v", got, from)
		}
		if was.empty() && is.empty() && !reflect.DeepEqual(from, to) {
			t.Fatal("the change is lost")
		}
		if again, same := diff(was, is); !again.same(was) || !same.same(is) {
			t.Fatal("a difference has itself as difference")
		}
		for _, text := range texts {
			if a, b := *text.at(&was), *text.at(&is); a == b && a != "" {
				t.Fatalf("%s is told, and did not change", text.name)
			}
		}
	})
}

func TestPhone(t *testing.T) {
	for _, s := range []string{
		"555-0123", "(5) 555-4729", "+49 (0)30 / 123 45", "0621-08460", "88.60.15.31", "1-800-555 ext. 12", "030x12", "112", "\u0661\u0662\u0663", "+1 555\u20110123", "*31#1234",
	} {
		if err := domain.CheckPhone("phone", s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"12", "call me", "555 0123 <b>", "-----", "5550123\x00", "12a3b4", "NULL"} {
		if domain.CheckPhone("phone", s) == nil {
			t.Errorf("%q is taken for a phone number", s)
		}
	}
}

func TestWebsite(t *testing.T) {
	for _, s := range []string{
		"example.com", "www.example.com/a?b=c#d", "https://example.com", "HTTP://EXAMPLE.COM:8080/", "https://bücher.example", "10.0.0.1", "http://a-b.c_d.example/x%20y",
	} {
		if err := checkWebsite("website", s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"example", "http://localhost", "ftp://example.com", "javascript:alert(1)", "javascript://example.com/%0aalert(1)", "data:text/html,x.y", "https://", ".", "..", "a..b", "https://.com", "https://example.",
		"https://me:secret@example.com", "me@example.com", "file:///etc/pass.wd", "https://exa mple.com", "https://example.com/a b", "https://[::1]", "https://example.com:x/", "//example.com",
	} {
		if checkWebsite("website", s) == nil {
			t.Errorf("%q is taken for a web address", s)
		}
	}
}

func FuzzPhone(f *testing.F) {
	f.Add("+49 (0)30 / 123")
	f.Fuzz(func(t *testing.T, s string) {
		if domain.CheckPhone("phone", s) == nil && (strings.ContainsAny(s, "<>\"'&$\n\x00@") || !utf8.ValidString(s)) {
			t.Errorf("%q is taken for a phone number", s)
		}
	})
}

func FuzzWebsite(f *testing.F) {
	f.Add("example.com")
	f.Add("javascript://example.com/")
	f.Fuzz(func(t *testing.T, s string) {
		if checkWebsite("website", s) != nil {
			return
		}
		if !strings.Contains(s, "://") {
			s = "https://" + s
		}
		u, err := url.Parse(s)
		if err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" || u.User != nil {
			t.Errorf("%q is taken for a web address", s)
		}
	})
}
