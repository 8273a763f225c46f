package commands_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	domainclient "annals/domain/client"
	"annals/internal/apitest"
	"annals/internal/eventlog"
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
	}
	if n := run(); n != 0 {
		t.Errorf("%d were erased by rules that propose", n)
	}
}
