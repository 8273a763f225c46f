package field_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/employee"
	. "annals/domain/field"
	"annals/domain/role"
)

var (
	ann, bob = uuid.MustParse("a0000000-0000-4000-8000-000000000001"), uuid.MustParse("b0000000-0000-4000-8000-000000000001")
	acme     = uuid.MustParse("c0000000-0000-4000-8000-000000000001")
	secret   = uuid.MustParse("c0000000-0000-4000-8000-000000000002")
	nobody   = uuid.MustParse("d0000000-0000-4000-8000-000000000001")
)

// clientAt is a client as a decision sees one.
type clientAt struct{ at domain.Place }

func (clientAt) Exists() bool          { return true }
func (c clientAt) Place() domain.Place { return c.at }

func others() domain.World {
	e := func(events ...employee.Event) employee.State {
		s := employee.Aggregate.Evolve(employee.State{}, employee.Registered{})
		for _, e := range events {
			s = employee.Aggregate.Evolve(s, e)
		}
		return s
	}
	return domain.World{
		{Category: domain.Employee, ID: ann}:  e(),
		{Category: domain.Employee, ID: bob}:  e(employee.Deactivated{}),
		{Category: domain.Client, ID: acme}:   clientAt{domain.Place{Project: retail}},
		{Category: domain.Client, ID: secret}: clientAt{domain.Place{Project: wholesale}},
	}
}

// registry has a field of every type for all, called like its type, and some more.
func registry() State {
	var s State
	n := byte(100)
	add := func(project domain.ID, key string, t Type, set Settings) {
		n++
		s = Aggregate.Evolve(s, defined(of(project, domain.ID{n}, key, t, set)))
	}
	options := []Option{{Key: "silver", Label: "Silber"}, {Key: "gold", Label: "Gold"}, {"tin", "Tin", true}}
	for _, t := range Types {
		set := Settings{}
		if t == OneOf || t == SeveralOf {
			set.Options = options
		}
		add(domain.ID{}, string(t), t, set)
	}
	add(retail, "needed", Text, Settings{Required: true})
	add(retail, "level", Number, Settings{Default: "1"})
	add(retail, "old", Text, Settings{Required: true, Default: "x"})
	add(wholesale, "elsewhere", Text, Settings{Required: true})
	for _, d := range s.For(retail) {
		if d.Key == "old" {
			s = Aggregate.Evolve(s, Retired{d.ID, retail})
		}
	}
	return s
}

var seller = as(role.ProjectAdmin, retail)

func TestMerge(t *testing.T) {
	s, w := registry(), others()
	had := Map{"old": "kept", "elsewhere": "kept too", "needed": "here", "text": "t", "one_of": "tin", "several_of": []any{"gold", "tin"}, "employee": bob.String(), "url": "from before"}
	with := func(changes ...any) Map {
		m := maps.Clone(had)
		for i := 0; i < len(changes); i += 2 {
			if key := changes[i].(string); changes[i+1] == nil {
				delete(m, key)
			} else {
				m[key] = changes[i+1]
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		project    domain.ID
		was, patch Map
		creating   bool
		want       Map
		err        error
	}{
		"nothing":                              {was: had, want: had},
		"nothing, of nothing":                  {},
		"what is there already stays":          {was: had, patch: Map{"one_of": "tin", "several_of": []any{"tin"}, "employee": bob.String(), "url": "from before"}, want: with("several_of", []any{"tin"})},
		"null takes away, and so does nothing": {was: had, patch: Map{"text": nil, "url": "", "several_of": []any{}}, want: with("text", nil, "url", nil, "several_of", nil)},
		"null of what is not there":            {was: had, patch: Map{"number": nil}, want: had},
		"a retired option comes not back":      {was: had, patch: Map{"one_of": "gold", "several_of": []any{"silver"}}, want: with("one_of", "gold", "several_of", []any{"silver"})},
		"a retired field":                      {was: had, patch: Map{"old": "x"}, err: fault("custom.old", "retired")},
		"a field of another project":           {was: had, patch: Map{"elsewhere": "x"}, err: fault("custom.elsewhere", "unknown_field")},
		"a field in its own project":           {project: wholesale, was: had, patch: Map{"elsewhere": "x"}, want: with("elsewhere", "x")},
		"a field that there is not":            {patch: Map{"fax.number": "x"}, err: fault("custom.fax.number", "unknown_field")},
		"taking away what is needed":           {was: had, patch: Map{"needed": nil}, err: fault("custom.needed", "required")},
		"emptying what is needed":              {was: had, patch: Map{"needed": " "}, err: fault("custom.needed", "required")},
		"other things without what is needed":  {was: Map{"text": "t"}, patch: Map{"text": "u", "needed": nil}, want: Map{"text": "u"}},
		"all that is wrong":                    {patch: Map{"number": "x", "date": "x", "fax": "x"}, creating: true, err: join(fault("custom.number", "number"), fault("custom.date", "date"), fault("custom.fax", "unknown_field"), fault("custom.needed", "required"))},
		"new, without what is needed":          {creating: true, err: fault("custom.needed", "required")},
		"new, with the default":                {creating: true, patch: Map{"needed": "x"}, want: Map{"needed": "x", "level": "1"}},
		"new, with another value":              {creating: true, patch: Map{"needed": "x", "level": 2.0}, want: Map{"needed": "x", "level": "2"}},
		"new, without the default":             {creating: true, patch: Map{"needed": "x", "level": nil}, want: Map{"needed": "x"}},
		"new, elsewhere":                       {project: wholesale, creating: true, patch: Map{"elsewhere": "x"}, want: Map{"elsewhere": "x"}},
		"more than there is room for":          {was: had, patch: Map{"long_text": strings.Repeat("ä", 20_000)}, want: with("long_text", strings.Repeat("ä", 20_000))},
	} {
		t.Run(name, func(t *testing.T) {
			if c.project == (domain.ID{}) {
				c.project = retail
			}
			before := maps.Clone(c.was)
			got, err := s.Merge(c.project, c.was, c.patch, c.creating, w, seller)
			for _, want := range domain.All(c.err) {
				if !errors.Is(err, want) {
					t.Errorf("error = %v, want %v (%s)", err, want, want.Code)
				}
			}
			if len(domain.All(err)) != len(domain.All(c.err)) {
				t.Errorf("errors = %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, c.was); diff != "" {
				t.Errorf("what was there has been changed:\n%s", diff)
			}
		})
	}
}

// A message names the fields that there are.
func TestUnknownNamesTheKnown(t *testing.T) {
	_, err := registry().Merge(wholesale, nil, Map{"x": "y"}, false, nil, seller)
	if err == nil || !strings.Contains(err.Error(), "boolean, client, date,") || !strings.Contains(err.Error(), "elsewhere") || strings.Contains(err.Error(), "needed") {
		t.Errorf("%v", err)
	}
	if _, err = (State{}).Merge(wholesale, nil, Map{"x": "y"}, false, nil, seller); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("%v", err)
	}
}

// What a client has is bounded as a whole.
func TestTooLarge(t *testing.T) {
	var s State
	patch := Map{}
	for i := range 20 {
		key := fmt.Sprintf("k%d", i)
		s = Aggregate.Evolve(s, defined(of(retail, domain.ID{50, byte(i)}, key, LongText, Settings{})))
		patch[key] = strings.Repeat("x", 20_000)
	}
	if _, err := s.Merge(retail, nil, patch, false, nil, seller); !errors.Is(err, fault("custom", "too_large")) {
		t.Errorf("%v", err)
	}
	delete(patch, "k0")
	for i := range 10 {
		delete(patch, fmt.Sprintf("k%d", i))
	}
	if _, err := s.Merge(retail, nil, patch, false, nil, seller); err != nil {
		t.Errorf("%v", err)
	}
}

// Ids are looked up, each once, and no more of them than a decision can bear.
func TestRefs(t *testing.T) {
	refs := Refs(Map{"a": ann.String(), "b": strings.ToUpper(ann.String()), "c": "ann", "d": 1.0, "e": "urn:uuid:" + ann.String(), "f": []any{acme.String()}, "g": acme.String()})
	want := []domain.Ref{{Category: domain.Employee, ID: ann}, {Category: domain.Client, ID: ann}, {Category: domain.Employee, ID: acme}, {Category: domain.Client, ID: acme}}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Error(diff)
	}
	var s State
	patch, w := Map{}, domain.World{}
	for i := range 51 {
		key := fmt.Sprintf("k%02d", i)
		s = Aggregate.Evolve(s, defined(of(retail, domain.ID{50, byte(i)}, key, Client, Settings{})))
		patch[key] = domain.ID{60, byte(i)}.String()
		w[domain.Ref{Category: domain.Client, ID: domain.ID{60, byte(i)}}] = clientAt{domain.Place{Project: retail}}
	}
	if n := len(Refs(patch)); n != 100 {
		t.Errorf("%d refs", n)
	}
	if _, err := s.Merge(retail, nil, patch, false, w, seller); !errors.Is(err, fault("custom.k50", "too_many")) || len(domain.All(err)) != 1 {
		t.Errorf("%v", err)
	}
}

// Whatever is sent: what is stored is what JSON makes of it, is taken again as it is,
// and has what the patch does not mention as it was.
func TestMergeProperties(t *testing.T) {
	s, w := registry(), others()
	var keys []string
	for _, d := range s.For(retail) {
		keys = append(keys, d.Key)
	}
	keys = append(keys, "old", "elsewhere", "unknown", "")
	text := rapid.SampledFrom([]string{"", " ", "a  b", "12.50", "-0", "007", "1e9", "2024-02-29", "2024-02-29T12:00:00+02:00", "gold", "Silber", "tin", "a@example.com", "example.com", "+49 30 123", "1.5 eur", "yes", ann.String(), acme.String(), secret.String(), nobody.String()})
	value := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }), rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }), rapid.Map(rapid.IntRange(-1e9, 1e9), func(i int) any { return float64(i) / 100 }),
		rapid.Map(rapid.SliceOfN(text, 0, 3), func(l []string) any {
			var out []any
			for _, s := range l {
				out = append(out, s)
			}
			return out
		}),
		rapid.Map(text, func(s string) any { return Map{"amount": s, "currency": "eur"} }),
	)
	patches := rapid.MapOfN(rapid.SampledFrom(keys), value, 0, 5)
	rapid.Check(t, func(t *rapid.T) {
		var was Map
		for range rapid.IntRange(1, 4).Draw(t, "edits") {
			patch, creating := patches.Draw(t, "patch"), rapid.Bool().Draw(t, "creating")
			to, err := s.Merge(retail, was, patch, creating, w, seller)
			if err != nil {
				if to != nil || domain.KindOf(err) != domain.Invalid {
					t.Fatalf("%v, %v", to, err)
				}
				continue
			}
			again, err := s.Merge(retail, to, patch, creating, w, seller)
			if diff := cmp.Diff(to, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Fatalf("twice is not once: %s %v", diff, err)
			}
			var stored Map
			raw, err := json.Marshal(to)
			if err == nil {
				err = json.Unmarshal(raw, &stored)
			}
			if diff := cmp.Diff(to, stored, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Fatalf("not what was stored: %s %v", diff, err)
			}
			effective := Map{}
			for _, d := range s.For(retail) {
				if v, ok := to[d.Key]; ok {
					effective[d.Key] = v
				}
			}
			if same, err := s.Merge(retail, nil, effective, false, w, seller); err != nil || !cmp.Equal(same, effective, cmpopts.EquateEmpty()) {
				t.Fatalf("what is stored is not taken: %v %v", cmp.Diff(effective, same), err)
			}
			for key, v := range was {
				if _, said := patch[key]; !said && !cmp.Equal(to[key], v) {
					t.Fatalf("%s became %v", key, to[key])
				}
			}
			was = to
		}
	})
}
