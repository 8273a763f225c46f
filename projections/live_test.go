package projections

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/eventlog"
)

// story appends all that can happen to a client.
func (w *world) story(c company) (id uuid.UUID) {
	w.t.Helper()
	id = w.client(c, 1)
	w.append(domain.Client, id, client.Edited{
		From: client.Details{FirstName: "José", Email: "jose1@example.com", Address: client.Address{City: "Madrid"}},
		To:   client.Details{FirstName: "Jürgen", Address: client.Address{City: "Köln"}},
	})
	w.append(domain.Client, id, client.Reassigned{
		From: client.Assignment{ProjectID: c.project, DeskID: c.desk, ManagerID: c.manager},
		To:   client.Assignment{ProjectID: c.project, DeskID: c.other}, Reason: "José asked for it",
	})
	w.append(domain.Client, id, client.Retagged{Added: []string{"Ärger", "new"}, Removed: []string{"vip"}}, client.StatusChanged{From: client.Lead, To: client.Active})
	w.append(domain.Client, id, client.Deactivated{Reason: "moved away"})
	w.append(domain.Client, id, client.Reactivated{})
	w.append(domain.Client, id, client.Deactivated{Reason: "really"})
	return id
}

func TestLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	c := w.company()
	id := w.story(c)
	w.caughtUp(r)

	var row string
	w.scan(`select to_jsonb(c)::text from annals_read.clients c where id = $1`, id)(&row)
	got := map[string]any{}
	if err := json.Unmarshal([]byte(row), &got); err != nil {
		t.Fatal(err)
	}
	at := func(minutes int) string {
		return w.clock.Add(time.Duration(minutes) * time.Minute).Format("2006-01-02T15:04:05.999999+00:00")
	}
	want := map[string]any{
		"id": id.String(), "type": "person", "name": "Jürgen María Núñez 1", "first_name": "Jürgen", "middle_name": "María", "last_name": "Núñez 1",
		"company": "Romero y Tomillo", "email": "", "phone": "(91) 745 6200", "website": "example.com",
		"street": "Gran Vía 1", "city": "Köln", "region": "M", "postal_code": "28001", "country": "Spain",
		"status": "active", "project_id": c.project.String(), "desk_id": c.other.String(), "manager_id": nil,
		"tags": []any{"gold", "new", "Ärger"}, "deactivated_at": at(0), "deactivation_reason": "really",
		"created_at": at(-6), "updated_at": at(0), "revision": 7.0, "erased": false, "erasing": false, "held": false,
		"status_at": at(-3), "status_reason": "", "status_rank": 2.0, "display_name": "", "since": at(0), "details": map[string]any{},
		"keys": map[string]any{
			"first_name": "jurgen", "middle_name": "maria", "last_name": "nunez 1", "company": "romero y tomillo", "phone": "(91) 745 6200", "website": "example.com",
			"address.street": "gran via 1", "address.city": "koln", "address.region": "m", "address.postal_code": "28001", "address.country": "spain", "deactivation_reason": "really",
		},
		"words":          map[string]any{"first_name": "juergen jurgen", "middle_name": "maria", "last_name": "1 nunez", "company": "romero tomillo y", "phone": "6200 745 91 917456200"},
		"first_name_key": "jurgen", "last_name_key": "nunez 1", "company_key": "romero y tomillo", "email_key": nil, "phone_key": "(91) 745 6200", "city_key": "koln", "country_key": "spain",
		"portal_access": false, "portal_override": false, "portal_signed_in_at": nil, "last_contacted_at": nil,
		"name_key": "jurgen maria nunez 1", "search": " juergen jurgen maria 1 nunez romero tomillo y 6200 745 91 917456200 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.scan(`select jsonb_agg(jsonb_build_array(p.revision, p.since, p.until, p.name, p.email_key, p.status, p.desk_id, p.tags) order by p.until, p.since)::text
		from annals_read.client_past p where id = $1`, id)(&row)
	was := func(revision float64, minutes int, name string, email any, status string, desk uuid.UUID, tags ...any) []any {
		return []any{revision, at(minutes), at(minutes + 1), name, email, status, desk.String(), tags}
	}
	briefly := was(3, -3, "Jürgen María Núñez 1", nil, "lead", c.other, "gold", "new", "Ärger")
	briefly[2] = briefly[1]
	wantPast := []any{ // of two events at the same time the last counts
		was(0, -6, "José María Núñez 1", "jose1@example.com", "lead", c.desk, "gold", "vip"),
		was(1, -5, "Jürgen María Núñez 1", nil, "lead", c.desk, "gold", "vip"),
		was(2, -4, "Jürgen María Núñez 1", nil, "lead", c.other, "gold", "vip"),
		briefly,
		was(4, -3, "Jürgen María Núñez 1", nil, "active", c.other, "gold", "new", "Ärger"),
		was(5, -2, "Jürgen María Núñez 1", nil, "active", c.other, "gold", "new", "Ärger"),
		was(6, -1, "Jürgen María Núñez 1", nil, "active", c.other, "gold", "new", "Ärger"),
	}
	if diff := cmp.Diff(wantPast, parse(t, row)); diff != "" {
		t.Error(diff)
	}

	var history string
	w.scan(`select jsonb_agg(jsonb_build_array(type, revision, changes, reason, personal, erased) order by revision)::text from annals_read.history where aggregate_id = $1`, id)(&history)
	wantHistory := `[
		["client.registered", 0, [{"field":"type","from":null,"to":"person"},{"field":"first_name","from":null,"to":"José"},{"field":"middle_name","from":null,"to":"María"},
			{"field":"last_name","from":null,"to":"Núñez 1"},{"field":"company","from":null,"to":"Romero y Tomillo"},{"field":"email","from":null,"to":"jose1@example.com"},
			{"field":"phone","from":null,"to":"(91) 745 6200"},{"field":"website","from":null,"to":"example.com"},{"field":"address.street","from":null,"to":"Gran Vía 1"},
			{"field":"address.city","from":null,"to":"Madrid"},{"field":"address.region","from":null,"to":"M"},{"field":"address.postal_code","from":null,"to":"28001"},
			{"field":"address.country","from":null,"to":"Spain"},{"field":"project_id","from":null,"to":"PROJECT"},{"field":"desk_id","from":null,"to":"DESK"},
			{"field":"manager_id","from":null,"to":"MANAGER"},{"field":"status","from":null,"to":"lead"},{"field":"tags","from":null,"to":["gold","vip"]}], "",
			["address.city","address.country","address.postal_code","address.region","address.street","company","email","first_name","last_name","middle_name","phone","website"], []],
		["client.edited", 1, [{"field":"first_name","from":"José","to":"Jürgen"},{"field":"email","from":"jose1@example.com","to":null},{"field":"address.city","from":"Madrid","to":"Köln"}], "",
			["address.city","email","first_name"], []],
		["client.reassigned", 2, [{"field":"desk_id","from":"DESK","to":"OTHER"},{"field":"manager_id","from":"MANAGER","to":null}], "José asked for it", ["reason"], []],
		["client.retagged", 3, [{"field":"tags","added":["Ärger","new"],"removed":["vip"]}], "", [], []],
		["client.status_changed", 4, [{"field":"status","from":"lead","to":"active"}], "", [], []],
		["client.deactivated", 5, [], "moved away", ["reason"], []],
		["client.reactivated", 6, [], "", [], []],
		["client.deactivated", 7, [], "really", ["reason"], []]]`
	wantHistory = strings.NewReplacer("PROJECT", c.project.String(), "DESK", c.desk.String(), "OTHER", c.other.String(), "MANAGER", c.manager.String()).Replace(wantHistory)
	if diff := cmp.Diff(parse(t, wantHistory), parse(t, history)); diff != "" {
		t.Error(diff)
	}

	var organisation string
	w.scan(`select jsonb_build_array((select jsonb_agg(jsonb_build_array(id, name, default_desk_id)) from annals_read.projects),
		(select jsonb_agg(jsonb_build_array(id, project_id, name, is_default) order by name) from annals_read.desks),
		(select jsonb_agg(jsonb_build_array(id, name, email, roles, revision)) from annals_read.employees),
		(select jsonb_agg(x) from annals_read.employee_projects x), (select jsonb_agg(x) from annals_read.employee_desks x))::text`)(&organisation)
	wantOrganisation := strings.NewReplacer("PROJECT", c.project.String(), "DESK", c.desk.String(), "OTHER", c.other.String(), "MANAGER", c.manager.String()).Replace(`[
		[["PROJECT","Retail","DESK"]], [["DESK","PROJECT","Default",true],["OTHER","PROJECT","North",false]],
		[["MANAGER","Nancy Davolio","nancy@example.com",["agent"],1]],
		[{"employee_id":"MANAGER","project_id":"PROJECT"}], [{"employee_id":"MANAGER","desk_id":"DESK"}]]`)
	if diff := cmp.Diff(parse(t, wantOrganisation), parse(t, organisation)); diff != "" {
		t.Error(diff)
	}
	w.verified()
}

func parse(t *testing.T, s string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return v
}

// A destroyed key takes from every read model what was derived from it, at once and
// in every order; what is built without the key is the same.
func TestErasure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	c := w.company()
	id, kept := w.story(c), w.client(c, 2)
	w.caughtUp(r)
	w.erase(id)
	w.erase(c.manager)
	w.caughtUp(r)
	for _, p := range All {
		dump := w.dump(p.Schema())
		for _, personal := range []string{"Jürgen", "jurgen", "Núñez 1", "nunez 1", "jose1@", "asked for it", "really", "moved away", "Nancy", "nancy"} {
			if strings.Contains(dump, personal) {
				t.Errorf("%s still holds %q", p.Name, personal)
			}
		}
	}
	var erased bool
	var search, status string
	var tags []string
	w.scan(`select erased, search, status, tags from annals_read.clients where id = $1`, id)(&erased, &search, &status, &tags)
	if !erased || search != " " || status != "active" || len(tags) != 3 {
		t.Errorf("erased %v, search %q, status %q, tags %v", erased, search, status, tags)
	}
	var gone []string
	var changes string
	w.scan(`select erased, changes::text from annals_read.history where aggregate_id = $1 and revision = 1`, id)(&gone, &changes)
	if diff := cmp.Diff([]string{"address.city", "email", "first_name"}, gone); diff != "" || changes != "[]" {
		t.Errorf("changes %s %s", changes, diff)
	}
	w.scan(`select erased from annals_read.clients where id = $1`, kept)(&erased)
	if erased {
		t.Error("somebody else was erased as well")
	}
	w.verified()
	for _, p := range All {
		if err := Rebuild(t.Context(), w.cfg, p.Name); err != nil {
			t.Fatal(err)
		}
	}
	w.verified()
}

// What is committed is refused when it comes again, by every projector, and changes nothing.
func TestAppliedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story(w.company())
	e, err := open(t.Context(), w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.pool.Close()
	for _, p := range All {
		tables, err := e.create(t.Context(), p, p.Schema(), building)
		if err != nil {
			t.Fatal(err)
		}
		w.exec(`update annals_projections.checkpoints set state = 'live' where schema = $1`, p.Schema())
		tables.state = live
		run := w.everything()
		if err := tables.apply(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		once := w.dump(p.Schema())
		if !strings.Contains(once, ": ") || len(tables.parked) > 0 {
			t.Fatalf("%s: %s %v", p.Name, once, tables.parked)
		}
		if err := tables.apply(t.Context(), run); !isFenced(err) {
			t.Errorf("%s applied the same again: %v", p.Name, err)
		}
		if diff := cmp.Diff(once, w.dump(p.Schema())); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
		tables.db.Close()
	}
}

func TestPositionsAreThoseOfAppends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	w.company()
	w.caughtUp(r)
	all, err := StatusOf(t.Context(), w.db, w.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Position != w.head || s.Behind || s.State != live || s.Lag != 0 || s.Events == 0 {
			t.Errorf("%+v after an append at %s", s, w.head)
		}
	}
	var zero eventlog.Position
	if len(all) != len(All) || w.head == zero {
		t.Errorf("%d read models", len(all))
	}
}
