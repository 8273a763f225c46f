package readapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"path"
	"slices"
	"strconv"
	"testing"
	"time"

	"annals/internal/apitest"
)

// happening is an event as a test knows it.
type happening struct {
	position                    int64
	typ, actor, project, stream string
	at                          time.Time
}

// What is asked for of everything that happened is told, page by page, to and fro, whatever it is
// filtered by.
func TestAuditEvents(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	p := &pastWorld{t: t, Rand: r, u: a}
	for _, name := range []string{"North", "South"} {
		project := a.Project(t, name)
		p.projects = append(p.projects, project)
		p.desks = append(p.desks, a.Desk(t, project, name+" desk"))
	}
	people := []*apitest.User{a, a.EmployeeAs(t, "Mira", []string{"project_admin"}, p.projects, p.desks), a.EmployeeAs(t, "Tom", []string{"admin"}, nil, nil)}
	for range 120 {
		p.u = people[r.IntN(3)]
		p.command()
		s.Clock.Advance(time.Duration(r.IntN(20)) * time.Minute)
	}
	for _, u := range people {
		if u.After > a.After && len(u.After) >= len(a.After) || len(u.After) > len(a.After) {
			a.After = u.After
		}
	}
	var all []happening
	for _, item := range a.Get(t, "/api/v1/audit/events?sort=position&limit=500").Want(t, 200).List("items") {
		m := item.(apitest.Map)
		at, err := time.Parse(time.RFC3339Nano, m["at"].(string))
		position, err2 := strconv.ParseInt(m["position"].(string), 10, 64)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		project, _ := m["project_id"].(string)
		all = append(all, happening{position, m["type"].(string), m["actor"].(apitest.Map)["id"].(string), project, m["stream"].(string), at})
	}
	var logged int64
	if err := s.DB.QueryRow(t.Context(), `select count(*) from annals_read.history`).Scan(&logged); err != nil || logged != int64(len(all)) || logged < 60 {
		t.Fatalf("%d events of %d, %v", len(all), logged, err)
	}
	for range 150 {
		askEvents(t, a, r, all, people, p)
	}
	for query, field := range map[string]string{
		"type=nothing": "type[0]", "type=client.registered&type=x.*": "type[1]", "actor=me": "actor[0]", "project=North": "project[0]", "stream=client": "stream",
		"from=soon": "from", "to=later": "to", "after=x": "after", "before=-1": "before", "cursor=x": "cursor",
	} {
		a.Get(t, "/api/v1/audit/events?"+query).Problem(t, 422, "invalid", field)
	}
	a.Get(t, "/api/v1/audit/events?sort=at").Want(t, 422)
	a.Get(t, "/api/v1/audit/events?limit=0").Want(t, 422)
	if r := a.Get(t, "/api/v1/audit/events?after=9223372036854775807").Want(t, 200); len(r.List("items")) != 0 {
		t.Errorf("%s", r.Body)
	}
}

// askEvents asks for events by a filter that is drawn, and walks through all pages and back.
func askEvents(t *testing.T, a *apitest.User, r *rand.Rand, all []happening, people []*apitest.User, p *pastWorld) {
	t.Helper()
	q := url.Values{"limit": {strconv.Itoa([]int{1 + r.IntN(20), 500}[r.IntN(2)])}}
	var conds []func(happening) bool
	if r.IntN(2) == 0 {
		patterns := []string{p.pick("client.*", "*.edited", "client.status_changed", "desk.created", "*"), p.pick("call.*", "employee.re*", "client.edited")}[:1+r.IntN(2)]
		q["type"] = patterns
		conds = append(conds, func(h happening) bool {
			return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, h.typ); return ok })
		})
	}
	if r.IntN(2) == 0 {
		for range 1 + r.IntN(2) {
			q.Add("actor", people[r.IntN(3)].ID)
		}
		conds = append(conds, func(h happening) bool { return slices.Contains(q["actor"], h.actor) })
	}
	if r.IntN(2) == 0 {
		for range 1 + r.IntN(2) {
			q.Add("project", p.pick(p.projects...))
		}
		conds = append(conds, func(h happening) bool { return slices.Contains(q["project"], h.project) })
	}
	if r.IntN(5) == 0 {
		q.Set("stream", all[r.IntN(len(all))].stream)
		conds = append(conds, func(h happening) bool { return h.stream == q.Get("stream") })
	}
	if r.IntN(3) == 0 {
		from := all[r.IntN(len(all))].at
		q.Set("from", from.Format(time.RFC3339Nano))
		conds = append(conds, func(h happening) bool { return !h.at.Before(from) })
	}
	if r.IntN(3) == 0 {
		to := all[r.IntN(len(all))].at
		q.Set("to", to.Format(time.RFC3339Nano))
		conds = append(conds, func(h happening) bool { return h.at.Before(to) })
	}
	if r.IntN(4) == 0 {
		after := all[r.IntN(len(all))].position
		q.Set("after", strconv.FormatInt(after, 10))
		conds = append(conds, func(h happening) bool { return h.position > after })
	}
	if r.IntN(4) == 0 {
		before := all[r.IntN(len(all))].position
		q.Set("before", strconv.FormatInt(before, 10))
		conds = append(conds, func(h happening) bool { return h.position < before })
	}
	want := []string{}
	for _, h := range all {
		if !slices.ContainsFunc(conds, func(c func(happening) bool) bool { return !c(h) }) {
			want = append(want, strconv.FormatInt(h.position, 10))
		}
	}
	if r.IntN(2) == 0 {
		q.Set("sort", "position")
	} else {
		slices.Reverse(want)
	}
	got, last := []string{}, ""
	for more := true; more; {
		page := a.Get(t, "/api/v1/audit/events?"+q.Encode()).Want(t, 200)
		got = append(got, page.Column("position")...)
		if last = page.Text("prev_cursor"); page.At("prev_cursor") == nil {
			last = ""
		}
		if more = page.At("next_cursor") != nil; more {
			q.Set("cursor", page.Text("next_cursor"))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: %v, want %v", q.Encode(), got, want)
	}
	var back []string
	for last != "" {
		q.Set("cursor", last)
		page := a.Get(t, "/api/v1/audit/events?"+q.Encode()).Want(t, 200)
		back = append(page.Column("position"), back...)
		if last = page.Text("prev_cursor"); page.At("prev_cursor") == nil {
			last = ""
		}
		if len(page.List("items")) == 0 {
			t.Fatalf("%s: an empty page before another", q.Encode())
		}
	}
	if n := len(back); n > 0 && fmt.Sprint(back) != fmt.Sprint(want[:n]) {
		t.Fatalf("%s backwards: %v, want %v", q.Encode(), back, want)
	}
}

// Whoever views what was done in a project is told what happened in it, and of its clients as long as
// they are there.
func TestAuditWithinAProject(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	north, south := a.Project(t, "Audit north"), a.Project(t, "Audit south")
	stays, moves := a.Client(t, north, "Stays"), a.Client(t, north, "Moves")
	a.Post(t, "/api/v1/clients/"+moves+"/assign", apitest.Map{"project_id": south}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+moves+"/retag", apitest.Map{"add": []string{"a"}}).Want(t, 200)
	a.Create(t, "/api/v1/clients/"+moves+"/notes", apitest.Map{"text": "here now"})
	auditor := a.EmployeeAs(t, "Auditor", []string{"project_admin"}, []string{north}, nil)
	types := func(query string) string {
		t.Helper()
		return fmt.Sprint(auditor.Get(t, "/api/v1/audit/events?sort=position"+query).Want(t, 200).Column("type"))
	}
	if got := types(""); got != "[desk.created project.created client.registered]" {
		t.Errorf("in the north: %s", got)
	}
	if got := types("&project=" + south); got != "[]" {
		t.Errorf("of the south: %s", got)
	}
	if got := types("&actor=" + a.ID + "&type=client.*"); got != "[client.registered]" {
		t.Errorf("of clients: %s", got)
	}
	if got := types("&stream=client-" + moves); got != "[]" {
		t.Errorf("of who has left: %s", got)
	}
	if got := types("&stream=client-" + stays); got != "[client.registered]" {
		t.Errorf("of who is there: %s", got)
	}
	if got := types("&stream=employee-" + auditor.ID); got != "[]" {
		t.Errorf("of an employee: %s", got)
	}
	a.Assign(t, auditor.ID, []string{south}, nil)
	auditor.After = a.After
	if got := types(""); got != "[desk.created project.created client.reassigned client.retagged note.added]" {
		t.Errorf("in the south: %s", got)
	}
	agent := a.Employee(t, "Agent", []string{north}, nil)
	agent.Get(t, "/api/v1/audit/events").Problem(t, 403, "forbidden")
	(&apitest.User{System: s}).Get(t, "/api/v1/audit/events").Want(t, 401)
}
