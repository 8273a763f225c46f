package client

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"annals/domain"
)

// TestCollisions: which fields two people have both changed.
func TestCollisions(t *testing.T) {
	edited := func(from, to Details) Event { return Edited{from, to} }
	patch := func(p map[string]any) Command { return Edit{p} }
	for name, c := range map[string]struct {
		since []Event
		when  Command
		want  []string
	}{
		"nothing since":        {nil, patch(map[string]any{"email": "x"}), nil},
		"the same field":       {[]Event{edited(Details{Email: "a"}, Details{Email: "b"})}, patch(map[string]any{"email": "x", "phone": "1"}), []string{"email"}},
		"emptied since":        {[]Event{edited(Details{Email: "a"}, Details{})}, patch(map[string]any{"email": nil}), []string{"email"}},
		"other fields":         {[]Event{edited(Details{Email: "a"}, Details{Email: "b"})}, patch(map[string]any{"phone": "1", "email_kind": "work"}), nil},
		"of an address":        {[]Event{edited(Details{}, Details{Address: Address{City: "Bonn"}, WorkAddress: Address{City: "Bonn"}})}, patch(map[string]any{"address": map[string]any{"city": "Ulm", "street": "x"}}), []string{"address.city"}},
		"other parts of it":    {[]Event{edited(Details{}, Details{Address: Address{City: "Bonn"}})}, patch(map[string]any{"address": map[string]any{"street": "x"}}), nil},
		"all of it":            {[]Event{edited(Details{}, Details{Address: Address{City: "Bonn", Street: "x"}})}, patch(map[string]any{"address": nil}), []string{"address.city", "address.street"}},
		"by a form":            {[]Event{edited(Details{}, Details{Email: "a", OtherPhones: []Phone{{Number: "1"}}, BillingAddress: Address{City: "x"}})}, patch(map[string]any{"emails": []any{map[string]any{"email": "b"}}, "phones": nil, "addresses": map[string]any{"billing": map[string]any{"city": "y"}}}), []string{"billing_address.city", "email", "other_phones"}},
		"a key":                {[]Event{edited(Details{}, Details{Meta: map[string]string{"a": "1", "b": "2"}, Custom: map[string]any{"x.y": 5.0}})}, patch(map[string]any{"meta": map[string]any{"b": "3", "c": "4"}, "custom": map[string]any{"x.y": 6.0}}), []string{"custom.x.y", "meta.b"}},
		"a consent":            {[]Event{edited(Details{}, Details{Consents: map[Channel]Consent{ByEmail: {Granted: true}}})}, patch(map[string]any{"consents": map[string]any{"email": map[string]any{"granted": false}}}), []string{"consents.email"}},
		"a patch that is none": {[]Event{edited(Details{Email: "a"}, Details{Email: "b"})}, patch(map[string]any{"emails": 5.0, "email": 6.0, "x": nil}), []string{"email"}},
		"status":               {[]Event{StatusChanged{From: Lead, To: Active}}, ChangeStatus{Status: Inactive}, []string{"status"}},
		"status, edited":       {[]Event{edited(Details{Email: "a"}, Details{})}, ChangeStatus{Status: Inactive}, nil},
		"desks":                {[]Event{Reassigned{From: Assignment{retail, north, ann}, To: Assignment{retail, south, ann}}}, Assign{DeskID: set(north), ManagerID: set(bob)}, []string{"desk_id"}},
		"managers":             {[]Event{Reassigned{From: Assignment{retail, north, ann}, To: Assignment{retail, north, bob}}}, HandOver{ann, bob}, []string{"manager_id"}},
		"tags":                 {[]Event{Retagged{Added: []string{"a"}}}, Retag{Remove: []string{"b"}}, []string{"tags"}},
		"active":               {[]Event{Deactivated{"x"}}, Reactivate{}, []string{"active"}},
	} {
		if diff := cmp.Diff(c.want, Aggregate.Collisions(c.when, c.since)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestCollisionsAreComplete: what two people would both change of what they both see, and
// what does not follow from something else, collides.
func TestCollisionsAreComplete(t *testing.T) {
	follows := func(path string) bool {
		return derived[path] || strings.HasPrefix(path, "other_") || strings.Contains(path, ".country")
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Aggregate.Evolve(State{}, Registered{storedButCustom.Draw(t, "client"), Assignment{ProjectID: retail}, Lead, nil})
		changed := func(c Edit) (events []Event, paths []string) {
			events, _ = Aggregate.Decide(s, c, nil, domain.Meta{By: domain.Root, At: today})
			for _, e := range events {
				paths = append(paths, touched(e)...)
			}
			return events, paths
		}
		one, other := Edit{fitting.Draw(t, "one")}, Edit{fitting.Draw(t, "other")}
		since, theirs := changed(one)
		_, mine := changed(other)
		told := Aggregate.Collisions(other, since)
		for _, path := range mine {
			if slices.Contains(theirs, path) && !follows(path) && !slices.Contains(told, path) {
				t.Fatalf("%s collides, and %v is told", path, told)
			}
		}
		for _, path := range told {
			if !slices.Contains(theirs, path) {
				t.Fatalf("%s is told, and did not change", path)
			}
		}
	})
}
