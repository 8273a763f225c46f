package client

import (
	"encoding/json"
	"maps"
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
			switch f.Type.Kind() {
			case reflect.Struct:
				walk(prefix+name+".", f.Type)
				continue
			case reflect.Slice, reflect.Map:
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

// rfc7396 is the algorithm of section 2 of that RFC, to compare with.
func rfc7396(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out, ok := target.(map[string]any)
	if ok {
		out = maps.Clone(out)
	} else {
		out = map[string]any{}
	}
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = rfc7396(out[k], v)
		}
	}
	return out
}

// patches draws merge patches of details, sometimes with what does not fit.
var patches = rapid.Custom(func(t *rapid.T) map[string]any {
	value := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.String(), func(s string) any { return s }), rapid.SampledFrom([]any{"Kim", "", "a@b", 5.0, true, []any{}, map[string]any{}}),
	)
	patch := rapid.MapOfN(rapid.SampledFrom([]string{"type", "first_name", "last_name", "company", "email", "phone", "bogus", "Email", "meta", "other_emails"}), value, 0, 4).Draw(t, "patch")
	if rapid.Bool().Draw(t, "with address") {
		patch["address"] = rapid.OneOf(value, rapid.Map(
			rapid.MapOfN(rapid.SampledFrom([]string{"street", "city", "country", "bogus"}), value, 0, 3), func(m map[string]any) any { return m },
		)).Draw(t, "address")
	}
	return patch
})

// fitting draws merge patches of what fits, forms among it.
var fitting = rapid.Custom(func(t *rapid.T) map[string]any {
	or := func(values ...any) *rapid.Generator[any] { return rapid.SampledFrom(append(values, nil)) }
	object := func(fields map[string]*rapid.Generator[any]) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			out := map[string]any{}
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				if rapid.Bool().Draw(t, name) {
					out[name] = fields[name].Draw(t, name)
				}
			}
			return out
		})
	}
	list := func(of *rapid.Generator[any]) *rapid.Generator[any] {
		return rapid.Map(rapid.SliceOfN(of, 0, 3), func(s []any) any { return s })
	}
	countries := object(map[string]*rapid.Generator[any]{"city": or("Bonn", "Ulm"), "country": or("Germany", "France", "Atlantis"), "country_code": or("DE", "fr")})
	entries := func(main string, values ...any) *rapid.Generator[any] {
		return list(rapid.Custom(func(t *rapid.T) any {
			return map[string]any{main: or(values...).Draw(t, main), "kind": or("work", "home").Draw(t, "kind")}
		}))
	}
	patch, _ := object(map[string]*rapid.Generator[any]{
		"title": or("Dr."), "email": or("a@example.com", "b@example.com"), "email_kind": or("work", "home"), "phone": or("030 901820", "112"), "phone_country": or("DE"),
		"other_emails": entries("email", "a@example.com", "b@example.com", "c@example.com"), "other_phones": entries("number", "112", "030 901820"),
		"address": countries, "work_address": countries, "meta": object(map[string]*rapid.Generator[any]{"a": or("1", "2"), "b ": or("3")}),
		"consents": object(map[string]*rapid.Generator[any]{"email": object(map[string]*rapid.Generator[any]{"granted": rapid.SampledFrom([]any{true, false}), "source": or("form", "letter")})}),
	}).Draw(t, "patch").(map[string]any)
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0:
		patch["emails"] = entries("email", "a@example.com", "b@example.com").Draw(t, "emails")
		delete(patch, "email")
	case 1:
		patch["phones"] = entries("number", "112", "030 901820").Draw(t, "phones")
		delete(patch, "phone")
	case 2:
		patch["addresses"] = object(map[string]*rapid.Generator[any]{"home": countries, "work": countries, "billing": countries}).Draw(t, "addresses")
		delete(patch, "address")
		delete(patch, "work_address")
	}
	return patch
})

// TestFittingAgain: what has been asked for and done leads to nothing when it is asked
// for again.
func TestFittingAgain(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		s := Aggregate.Evolve(State{}, Registered{storedButCustom.Draw(t, "client"), Assignment{ProjectID: retail}, Lead, nil})
		c := Edit{fitting.Draw(t, "patch")}
		events, err := Aggregate.Decide(s, c, nil, domain.Meta{By: domain.Root, At: today})
		if err != nil {
			return
		}
		taken++
		for _, e := range events {
			s = Aggregate.Evolve(s, e)
		}
		if again, err := Aggregate.Decide(s, c, nil, domain.Meta{By: domain.Root, At: today.Add(time.Hour)}); err != nil || len(again) > 0 {
			t.Fatalf("again: %+v, %v", again, err)
		}
	})
	if taken == 0 {
		t.Error("nothing was taken")
	}
}

// TestFlattenInflate: they are each other's inverse, also through JSON.
func TestFlattenInflate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := stored.Draw(t, "details")
		flat := Flatten(d)
		for path, value := range flat {
			if reflect.ValueOf(value).IsZero() && !strings.HasPrefix(path, "custom.") {
				t.Fatalf("%s is empty", path)
			}
		}
		if got, err := Inflate(flat); err != nil || !got.same(d) || !reflect.DeepEqual(got, d) {
			t.Fatalf("%v: %+v is\n%+v", err, d, got)
		}
		b, err := json.Marshal(flat)
		if err != nil {
			t.Fatal(err)
		}
		var read map[string]any
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		if got, err := Inflate(read); err != nil || !reflect.DeepEqual(got, d) {
			t.Fatalf("%v: %+v is\n%+v", err, d, got)
		}
	})
}

func TestMergePatchLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, p := stored.Draw(t, "details"), patches.Draw(t, "patch")
		if got, _, err := d.merge(nil); err != nil || !got.same(d) {
			t.Fatalf("an empty patch changes something: %+v, %v", got, err)
		}
		once, _, err := d.merge(p)
		if err != nil {
			return
		}
		if twice, _, err := once.merge(p); err != nil || !twice.same(once) {
			t.Fatalf("twice is not once: %+v, %+v, %v", once, twice, err)
		}
		var want Details
		b, err := json.Marshal(rfc7396(document(t, d), p))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("taken, and not what RFC 7396 makes of it: %s: %v", b, err)
		}
		if !once.same(want) {
			t.Fatalf("merged\n%+v, by RFC 7396\n%+v", once, want)
		}
	})
}

// TestMergeReaches: any details can be reached from any others by one patch.
func TestMergeReaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := storedButCustom.Draw(t, "from"), storedButCustom.Draw(t, "to")
		got, g, err := from.merge(patchTo(t, from, to))
		if err == nil {
			got, err = got.normal(from, g, today)
		}
		if err != nil || !got.same(to) {
			was, is := diff(got, to)
			t.Fatalf("%+v, want %+v, %v", was, is, err)
		}
	})
}

// patchTo says all of what one patch has to say to make to of from, as somebody does
// who has edited all of it.
func patchTo(t interface{ Fatal(...any) }, from, to Details) map[string]any {
	patch := document(t, to)
	for _, name := range []string{"other_emails", "other_phones", "external_ids", "consents", "meta"} {
		if _, there := patch[name]; !there {
			patch[name] = nil
		}
	}
	for name, keys := range map[string][]string{
		"external_ids": slices.Collect(maps.Keys(from.ExternalIDs)), "meta": slices.Collect(maps.Keys(from.Meta)),
	} {
		for _, key := range keys {
			if in, ok := patch[name].(map[string]any); ok && in[key] == nil {
				in[key] = nil
			}
		}
	}
	for channel := range from.Consents {
		in, ok := patch["consents"].(map[string]any)
		if !ok {
			break
		}
		if c, there := in[string(channel)].(map[string]any); !there {
			in[string(channel)] = nil
		} else if c["source"] == nil {
			c["source"] = nil
		}
	}
	for _, text := range texts {
		outer, inner, nested := strings.Cut(text.name, ".")
		in := patch
		if nested {
			if patch[outer] == nil {
				patch[outer] = map[string]any{}
			}
			in = patch[outer].(map[string]any)
		} else {
			inner = outer
		}
		if in[inner] == nil {
			in[inner] = nil
		}
	}
	return patch
}

func FuzzEdit(f *testing.F) {
	f.Add(`{"last_name":"Moe","address":{"city":null}}`)
	f.Add(`{"address":null,"type":null,"email":5}`)
	f.Add(`{"":{"":{}},"address.city":"x","address":{"":""}}`)
	given := Aggregate.Evolve(State{}, Registered{lee, Assignment{ProjectID: retail}, Lead, nil})
	f.Fuzz(func(t *testing.T, raw string) {
		var patch map[string]any
		if json.Unmarshal([]byte(raw), &patch) != nil {
			return
		}
		events, err := Aggregate.Decide(given, Edit{patch}, nil, domain.Meta{By: domain.Root, At: today})
		if err != nil {
			if all := domain.All(err); len(all) == 0 || len(events) > 0 {
				t.Fatalf("%s: %v, which its sender may not see", raw, err)
			}
			return
		}
		s := given
		for _, e := range events {
			s = Aggregate.Evolve(s, e)
		}
		if again, err := Aggregate.Decide(s, Edit{patch}, nil, domain.Meta{By: domain.Root, At: today}); err != nil || len(again) > 0 {
			t.Fatalf("%s: again leads to %v, %v", raw, again, err)
		}
	})
}

func TestPhone(t *testing.T) {
	for _, s := range []string{
		"555-0123", "(5) 555-4729", "+49 (0)30 / 123 45", "0621-08460", "88.60.15.31", "1-800-555 ext. 12", "030x12", "112", "\u0661\u0662\u0663", "+1 555\u20110123", "*31#1234",
	} {
		if err := checkPhone("phone", s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"12", "call me", "555 0123 <b>", "-----", "5550123\x00", "12a3b4", "NULL"} {
		if checkPhone("phone", s) == nil {
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
		if checkPhone("phone", s) == nil && (strings.ContainsAny(s, "<>\"'&$\n\x00@") || !utf8.ValidString(s)) {
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
