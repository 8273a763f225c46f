package filter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/filter"
)

func custom(key string) (field.Type, bool) {
	t, ok := map[string]field.Type{"budget": field.Money, "due": field.Date, "tier": field.OneOf, "topics": field.SeveralOf, "advisor": field.Employee}[key]
	return t, ok
}

// What is wrong is told with where it is.
func TestFaults(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`{"not": `, n) + `{"field": "name", "op": "empty"}` + strings.Repeat("}", n)
	}
	many := strings.Repeat(`{"field": "name", "op": "empty"},`, 200) + `{"field": "name", "op": "empty"}`
	for raw, want := range map[string]string{
		`{"field": "name", "op": "is", "value": "Ada"}`: "",
		`null`:                    "",
		`{}`:                      "",
		nested(9):                 "",
		nested(10):                "filter" + strings.Repeat(".not", 10) + " too_deep",
		`{"and": [` + many + `]}`: "filter.and[199] too_many",
		`[`:                       "filter malformed",
		`{} {}`:                   "filter malformed",
		`[]`:                      "filter type",
		`{"xor": []}`:             "filter unknown",
		`{"and": []}`:             "filter.and type",
		`{"and": [{}, 7]}`:        "filter.and[1] type",
		`{"not": {"field": "nothing", "op": "is"}}`: "filter.not.field unknown",
		`{"field": 7}`:      "filter.field type",
		`{"field": "name"}`: "filter.op unknown",
		`{"field": "name", "op": "before", "value": "a"}`:                               "filter.op unknown",
		`{"field": "name", "op": "is", "value": 7}`:                                     "filter.value type",
		`{"field": "name", "op": "is", "value": " "}`:                                   "filter.value required",
		`{"field": "name", "op": "is", "value": "a\u0000"}`:                             "filter.value control_character",
		`{"field": "name", "op": "is", "value": "a", "not": {}}`:                        "filter.not unknown",
		`{"field": "name", "op": "empty", "value": "a"}`:                                "filter.value unknown",
		`{"field": "name", "op": "one_of", "value": ["a", 7]}`:                          "filter.value[1] type",
		`{"field": "name", "op": "one_of", "value": []}`:                                "filter.value required",
		`{"field": "status", "op": "is", "value": "gone"}`:                              "filter.value unknown",
		`{"field": "created_at", "op": "after", "value": "2026-02-30"}`:                 "filter.value malformed",
		`{"field": "created_at", "op": "between", "value": ["today"]}`:                  "filter.value type",
		`{"field": "created_at", "op": "in_last", "value": 0}`:                          "filter.value type",
		`{"field": "created_at", "op": "in_last", "value": 1.5}`:                        "filter.value type",
		`{"field": "active", "op": "is", "value": "yes"}`:                               "filter.value type",
		`{"field": "desk", "op": "is", "value": "@me"}`:                                 "filter.value malformed",
		`{"field": "manager", "op": "is", "value": "@me"}`:                              "",
		`{"field": "custom.advisor", "op": "is", "value": "@me"}`:                       "",
		`{"field": "custom.budget", "op": "greater", "value": "12.50"}`:                 "",
		`{"field": "custom.budget", "op": "greater", "value": 1e9}`:                     "filter.value type",
		`{"field": "custom.topics", "op": "has_any", "value": "a"}`:                     "",
		`{"field": "custom.nothing", "op": "is", "value": "a"}`:                         "filter.field unknown",
		`{"field": "meta.it's", "op": "contains", "value": "a"}`:                        "",
		`{"field": "consents.pigeon", "op": "is", "value": true}`:                       "filter.field unknown",
		`{"field": "street", "op": "begins_with", "value": "a"}`:                        "",
		`{"field": "name", "op": "is", "value": "` + strings.Repeat("x", 1001) + `"}`:   "filter.value too_long",
		`{"field": "name", "op": "is", "value": "` + strings.Repeat("x", 32<<10) + `"}`: "filter too_long",
	} {
		_, err := filter.Parse("filter", []byte(raw), custom)
		got := ""
		if all := domain.All(err); len(all) > 0 {
			got = all[0].Field + " " + all[0].Code
		}
		if got != want {
			t.Errorf("%.100s: %q, want %q (%v)", raw, got, want, err)
		}
	}
}

// Where custom fields are not looked up, all of them are taken, with any operator.
func TestAnyCustom(t *testing.T) {
	for raw, ok := range map[string]bool{
		`{"field": "custom.x", "op": "has_any", "value": ["a", 1, true]}`: true,
		`{"field": "custom.x", "op": "in_last", "value": 3}`:              true,
		`{"field": "custom.x", "op": "like", "value": "a"}`:               false,
		`{"field": "custom.x", "op": "is", "value": {}}`:                  false,
	} {
		if _, err := filter.Parse("filter", []byte(raw), filter.AnyCustom); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 3, 4, 15, 30, 0, 0, time.UTC) // a Wednesday
	for text, want := range map[string]string{
		"2026-02-28": "2026-02-28 2026-03-01", "today": "2026-03-04 2026-03-05", "yesterday": "2026-03-03 2026-03-04", "tomorrow": "2026-03-05 2026-03-06",
		"week": "2026-03-02 2026-03-09", "week-1w": "2026-02-23 2026-03-02", "month": "2026-03-01 2026-04-01", "month-1m": "2026-02-01 2026-03-01",
		"year": "2026-01-01 2027-01-01", "today-7d": "2026-02-25 2026-02-26", "today+1y": "2027-03-04 2027-03-05",
	} {
		n, err := filter.Parse("", fmt.Appendf(nil, `{"field": "created_at", "op": "is", "value": %q}`, text), nil)
		if err != nil {
			t.Error(err)
			continue
		}
		from, to := n.Values[0].Moment.Range(now)
		if got := from.Format(time.DateOnly) + " " + to.Format(time.DateOnly); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	if m, err := filter.ParseMoment("today"); err == nil {
		t.Errorf("fixed: %v", m)
	}
}

func TestNames(t *testing.T) {
	names := filter.Names()
	for _, name := range []string{"name", "address.city", "billing.iban", "tags", "favourite", "portal.access"} {
		if !slices.Contains(names, name) {
			t.Errorf("no %s", name)
		}
	}
	for _, name := range names {
		if f, ok := filter.Lookup(name, nil); !ok || len(filter.Operators[f.Type]) == 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"and": [{"field": "name", "op": "is", "value": "Ada"}, {"not": {"field": "created_at", "op": "between", "value": ["month-1m", "2026-01-31"]}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := filter.Parse("filter", raw, custom)
		if err == nil {
			_ = n.Fields()
		}
		for _, one := range domain.All(err) {
			if !strings.HasPrefix(one.Field, "filter") || one.Code == "" {
				t.Errorf("%+v", one)
			}
		}
	})
}
