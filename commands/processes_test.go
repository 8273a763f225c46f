package commands_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/commands"
	"annals/domain"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/mail"
	"annals/internal/process"
)

// outbox keeps what is mailed in a transaction that commits.
type outbox struct {
	mu  sync.Mutex
	all []mail.Message
}

func (o *outbox) Send(_ context.Context, _ pgx.Tx, m mail.Message) (uuid.UUID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, m)
	return uuid.New(), nil
}

func (o *outbox) to(address string) (out []mail.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.all {
		if m.To == address {
			out = append(out, m)
		}
	}
	return out
}

// rule runs the rules of a system, as a process does.
func rule(t *testing.T, s *apitest.System) *outbox {
	t.Helper()
	box := &outbox{}
	queue, err := jobs.Open(t.Context(), s.DB, jobs.Config{Logger: s.Logs.Logger(), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := commands.NewRules(t.Context(), commands.RulesConfig{API: s.Commands, Jobs: queue, DB: s.DB, Mailer: box, MailEvery: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := process.Open(t.Context(), s.DB, process.Config{Log: s.Log, Logger: s.Logs.Logger(), Now: s.Clock.Now, Handlers: rules.Handlers()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = runner.Run(ctx) })
	wg.Go(func() { _ = queue.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	until(t, "the rules run", func() bool { return runner.Ready(t.Context()) == nil })
	return box
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// types are those of a stream's events.
func types(t *testing.T, s *apitest.System, category, id string) (out []string) {
	t.Helper()
	for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(category, uuid.MustParse(id)), 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec.Type)
	}
	return out
}

func TestPortalFollowsTheStatus(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Retail")
	before := admin.Client(t, project, "Before", apitest.Map{"status": "active"})
	rule(t, s)
	client := admin.Client(t, project, "Frida")
	has := func(id string, n int, last string) {
		t.Helper()
		until(t, fmt.Sprintf("event %d is %s", n, last), func() bool {
			all := types(t, s, domain.Portal, id)
			return len(all) == n && all[n-1] == last
		})
	}
	has(before, 1, "portal.access_granted") // since the rule holds for what was before it
	admin.Post(t, "/api/v1/clients/"+client+"/status", apitest.Map{"status": "active"}).Want(t, 200)
	has(client, 1, "portal.access_granted")
	admin.Post(t, "/api/v1/clients/"+client+"/deactivate", apitest.Map{"reason": "x"}).Want(t, 200)
	has(client, 2, "portal.access_revoked")
	admin.Post(t, "/api/v1/clients/"+client+"/reactivate", apitest.Map{}).Want(t, 200)
	has(client, 3, "portal.access_granted")
}

func TestActionsFallDue(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	rule(t, s)
	project := admin.Project(t, "Retail")
	desk := admin.Desk(t, project, "North")
	ann := admin.Employee(t, "Ann", []string{project}, []string{desk})
	client := admin.Client(t, project, "Frida", apitest.Map{"desk_id": desk, "manager_id": ann.ID})
	soon := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	action := func(body apitest.Map) string {
		t.Helper()
		body["type"], body["title"], body["assignee_id"] = "task", "Call", ann.ID
		return admin.Create(t, "/api/v1/clients/"+client+"/actions", body)
	}
	at := func(id, what string) {
		t.Helper()
		admin.Post(t, "/api/v1/clients/"+client+"/actions/"+id+"/"+what, nil).Want(t, 200)
	}
	late := action(apitest.Map{"remind_at": soon(time.Second), "due_at": soon(1500 * time.Millisecond)})
	done := action(apitest.Map{"due_at": soon(time.Second)})
	at(done, "done")
	moved := action(apitest.Map{"due_at": soon(time.Second)})
	admin.Patch(t, "/api/v1/clients/"+client+"/actions/"+moved, apitest.Map{"due_at": soon(time.Hour)}).Want(t, 200)
	until(t, "the action falls due", func() bool {
		got := types(t, s, domain.Action, late) // both may have come late, and then in any order
		return slices.Equal(slices.Sorted(slices.Values(got)), []string{"action.added", "action.fell_due", "action.reminded"})
	})
	if got := types(t, s, domain.Action, done); !slices.Equal(got, []string{"action.added", "action.done"}) {
		t.Errorf("what was done has %v", got)
	}
	if got := types(t, s, domain.Action, moved); !slices.Equal(got, []string{"action.added", "action.changed"}) {
		t.Errorf("what was put off has %v", got)
	}
	at(done, "reopen")
	until(t, "what was reopened falls due", func() bool {
		all := types(t, s, domain.Action, done)
		return all[len(all)-1] == "action.fell_due"
	})
	until(t, "Ann is told", func() bool {
		kinds := ann.Get(t, "/api/v1/notifications?limit=200", "Annals-After", "").Column("kind")
		slices.Sort(kinds)
		return slices.Equal(kinds, []string{"assigned", "assigned", "assigned", "assigned", "due", "overdue", "overdue"})
	})
}

// Who asked for it gets mail: one about all that has come together, without anything of
// a client, and about clients that they see.
func TestNoticesAreMailed(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Retail")
	desk := admin.Desk(t, project, "North")
	ann := admin.Employee(t, "Ann", []string{project}, []string{desk})
	bob := admin.Employee(t, "Bob", []string{project}, []string{desk})
	mine := func(u *apitest.User) apitest.Map { return apitest.Map{"desk_id": desk, "manager_id": u.ID} }
	ann.Do(t, "PUT", "/api/v1/notifications/preferences", apitest.Map{"assigned": "email"}).Want(t, 200)
	admin.Client(t, project, "Before", mine(ann))
	box := rule(t, s)
	began := time.Now()
	var ids []string
	for i := range 25 {
		ids = append(ids, admin.Client(t, project, fmt.Sprint("Fridolin ", i), mine(ann)))
		admin.Client(t, project, fmt.Sprint("Gerd ", i), mine(bob))
	}
	waiting := func() (n int) {
		t.Helper()
		if err := s.DB.QueryRow(t.Context(), `select count(*) from annals_notices.waiting`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var text strings.Builder
	listed := func() int {
		text.Reset()
		for _, m := range box.to(ann.Email) {
			text.WriteString(m.Subject + "\n" + m.Text)
		}
		n := strings.Count(text.String(), "/clients/")
		for line := range strings.Lines(text.String()) {
			more := 0
			if _, err := fmt.Sscanf(line, "And %d more", &more); err == nil {
				n += more
			}
		}
		return n
	}
	until(t, "mail about all", func() bool { return listed() == len(ids) && waiting() == 0 })
	if strings.Contains(text.String(), "Fridolin") || !strings.Contains(text.String(), "https://annals.example/clients/"+ids[0]) || !strings.Contains(text.String(), "Ada Admin") {
		t.Errorf("%s", text.String())
	}
	if n, periods := len(box.to(ann.Email)), int(time.Since(began)/time.Second)+2; n > periods {
		t.Errorf("%d messages in %d periods", n, periods)
	}
	if got := box.to(bob.Email); len(got) != 0 {
		t.Errorf("Bob did not ask for %v", got)
	}
	// Of what somebody does not see any longer they are told nothing.
	sent := len(box.to(ann.Email))
	_, err := s.DB.Exec(t.Context(), `insert into annals_notices.waiting (event_id, employee_id, kind, client_id, actor_id, at) values ($1, $2, 'assigned', $3, $4, $5)`,
		uuid.New(), ann.ID, admin.Client(t, project, "Elsewhere"), admin.ID, s.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it is looked at", func() bool { return waiting() == 0 })
	if got := box.to(ann.Email); len(got) != sent {
		t.Errorf("%d messages more", len(got)-sent)
	}
}
