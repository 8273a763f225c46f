package commands_test

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	domainclient "annals/domain/client"
	"annals/domain/retention"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/jobs"
)

const rulesPath = "/api/v1/retention-rules"

// retained is a system, who administers it, and what carries rules out.
func retained(t *testing.T) (*apitest.System, *apitest.User, func() int) {
	t.Helper()
	s := apitest.Start(t)
	r := &commands.Retention{API: s.Commands}
	return s, s.Admin(t), func() int {
		t.Helper()
		n, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// due is who is due by a rule, sorted, and says whether its number agrees.
func due(t *testing.T, u *apitest.User, rule string) []string {
	t.Helper()
	r := u.Get(t, rulesPath+"/"+rule+"/due").Want(t, 200)
	ids := r.Column("client.id")
	if n := u.Get(t, rulesPath+"/"+rule).Want(t, 200).At("due.count"); n != float64(len(ids)) || r.At("total.count") != n {
		t.Errorf("%v are due, and %d are listed: %s", n, len(ids), r.Body)
	}
	return sortedTexts(ids...)
}

// byLog holds who is due, and since when, against what the log says.
func byLog(t *testing.T, u *apitest.User, id string, clients []string) {
	t.Helper()
	listed := map[string]string{}
	for _, item := range u.Get(t, rulesPath+"/"+id+"/due").Want(t, 200).List("items") {
		listed[item.(Map)["client"].(Map)["id"].(string)] = item.(Map)["due_since"].(string)
	}
	rules, err := commands.Load[retention.State](t.Context(), u.Commands.Store, retention.Ref())
	if err != nil {
		t.Fatal(err)
	}
	rule, _ := rules.Rule(uuid.MustParse(id))
	for _, n := range clients {
		var c retention.Client
		for rec, err := range u.Log.Read(t.Context(), eventlog.Stream(domain.Client, uuid.MustParse(n)), 0) {
			if err != nil {
				t.Fatal(err)
			}
			c = c.After(rec.Event.(domainclient.Event), rec.Meta.At)
		}
		if at := u.Get(t, "/api/v1/clients/"+n).Text("last_contacted_at"); at != "" {
			c.Contacted, _ = time.Parse(time.RFC3339, at)
		}
		at, due := rule.Due(c, u.Clock.Now())
		if since, there := listed[n]; due != there || due && since != at.Format(time.RFC3339Nano) {
			t.Errorf("%s: by the log due %v, since %s; and listed %v, since %s", rule.Name, due, at, there, since)
		}
	}
}

func sortedTexts(all ...string) []string {
	out := append([]string{}, all...)
	slices.Sort(out)
	return out
}

// erasedBy is the event by which a client was erased; nil: it has not been.
func erasedBy(t *testing.T, s *apitest.System, client string) *eventlog.Record {
	t.Helper()
	for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(domain.Client, uuid.MustParse(client)), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := rec.Event.(domainclient.Erased); ok {
			return &rec
		}
	}
	return nil
}

// later has days go by, after which sessions have ended.
func later(t *testing.T, u *apitest.User, days int) {
	t.Helper()
	u.Clock.Advance(time.Duration(days) * 24 * time.Hour)
	u.Session(t)
}

// TestRetentionDue: who is due by a rule is the same by the log, when it is carried out, and
// by the read models, whatever the rule counts from, and whichever clients it is about.
func TestRetentionDue(t *testing.T) {
	t.Parallel()
	s, a, run := retained(t)
	here, there := a.Project(t, "Here"), a.Project(t, "There")
	lead := a.Client(t, here, "Lead")
	active := a.Client(t, here, "Active", Map{"status": "active"})
	other := a.Client(t, there, "Other")
	off := a.Client(t, here, "Off")
	a.Post(t, "/api/v1/clients/"+off+"/deactivate", Map{"reason": "moved away"}).Want(t, 200)
	back := a.Client(t, here, "Back")
	a.Post(t, "/api/v1/clients/"+back+"/deactivate", Map{"reason": "moved away"}).Want(t, 200)
	later(t, a, 10)
	called := a.Client(t, here, "Called")
	a.Post(t, "/api/v1/clients/"+lead+"/calls", Map{"direction": "inbound", "number": "+49 30 901820", "outcome": "reached", "at": s.Clock.Now().Format(time.RFC3339)}).Want(t, 201)
	a.Post(t, "/api/v1/clients/"+active+"/status", Map{"status": "inactive"}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+back+"/reactivate", nil).Want(t, 200)
	later(t, a, 5)
	all := []string{lead, active, other, off, back, called}
	for name, c := range map[string]struct {
		rule Map
		want []string
	}{
		"created":                  {Map{"since": "created", "days": 15}, []string{lead, active, other, off, back}},
		"created, of all":          {Map{"since": "created", "days": 5}, all},
		"created, of nobody yet":   {Map{"since": "created", "days": 16}, nil},
		"created, of a project":    {Map{"since": "created", "days": 15, "project_id": there}, []string{other}},
		"created, of a status":     {Map{"since": "created", "days": 15, "statuses": []string{"inactive"}}, []string{active}},
		"created, of two statuses": {Map{"since": "created", "days": 15, "statuses": []string{"active", "lead"}, "project_id": here}, []string{lead, off, back}},
		"last contacted":           {Map{"since": "last_contacted", "days": 6}, []string{active, other, off, back}},
		"last contacted, a while":  {Map{"since": "last_contacted", "days": 5}, all},
		"status changed":           {Map{"since": "status_changed", "days": 6, "project_id": here}, []string{lead, off, back}},
		"status changed, a while":  {Map{"since": "status_changed", "days": 5}, all},
		"deactivated":              {Map{"since": "deactivated", "days": 15}, []string{off}},
		"deactivated, not so long": {Map{"since": "deactivated", "days": 16}, nil},
	} {
		c.rule["name"], c.rule["action"] = name, "propose"
		rule := a.Create(t, rulesPath, c.rule)
		if got := due(t, a, rule); !slices.Equal(got, sortedTexts(c.want...)) {
			t.Errorf("%s: %v are due, want %v", name, got, c.want)
		}
		byLog(t, a, rule, all)
	}
	if n := run(); n != 0 {
		t.Errorf("%d were erased by rules that propose", n)
	}
}

// TestRetentionErases: whoever is due by a rule that erases is erased once, by the system and
// for a reason that names the rule; who is held, is not of the project or status, or is due
// by a rule that proposes is not.
func TestRetentionErases(t *testing.T) {
	t.Parallel()
	s, a, run := retained(t)
	here, there := a.Project(t, "Here"), a.Project(t, "There")
	lead, second, called := a.Client(t, here, "Lead"), a.Client(t, here, "Second"), a.Client(t, here, "Leads")
	held := a.Client(t, here, "Held")
	a.Post(t, "/api/v1/clients/"+held+"/hold", Map{"reason": "case 17"}).Want(t, 200)
	a.Client(t, here, "Active", Map{"status": "active"})
	other := a.Client(t, there, "Other")
	later(t, a, 30)
	fresh := a.Client(t, here, "Fresh")
	rule := a.Create(t, rulesPath, Map{"name": "Old Leads", "project_id": here, "statuses": []string{"lead"}, "since": "created", "days": 30, "action": "propose"})
	if n := run(); n != 0 {
		t.Fatalf("%d were erased by a rule that proposes", n)
	}
	a.Patch(t, rulesPath+"/"+rule, Map{"action": "erase"}).Want(t, 200)
	r := a.Get(t, rulesPath+"/"+rule+"/due").Want(t, 200)
	for _, item := range r.List("items") {
		of := item.(Map)
		if id := of["client"].(Map)["id"]; of["held"] != (id == held) || of["project"].(Map)["id"] != here || of["status"] != "lead" {
			t.Errorf("%v", of)
		}
	}
	if got := due(t, a, rule); !slices.Equal(got, sortedTexts(lead, second, called, held)) {
		t.Errorf("%v are due", got)
	}
	if n := run(); n != 3 {
		t.Errorf("%d were erased, want 3", n)
	}
	for client, reason := range map[string]string{
		lead: `Retention rule "Old Leads": 30 days since created (` + rule + `)`, second: `Retention rule "Old Leads": 30 days since created (` + rule + `)`,
		called: rule, // the reason stays, and must not say what the person was called
	} {
		a.After = head(t, s)
		c := a.Get(t, "/api/v1/clients/"+client+"/erasure").Want(t, 200)
		if c.Text("certificate.by.id") != domain.System.String() || c.Text("certificate.basis") != "retention" || c.Text("certificate.reason") != reason {
			t.Errorf("%s", c.Body)
		}
		if rec := erasedBy(t, s, client); rec == nil || rec.Meta.Actor != domain.System || rec.Meta.Causation.String() != rule {
			t.Errorf("%s was erased by %+v", client, rec)
		}
	}
	if n := run(); n != 0 {
		t.Errorf("%d were erased again", n)
	}
	if got := due(t, a, rule); !slices.Equal(got, []string{held}) {
		t.Errorf("afterwards %v are due", got)
	}
	a.Post(t, "/api/v1/clients/"+held+"/release", Map{}).Want(t, 200)
	if n := run(); n != 1 || erasedBy(t, s, held) == nil {
		t.Errorf("once released, %d were erased", n)
	}
	later(t, a, 30)
	a.Delete(t, rulesPath+"/"+rule, nil).Want(t, 200)
	a.Get(t, rulesPath+"/"+rule).Problem(t, 404, "retention_rule.absent")
	a.Get(t, rulesPath+"/"+rule+"/due").Problem(t, 404, "retention_rule.absent")
	if n := run(); n != 0 {
		t.Errorf("%d were erased by a rule that was deleted", n)
	}
	for _, client := range []string{other, fresh} {
		if erasedBy(t, s, client) != nil {
			t.Errorf("%s was erased", client)
		}
	}
}

func head(t *testing.T, s *apitest.System) string {
	t.Helper()
	at, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at.String()
}

// between is a directory, or a log, that has something happen when clients that are due have
// been found, or when it has been decided that one is.
type between struct {
	commands.Directory
	*eventlog.Log
	found, decided func()
}

func (b *between) Due(ctx context.Context, rule domain.ID, now time.Time, from domain.ID, after eventlog.Position) ([]domain.ID, domain.ID, error) {
	due, next, err := b.Directory.Due(ctx, rule, now, from, after)
	b.found()
	return due, next, err
}

func (b *between) ReadStored(ctx context.Context, stream string) iter.Seq2[eventlog.Record, error] {
	b.decided() // by now; this is of its key
	return b.Log.ReadStored(ctx, stream)
}

// TestRetentionChangedSince: a client who has changed since they were found to be due, up to
// the moment when it is in the log, is not erased, and nobody by a rule that has changed.
func TestRetentionChangedSince(t *testing.T) {
	t.Parallel()
	s, a, _ := retained(t)
	elsewhere := a.Project(t, "Elsewhere")
	var client, rule string
	of := func(what string, body Map) func() {
		return func() { a.Post(t, "/api/v1/clients/"+client+what, body).Want(t, 200) }
	}
	status, hold, move := of("/status", Map{"status": "active"}), of("/hold", Map{"reason": "case 17"}), of("/assign", Map{"project_id": elsewhere})
	change := func(patch Map) func() {
		return func() { a.Patch(t, rulesPath+"/"+rule, patch).Want(t, 200) }
	}
	nothing := func() {}
	cases := []struct {
		name           string
		found, decided func()
		since          string
		erased         int
	}{
		{"nothing", nothing, nothing, "created", 1},
		{"nothing, by contacts", nothing, nothing, "last_contacted", 1},
		{"another status", status, nothing, "created", 0},
		{"another status, late", nothing, status, "created", 0},
		{"a hold", hold, nothing, "created", 0},
		{"a hold, late", nothing, hold, "created", 0},
		{"another project", move, nothing, "created", 0},
		{"another project, late", nothing, move, "created", 0},
		{"a call", func() {
			a.Post(t, "/api/v1/clients/"+client+"/calls", Map{"direction": "outbound", "number": "555-0100", "outcome": "answered"}).Want(t, 201)
		}, nothing, "last_contacted", 0},
		{"a rule that proposes", change(Map{"action": "propose"}), nothing, "created", 0},
		{"a rule of more days", change(Map{"days": 31}), nothing, "created", 0},
		{"a rule of others", change(Map{"statuses": []string{"inactive"}}), nothing, "created", 0},
		{"no rule", func() { a.Delete(t, rulesPath+"/"+rule, nil).Want(t, 200) }, nothing, "created", 0},
	}
	projects, clients := make([]string, len(cases)), make([]string, len(cases))
	for i, c := range cases {
		projects[i] = a.Project(t, c.name)
		clients[i] = a.Client(t, projects[i], "Someone")
	}
	later(t, a, 30)
	for i, c := range cases {
		client = clients[i]
		rule = a.Create(t, rulesPath, Map{"name": "Leads", "project_id": projects[i], "statuses": []string{"lead"}, "since": c.since, "days": 30, "action": "erase"})
		o := s.Again(t)
		meddling := &between{Directory: o.Commands.Directory, Log: o.Log, found: sync.OnceFunc(c.found), decided: sync.OnceFunc(c.decided)}
		o.Commands.Directory, o.Commands.Store = meddling, commands.NewStore(meddling)
		n, err := (&commands.Retention{API: o.Commands}).Run(t.Context())
		if err != nil || n != c.erased || (erasedBy(t, s, client) != nil) != (c.erased == 1) {
			t.Errorf("%s: %d were erased, %v", c.name, n, err)
		}
		if r := a.Get(t, rulesPath+"/"+rule); r.Status == 200 {
			a.Delete(t, rulesPath+"/"+rule, nil).Want(t, 200)
		}
	}
}

// TestRetentionSurvivesACrash: two processes that do it at once, of which one dies in the
// middle, and one that does it afterwards, as a job, erase everybody, and each once.
func TestRetentionSurvivesACrash(t *testing.T) {
	t.Parallel()
	s, a, _ := retained(t)
	p := a.Project(t, "Here")
	clients := make([]string, 12)
	for i := range clients {
		clients[i] = a.Client(t, p, "Someone")
	}
	later(t, a, 30)
	a.Create(t, rulesPath, Map{"name": "All", "since": "created", "days": 30, "action": "erase"})
	var wg sync.WaitGroup
	for range 2 {
		o := s.Again(t)
		ctx, die := context.WithCancel(t.Context())
		left := 3
		o.Commands.Store = commands.NewStore(&between{Log: o.Log, decided: func() {
			if left--; left == 0 {
				die()
			}
		}})
		wg.Go(func() {
			if n, err := (&commands.Retention{API: o.Commands}).Run(ctx); err == nil || n > 2 {
				t.Errorf("it was to die, and has erased %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	queue, err := jobs.Open(t.Context(), s.DB, jobs.Config{Logger: s.Logs.Logger(), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := commands.NewRetention(s.Commands, queue); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() { _ = queue.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for _, client := range clients {
		until(t, "everybody is erased", func() bool { return erasedBy(t, s, client) != nil })
		if got := types(t, s, domain.Client, client); !slices.Equal(got, []string{"client.registered", "client.erased"}) {
			t.Errorf("the client has %v", got)
		}
	}
}

// TestRetentionRules: who may erase every client of a project makes rules for it, and faults
// are told by their fields.
func TestRetentionRules(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Here"), a.Project(t, "There")
	role := a.Create(t, "/api/v1/roles", Map{"name": "Privacy " + p[:8], "permissions": []Map{
		{"permission": "clients.view", "reach": "project"}, {"permission": "clients.erase", "reach": "project"},
	}})
	blind := a.Create(t, "/api/v1/roles", Map{"name": "Blind " + p[:8], "permissions": []Map{
		{"permission": "clients.view", "reach": "own"}, {"permission": "clients.erase", "reach": "project"},
	}})
	officer := a.EmployeeAs(t, "Privacy Officer", []string{role}, []string{p}, nil)
	sees := a.EmployeeAs(t, "Project Admin", []string{"project_admin"}, []string{p}, nil)
	unseeing := a.EmployeeAs(t, "Un Seeing", []string{blind}, []string{p}, nil)
	body := func(more Map) Map {
		m := Map{"name": "Old leads", "project_id": p, "statuses": []string{"lead"}, "since": "created", "days": 730, "action": "propose"}
		maps.Copy(m, more)
		return m
	}
	sees.Post(t, rulesPath, body(nil)).Problem(t, 403, "forbidden")
	unseeing.Post(t, rulesPath, body(nil)).Problem(t, 403, "forbidden")
	officer.Post(t, rulesPath, body(Map{"project_id": q})).Problem(t, 403, "not_assigned")
	officer.Post(t, rulesPath, body(Map{"project_id": nil})).Problem(t, 403, "not_assigned")
	a.Post(t, rulesPath, body(Map{"project_id": uuid.NewString()})).Problem(t, 422, "invalid", "project_id")
	a.Post(t, rulesPath, body(Map{"since": "birth", "days": 0, "action": "ask"})).Problem(t, 422, "invalid", "since", "days", "action")
	a.Post(t, rulesPath, body(Map{"name": " ", "statuses": []string{"former"}})).Problem(t, 422, "invalid", "name", "statuses[0]")
	rule := officer.Create(t, rulesPath, body(Map{"statuses": []string{"inactive", "lead", "lead"}}))
	sees.After = officer.After
	r := sees.Get(t, rulesPath+"/"+rule).Want(t, 200)
	if r.Text("name") != "Old leads" || r.Text("project_id") != p || r.Text("since") != "created" || r.Text("days") != "730" || r.Text("action") != "propose" ||
		!slices.Equal(r.List("statuses"), []any{"lead", "inactive"}) || r.Text("due.count") != "0" {
		t.Errorf("%s", r.Body)
	}
	officer.Post(t, rulesPath, body(Map{"name": "OLD LEADS"})).Problem(t, 422, "invalid", "name")
	officer.Patch(t, rulesPath+"/"+rule, Map{"statuses": nil, "days": 365}, "If-Match", r.Header.Get("ETag")).Want(t, 200)
	officer.Patch(t, rulesPath+"/"+rule, Map{"days": 364}, "If-Match", r.Header.Get("ETag")).Problem(t, 412, "revision")
	officer.Patch(t, rulesPath+"/"+rule, Map{"days": 0}).Problem(t, 422, "invalid", "days")
	officer.Patch(t, rulesPath+"/"+rule, Map{"days": "many"}).Problem(t, 422, "invalid", "days")
	officer.Patch(t, rulesPath+"/"+rule, Map{"project_id": q}).Problem(t, 422, "invalid", "project_id")
	if r := officer.Get(t, rulesPath+"?project="+p+"&sort=-days").Want(t, 200); !slices.Contains(r.Column("id"), rule) || r.Text("items.0.days") == "" {
		t.Errorf("%s", r.Body)
	}
	sees.Patch(t, rulesPath+"/"+rule, Map{"days": 1}).Problem(t, 403, "forbidden")
	sees.Get(t, rulesPath+"/"+rule+"/due").Want(t, 200)
	plain := a.Employee(t, "Plain", []string{p}, nil)
	plain.After = officer.After
	if r := plain.Get(t, rulesPath+"/"+rule).Want(t, 200); r.At("due") != nil {
		t.Errorf("how many are due is told whoever asks: %s", r.Body)
	}
	plain.Get(t, rulesPath+"/"+rule+"/due").Problem(t, 403, "forbidden")
	away := a.Employee(t, "Away", []string{q}, nil)
	away.After = officer.After
	away.Get(t, rulesPath+"/"+rule+"/due").Problem(t, 404, "retention_rule.absent")
	away.Patch(t, rulesPath+"/"+rule, Map{"days": 1}).Problem(t, 404, "retention_rule.absent")
	officer.Delete(t, rulesPath+"/"+rule, nil).Want(t, 200)
	officer.Delete(t, rulesPath+"/"+rule, nil).Problem(t, 404, "retention_rule.absent")
}
