package client

import (
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
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
	return d
})

// someText draws what people type into a field: often nothing, often what fits.
func someText(name string) *rapid.Generator[string] {
	fits := map[string][]string{
		"email": {"kim@example.com", " a@b "}, "phone": {"555-0123", "+49 (30) 1 23\u00a045"}, "website": {"example.com", "https://example.com/a?b"},
	}[name]
	return rapid.OneOf(
		rapid.Just(""),
		rapid.SampledFrom(append(fits, "Kim", " Kim ", "Zoe\u0308", "", "\u0958", "x\u200by")),
		rapid.String(),
	)
}

// stored draws details as they stand in the log.
var stored = rapid.Custom(func(t *rapid.T) Details {
	for {
		d := someDetails.Draw(t, "details")
		if d.LastName == "" {
			d.LastName = "Lee"
		}
		if d.Company == "" {
			d.Company = "Acme"
		}
		if d, err := d.normal(Details{}); err == nil {
			return d
		}
		for _, text := range texts { // keep what fits, drop the rest
			one := Details{Type: Company, Company: "Acme"}
			*text.at(&one) = *text.at(&d)
			if one.Company == "" {
				one.Company = "Acme"
			}
			if one, err := one.normal(Details{}); err != nil {
				*text.at(&d) = ""
			} else {
				*text.at(&d) = *text.at(&one)
			}
		}
		d.Type, d.LastName = Person, "Lee"
		if d, err := d.normal(Details{}); err == nil {
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
			names = append(names, prefix+name)
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
		once, err := someDetails.Draw(t, "details").normal(Details{})
		if err != nil {
			return
		}
		if twice, err := once.normal(Details{}); err != nil || twice != once {
			t.Fatalf("%+v\n%+v, %v", once, twice, err)
		}
		if twice, err := once.normal(once); err != nil || twice != once {
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
		if got := from.apply(Edited{was, is}); got != to {
			t.Fatalf("forward:\n%+v\n%+v", got, to)
		}
		if got := to.apply(Edited{is, was}); got != from {
			t.Fatalf("back:\n%+v\n%+v", got, from)
		}
		if was == is && from != to {
			t.Fatal("the change is lost")
		}
		if again, same := diff(was, is); again != was || same != is {
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
	patch := rapid.MapOfN(rapid.SampledFrom([]string{"type", "first_name", "last_name", "company", "email", "phone", "bogus", "Email"}), value, 0, 4).Draw(t, "patch")
	if rapid.Bool().Draw(t, "with address") {
		patch["address"] = rapid.OneOf(value, rapid.Map(
			rapid.MapOfN(rapid.SampledFrom([]string{"street", "city", "country", "bogus"}), value, 0, 3), func(m map[string]any) any { return m },
		)).Draw(t, "address")
	}
	return patch
})

func TestMergePatchLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, p := stored.Draw(t, "details"), patches.Draw(t, "patch")
		if got, err := d.merge(nil); err != nil || got != d {
			t.Fatalf("an empty patch changes something: %+v, %v", got, err)
		}
		once, err := d.merge(p)
		if err != nil {
			return
		}
		if twice, err := once.merge(p); err != nil || twice != once {
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
		if once != want {
			t.Fatalf("merged\n%+v, by RFC 7396\n%+v", once, want)
		}
	})
}

// TestMergeReaches: any details can be reached from any others by one patch.
func TestMergeReaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := stored.Draw(t, "from"), stored.Draw(t, "to")
		patch := map[string]any{"type": string(to.Type), "address": map[string]any{}}
		for _, text := range texts {
			var value any
			if s := *text.at(&to); s != "" {
				value = s
			}
			if in, ok := strings.CutPrefix(text.name, "address."); ok {
				patch["address"].(map[string]any)[in] = value
			} else {
				patch[text.name] = value
			}
		}
		if got, err := from.merge(patch); err != nil || got != to {
			t.Fatalf("%+v, want %+v, %v", got, to, err)
		}
	})
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
		events, err := Aggregate.Decide(given, Edit{patch}, nil, domain.Meta{By: domain.Root})
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
		if again, err := Aggregate.Decide(s, Edit{patch}, nil, domain.Meta{By: domain.Root}); err != nil || len(again) > 0 {
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
