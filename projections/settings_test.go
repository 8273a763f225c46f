package projections

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/project"
	"annals/domain/retention"
	"annals/domain/tag"
)

// registries are what people define, by the domain's own fold, and in the log.
type registries struct {
	w        *world
	projects []uuid.UUID // the zero one: for all
	fields   field.State
	tags     tag.State
	rules    retention.State
	ids      map[string][]uuid.UUID
	project  project.State
	n        byte
}

func newRegistries(w *world) *registries {
	r := &registries{w: w, projects: []uuid.UUID{{}}, ids: map[string][]uuid.UUID{}}
	for range 2 {
		p := uuid.New()
		r.projects = append(r.projects, p)
		e := project.Created{Name: "x", DefaultDeskID: uuid.New()}
		w.append(domain.Project, p, e)
		r.project = project.Aggregate.Evolve(r.project, e)
	}
	return r
}

// command carries one out, whatever it is, if it is not refused.
func (r *registries) command(t *rapid.T) {
	w := domain.World{}
	for _, p := range r.projects {
		w[domain.Ref{Category: domain.Project, ID: p}] = r.project
	}
	some := func(category string) uuid.UUID {
		return rapid.SampledFrom(append(slices.Clone(r.ids[category]), uuid.New())).Draw(t, category)
	}
	scope := domain.Set(rapid.SampledFrom(r.projects).Draw(t, "project"))
	name := rapid.SampledFrom([]string{"a", "A", "b", "c", "ß", "SS", "d'\\", "日本", "NULL"}).Draw(t, "name")
	options := []any{map[string]any{"key": "x", "label": name}, map[string]any{"key": "y", "label": "Y", "retired": true}}
	switch drawKind(t, 13) {
	case 0, 1:
		r.tag(t, tag.Define{ID: uuid.New(), ProjectID: scope, Settings: tag.Settings{Name: name, Colour: "#00ff00"}}, w)
	case 2, 3:
		r.tag(t, tag.Change{ID: some("tag"), Patch: map[string]any{"name": name, "description": name}}, w)
	case 4:
		r.tag(t, tag.Merge{ID: some("tag"), Into: some("tag")}, w)
	case 5:
		r.tag(t, rapid.SampledFrom([]tag.Command{tag.Retire{ID: some("tag")}, tag.Restore{ID: some("tag")}}).Draw(t, "which"), w)
	case 6, 7:
		r.n++
		d := field.Define{ID: uuid.New(), ProjectID: scope, Key: fmt.Sprintf("k%d", r.n), Type: field.Text, Settings: field.Settings{Label: name, Default: name, Order: int(r.n % 3)}}
		if r.n%2 == 0 {
			d.Type, d.Default, d.Options = field.SeveralOf, []any{"x"}, []field.Option{{Key: "x", Label: name}, {Key: "y", Label: "Y"}}
		}
		r.field(t, d, w)
	case 8:
		r.field(t, field.Change{ID: some("field"), Patch: rapid.SampledFrom([]map[string]any{
			{"default": nil, "help": name}, {"options": options}, {"required": true, "unique": true, "group": name, "order": 7.0},
		}).Draw(t, "patch")}, w)
	case 9:
		r.field(t, rapid.SampledFrom([]field.Command{field.Retire{ID: some("field")}, field.Restore{ID: some("field")}}).Draw(t, "which"), w)
	case 10:
		r.rule(t, retention.Define{ID: uuid.New(), ProjectID: scope, Settings: retention.Settings{
			Name: name, Since: rapid.SampledFrom(retention.Sinces).Draw(t, "since"), Days: rapid.IntRange(1, 36500).Draw(t, "days"), Action: retention.Propose,
		}}, w)
	case 11:
		r.rule(t, retention.Change{ID: some("rule"), Patch: rapid.SampledFrom([]map[string]any{
			{"name": name}, {"statuses": []any{"inactive", "lead"}, "days": 7.0}, {"statuses": nil, "action": "erase"}, {"since": "deactivated"},
		}).Draw(t, "patch")}, w)
	case 12:
		r.rule(t, retention.Delete{ID: some("rule")}, w)
	}
}

// decided carries out a command, and keeps the ids of what it defines.
func decided[S, C, E any](t *rapid.T, r *registries, d domain.Decider[S, C, E], state *S, of domain.Ref, c C, w domain.World) {
	events, err := d.Decide(*state, c, w, domain.Meta{By: domain.Root})
	if err != nil && domain.KindOf(err) == domain.Internal {
		t.Fatal(err)
	}
	for _, e := range events {
		*state = d.Evolve(*state, e)
		r.w.append(d.Category, of.ID, e)
		switch e := any(e).(type) {
		case tag.Defined:
			r.ids["tag"] = append(r.ids["tag"], e.TagID)
		case field.Defined:
			r.ids["field"] = append(r.ids["field"], e.FieldID)
		case retention.Defined:
			r.ids["rule"] = append(r.ids["rule"], e.RuleID)
		}
	}
}

func (r *registries) tag(t *rapid.T, c tag.Command, w domain.World) {
	decided(t, r, tag.Aggregate, &r.tags, tag.Ref(), c, w)
}

func (r *registries) field(t *rapid.T, c field.Command, w domain.World) {
	decided(t, r, field.Aggregate, &r.fields, field.Ref(), c, w)
}

func (r *registries) rule(t *rapid.T, c retention.Command, w domain.World) {
	decided(t, r, retention.Aggregate, &r.rules, retention.Ref(), c, w)
}

// check holds the tables to the domain's own fold.
func (r *registries) check() {
	t := r.w.t
	t.Helper()
	rules, err := r.w.db.Query(t.Context(), `select id, project_id, name, statuses, since, days, action from annals_read.retention_rules`)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for ; rules.Next(); count++ {
		var is retention.Rule
		var of uuid.NullUUID
		if err := rules.Scan(&is.ID, &of, &is.Name, &is.Statuses, &is.Since, &is.Days, &is.Action); err != nil {
			t.Fatal(err)
		}
		is.ProjectID = of.UUID
		if len(is.Statuses) == 0 {
			is.Statuses = nil
		}
		if want, there := r.rules.Rule(is.ID); !there || !reflect.DeepEqual(is, want) {
			t.Errorf("rule %+v, want %+v", is, want)
		}
	}
	if rules.Err() != nil || count != len(r.rules.Rules) {
		t.Errorf("%d rules of %d, %v", count, len(r.rules.Rules), rules.Err())
	}
	for _, p := range r.projects {
		rows, err := r.w.db.Query(t.Context(), `select name, label, name_key, label_key from annals_read.tag_names where project_id = $1`, p)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			var name, label, nameKey, labelKey string
			if err := rows.Scan(&name, &label, &nameKey, &labelKey); err != nil {
				t.Fatal(err)
			}
			n++
			if want := r.tags.Label(p, name); label != want || nameKey != domain.Fold(name) || labelKey != domain.Fold(label) {
				t.Errorf("%q is called %q (%q, %q), want %q", name, label, nameKey, labelKey, want)
			}
		}
		if n == 0 && len(r.ids["tag"]) > 10 {
			t.Error("there are no names")
		}
		var got []field.Definition
		rows, err = r.w.db.Query(t.Context(), `select id, key, type, label, help, heading, ordinal, required, unique_values, initial, options from annals_read.custom_fields
			where (project_id = $1 or project_id is null) and retired_at is null order by ordinal, key collate "C", id`, p)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var d field.Definition
			var initial, options []byte
			if err := rows.Scan(&d.ID, &d.Key, &d.Type, &d.Label, &d.Help, &d.Group, &d.Order, &d.Required, &d.Unique, &initial, &options); err != nil {
				t.Fatal(err)
			}
			if initial != nil {
				_ = json.Unmarshal(initial, &d.Default)
			}
			_ = json.Unmarshal(options, &d.Options)
			got = append(got, d)
		}
		want := r.fields.For(p)
		if len(got) != len(want) {
			t.Fatalf("%d fields, want %d", len(got), len(want))
		}
		for i := range want {
			want[i].ProjectID = uuid.UUID{}
			if want[i].Options == nil {
				want[i].Options = []field.Option{}
			}
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%+v, want %+v", got[i], want[i])
			}
		}
	}
}

// Whatever is defined: what the projector made of it as it came is what the domain
// says, and what it makes of it from the start.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runner, _ := w.run(organisation, settings)
	r := newRegistries(w)
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(t, "commands") {
			r.command(t)
		}
	})
	allowed := project.Transitions{"lead": {"active"}, "active": {}, "inactive": {}}
	w.append(domain.Project, r.projects[1], project.TransitionsChanged{To: allowed}, project.TransitionsChanged{From: allowed}, project.TransitionsChanged{To: allowed})
	w.append(domain.Project, r.projects[2], project.TransitionsChanged{To: allowed}, project.TransitionsChanged{From: allowed})
	for range 2 {
		w.caughtUp(runner)
		w.verified(organisation, settings)
		r.check()
		var all string
		w.scan(`select string_agg(coalesce(allowed::text, 'all'), ' ' order by allowed is null) from annals_read.status_transitions`)(&all)
		if all != `{"lead": ["active"], "active": [], "inactive": []} all` {
			t.Errorf("transitions %s", all)
		}
		var revision int
		w.scan(`select revision from annals_read.projects where id = $1`, r.projects[1])(&revision)
		if revision != 3 {
			t.Errorf("the project is at %d", revision)
		}
		if err := Rebuild(t.Context(), w.cfg, settings.Name); err != nil {
			t.Fatal(err)
		}
	}
}
