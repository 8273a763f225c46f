package readapi_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"annals/internal/apitest"
)

func TestTotal(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Many")
	// More than are counted: put straight into the read model, which nothing else needs to know here.
	var schema string
	if err := s.DB.QueryRow(t.Context(), `select schema from annals_projections.active where projector = 'clients'`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	fill := func(n int) {
		t.Helper()
		_, err := s.DB.Exec(t.Context(), fmt.Sprintf(`insert into %s.clients (id, type, last_name, project_id, status, created_at, updated_at, since, revision)
			select gen_random_uuid(), 'person', 'x', $1, 'lead', now(), current_timestamp, now(), 0 from generate_series(1, $2)`, schema), p, n)
		if err != nil {
			t.Fatal(err)
		}
	}
	// What is not counted as it changes is counted as far as it is gathered.
	for _, add := range []int{999, 1, 501} {
		fill(add)
	}
	r := a.Get(t, "/api/v1/clients?limit=1&created_from=2000-01-01&project="+p)
	if r.At("total.count") != 1501.0 || r.At("total.exact") != true {
		t.Errorf("%v", r.At("total"))
	}
	// From a cursor on it is not gathered anew.
	r = a.Get(t, "/api/v1/clients?limit=1&created_from=2000-01-01&project="+p+"&cursor="+r.Text("next_cursor"))
	if r.At("total.count") != 1000.0 || r.At("total.exact") != false {
		t.Errorf("%v", r.At("total"))
	}
	if r := a.Get(t, "/api/v1/clients?limit=1&project="+p+"&q=nothing"); r.At("total.count") != 0.0 || r.At("total.exact") != true {
		t.Errorf("%v", r.At("total"))
	}
	if r := a.Get(t, "/api/v1/clients?limit=1&project="+p); r.At("total.count") != 1501.0 || r.At("total.exact") != true {
		t.Errorf("%v", r.At("total"))
	}
	for _, table := range []string{"clients", "client_counts"} {
		if _, err := s.DB.Exec(t.Context(), `delete from `+schema+`.`+table+` where project_id = $1`, p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Fresh")
	last := int64(-1)
	for i := range 20 {
		id := a.Client(t, p, fmt.Sprint("C", i))
		for _, path := range []string{"/api/v1/clients/" + id, "/api/v1/clients?project=" + p, "/api/v1/clients/" + id + "/history", "/api/v1/projects"} {
			r := a.Get(t, path).Want(t, 200) // waits for the command
			at, err := strconv.ParseInt(r.Header.Get("Annals-Position"), 10, 64)
			after, err2 := strconv.ParseInt(a.After, 10, 64)
			if err != nil || err2 != nil || at < last || at < after {
				t.Fatalf("%s: position %s after %d, waited for %s", path, r.Header.Get("Annals-Position"), last, a.After)
			}
			if in := r.Text("position"); strings.Contains(path, "?") && in != r.Header.Get("Annals-Position") {
				t.Errorf("%s: position %s", path, in)
			}
			last = at
		}
		if r := a.Get(t, "/api/v1/clients?limit=500&project="+p); len(r.List("items")) != i+1 {
			t.Fatalf("%d of %d are listed", len(r.List("items")), i+1)
		}
	}
	head, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	never := strconv.FormatUint(head.Commit+1_000_000, 10)
	hasty := s.Again(t)
	hasty.Reads.Patience = 500 * time.Millisecond
	hasty.Serve(t)
	a = a.At(hasty)
	for _, path := range []string{"/api/v1/clients", "/api/v1/clients/" + p, "/api/v1/clients/" + p + "/history", "/api/v1/projects", "/api/v1/employees"} {
		r := a.Get(t, path, "Annals-After", never)
		if r.Problem(t, 503, "behind"); r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", path, r.Header)
		}
		for _, bad := range []string{"x", "-1", "1.5", "1/", "/1", "1/2/3", "9223372036854775808", "0x10", `"5"`, "1 2", strings.Repeat("1", 51)} {
			a.Get(t, path, "Annals-After", bad).Problem(t, 422, "invalid", "Annals-After")
		}
		for _, past := range []string{"0", "1", "0/0", "1/1"} {
			if r := a.Get(t, path, "Annals-After", past); r.Status >= 500 || r.Status == 422 {
				t.Errorf("%s after %s: %d", path, past, r.Status)
			}
		}
	}
}

func TestOrganisation(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Zeta"), a.Project(t, "alpha")
	d, e := a.Desk(t, p, "Sales"), a.Desk(t, q, "Care")
	one := a.Employee(t, "One Worker", []string{p, q}, []string{d})
	two := a.Employee(t, "Two Worker", []string{q}, []string{e})
	one.After, two.After = a.After, a.After
	names := func(r *apitest.Response) string { return strings.Join(r.Want(t, 200).Column("name"), " | ") }
	for path, want := range map[string]string{
		"/api/v1/projects":                              "alpha | Zeta",
		"/api/v1/projects?sort=-name":                   "Zeta | alpha",
		"/api/v1/projects?sort=created_at":              "Zeta | alpha",
		"/api/v1/desks":                                 "Care | Default | Default | Sales",
		"/api/v1/desks?sort=-project,-name":             "Sales | Default | Default | Care",
		"/api/v1/desks?project=" + p:                    "Default | Sales",
		"/api/v1/desks?project=" + p + "&limit=1":       "Default",
		"/api/v1/desks?sort=name&project=" + q:          "Care | Default",
		"/api/v1/employees":                             "One Worker | Two Worker",
		"/api/v1/employees?sort=-name":                  "Two Worker | One Worker",
		"/api/v1/employees?sort=-email":                 "Two Worker | One Worker",
		"/api/v1/employees?project=" + p:                "One Worker",
		"/api/v1/employees?project=" + q:                "One Worker | Two Worker",
		"/api/v1/employees?desk=" + e:                   "Two Worker",
		"/api/v1/employees?desk=" + d + "&desk=" + e:    "One Worker | Two Worker",
		"/api/v1/employees?desk=" + e + "&project=" + p: "",
	} {
		if got := names(one.Get(t, path)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	r := one.Get(t, "/api/v1/desks?project="+p+"&sort=-name").Want(t, 200)
	if r.At("items.0.default") != false || r.At("items.1.default") != true || r.Text("items.0.project.name") != "Zeta" || r.Text("items.0.id") != d {
		t.Errorf("%s", r.Body)
	}
	r = two.Get(t, "/api/v1/employees/"+one.ID).Want(t, 200)
	if r.Text("email") != one.Email || r.Text("projects") != "["+q+"]" || r.Text("desks") != "[]" || // of what they work for, what one sees oneself
		r.Text("revision") != "1" || r.Header.Get("ETag") != `"1"` {
		t.Errorf("%s", r.Body)
	}
	if got := names(two.Get(t, "/api/v1/projects")); got != "alpha" {
		t.Errorf("projects: %s", got)
	}
	// Pages, as everywhere.
	first := one.Get(t, "/api/v1/desks?limit=3").Want(t, 200)
	if rest := one.Get(t, "/api/v1/desks?limit=3&cursor="+first.Text("next_cursor")); names(first)+" | "+names(rest) != "Care | Default | Default | Sales" || rest.At("next_cursor") != nil {
		t.Errorf("%s\n%s", first.Body, rest.Body)
	}
	a.Assign(t, one.ID, []string{p}, nil)
	one.After = a.After
	if got := names(one.Get(t, "/api/v1/employees")); got != "One Worker" {
		t.Errorf("after reassignment: %s", got)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "From"), a.Project(t, "To")
	d := a.Desk(t, p, "Sales")
	e := a.Employee(t, "Mira Okafor", []string{p, q}, []string{d})
	id := e.Client(t, p, "Petrova", Map{"first_name": "Elena", "address": Map{"city": "Varna"}, "tags": []string{"b", "a"}, "desk_id": d})
	at := "/api/v1/clients/" + id
	edited := e.Patch(t, at, Map{"first_name": nil, "phone": "555 0101", "address": Map{"city": "Sofia"}}, "User-Agent", "tester/1").Want(t, 200)
	e.Post(t, at+"/assign", Map{"project_id": q, "desk_id": nil, "manager_id": e.ID, "reason": "moved"}).Want(t, 200)
	e.Post(t, at+"/retag", Map{"add": []string{"c"}, "remove": []string{"a"}}).Want(t, 200)
	e.Post(t, at+"/status", Map{"status": "active"}).Want(t, 200)
	e.Post(t, at+"/deactivate", Map{"reason": "closed"}).Want(t, 200)
	a.After = e.After
	a.Post(t, at+"/reactivate", nil).Want(t, 200)
	e.After = a.After
	r := a.Get(t, at+"/history").Want(t, 200)
	types := []string{}
	for i, item := range r.List("items") {
		in := item.(Map)
		types = append(types, in["type"].(string))
		who := "Mira Okafor"
		if i == 6 {
			who = "Ada Admin"
		}
		if in["actor"].(Map)["name"] != who || in["revision"] != float64(i) || in["at"] == "" || in["position"] == "" || in["ip"] != "127.0.0.1" || in["app"] != "test" || in["schema"].(float64) < 1 {
			t.Errorf("%d: %v", i, in)
		}
	}
	if got := strings.Join(types, " "); got != "client.registered client.edited client.reassigned client.retagged client.status_changed client.deactivated client.reactivated" {
		t.Errorf("%s", got)
	}
	if r.Text("items.1.position") != edited.Text("position") || r.Text("items.1.user_agent") != "tester/1" || r.Text("items.2.reason") != "moved" || r.Text("items.5.reason") != "closed" {
		t.Errorf("%s", r.Body)
	}
	changes := func(i int) string {
		var out []string
		for j := range r.List(fmt.Sprintf("items.%d.changes", i)) {
			in := func(f string) string { return r.Text(fmt.Sprintf("items.%d.changes.%d.%s", i, j, f)) }
			out = append(out, fmt.Sprintf("%s:%s>%s+%s-%s", in("field"), in("from"), in("to"), in("added"), in("removed")))
		}
		return strings.Join(out, " ")
	}
	for i, want := range []string{
		"type:>person+- first_name:>Elena+- last_name:>Petrova+- address.city:>Varna+- project_id:>" + p + "+- desk_id:>" + d + "+- manager_id:>" + e.ID + "+- status:>lead+- tags:>[a b]+-",
		"first_name:Elena>+- phone:>555 0101+- address.city:Varna>Sofia+-",
		"project_id:" + p + ">" + q + "+- desk_id:" + d + ">+-",
		"tags:>+[c]-[a]",
		"status:lead>active+-",
		"",
		"",
	} {
		if got := changes(i); got != want {
			t.Errorf("%d: %s\nwant %s", i, got, want)
		}
	}
	// Who is no administrator does not learn where others work from.
	for i, item := range e.Get(t, at+"/history").List("items") {
		if in := item.(Map); in["ip"] != nil || in["user_agent"] != nil {
			t.Errorf("%d: %v", i, in)
		}
	}
	back := a.Get(t, at+"/history?sort=-revision&limit=3").Want(t, 200)
	rest := a.Get(t, at+"/history?sort=-revision&limit=500&cursor="+back.Text("next_cursor")).Want(t, 200)
	if got := strings.Join(append(back.Column("revision"), rest.Column("revision")...), " "); got != "6 5 4 3 2 1 0" || back.Text("total.count") != "7" {
		t.Errorf("backwards: %s of %s", got, back.Text("total.count"))
	}
}
