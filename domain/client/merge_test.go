package client

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"annals/domain"
)

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
