package webhook_test

import (
	"strings"
	"testing"

	"annals/internal/apitest"
)

// manager is an employee who sees the clients of their desks, exports them or not, and
// has webhooks of their own.
func (s *site) manager(name string, exports bool) *apitest.User {
	s.t.Helper()
	may := []apitest.Map{{"permission": "clients.view", "reach": "desk"}, {"permission": "webhooks.manage", "reach": "own"}}
	if exports {
		may = append(may, apitest.Map{"permission": "clients.export", "reach": "desk"})
	}
	role := s.Create(s.t, "/api/v1/roles", apitest.Map{"name": name, "permissions": may})
	return s.EmployeeAs(s.t, name, []string{role}, []string{s.project}, []string{s.desk})
}

func TestWhoLosesADeskIsToldNothingOfIt(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	south := s.Desk(t, s.project, "South")
	m := s.manager("Mia", false)
	s.hook(m, r.URL, nil)
	client, other := s.client("North"), s.Client(t, s.project, "South", apitest.Map{"desk_id": south})
	if got := r.got(1)[0]; got.event.Data.ClientID.String() != client {
		t.Errorf("%s", got.body)
	}
	r.answers(func(delivery, int) (int, map[string]string) { return 503, nil })
	s.edit(client, "Waits")
	r.asked(2)
	s.Assign(t, m.ID, []string{s.project}, []string{south})
	r.answers(nil)
	s.edit(client, "Unseen")
	s.edit(other, "Seen")
	got := r.got(2)
	if e := got[1].event; e.Data.ClientID.String() != other || e.Type != "client.edited" {
		t.Errorf("%s", got[1].body)
	}
	n := len(r.got(2))
	s.edit(other, "Seen again")
	for _, d := range r.got(n + 1)[1:] {
		if d.event.Data.ClientID.String() == client {
			t.Errorf("was told of a client of a desk that they left: %s", d.body)
		}
	}
	s.Post(t, "/api/v1/employees/"+m.ID+"/deactivate", apitest.Map{}).Want(t, 200)
	n = len(r.asked(0))
	s.edit(other, "Nobody's")
	r.quiet(n)
}

func TestPersonalDataGoesToWhoMayExport(t *testing.T) {
	s, with, without, thin := newSite(t), newReceiver(t), newReceiver(t), newReceiver(t)
	s.deliver(nil)
	s.hook(s.manager("May", true), with.URL, apitest.Map{"payload": "full"})
	s.hook(s.manager("Mat", false), without.URL, apitest.Map{"payload": "full"})
	s.hook(s.manager("Thin", true), thin.URL, nil)
	s.client("Moreau")
	if got := string(with.got(1)[0].body); !strings.Contains(got, "Moreau@example.com") {
		t.Error(got)
	}
	if got := string(without.got(1)[0].body); strings.Contains(got, "Moreau") || !strings.Contains(got, `"event":{"project_id"`) && !strings.Contains(got, s.project) {
		t.Error(got)
	}
	if got := string(thin.got(1)[0].body); strings.Contains(got, "Moreau") || strings.Contains(got, s.project) || !strings.Contains(got, `"last_name"`) {
		t.Error(got)
	}
}

func TestWhatIsErasedIsDeliveredNoMore(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, _, _ := s.hook(s.User, r.URL, apitest.Map{"payload": "full", "types": []string{"*"}})
	client := s.client("Moreau")
	r.answers(func(d delivery, _ int) (int, map[string]string) {
		if d.event.Type == "client.erased" {
			return 204, nil
		}
		return 500, nil
	})
	s.await("it waits, with what was answered", func() bool { return s.count(`select count(*) from annals_webhooks.attempts where response <> ''`) > 0 })
	s.Post(t, "/api/v1/clients/"+client+"/erase", apitest.Map{"reason": "letter"}).Want(t, 200)
	s.Erase(t, client) // as the job does that follows
	s.await("what was answered is forgotten", func() bool {
		return s.count(`select count(*) from annals_webhooks.attempts a join annals_webhooks.deliveries d on d.id = a.delivery_id where d.client_id = $1 and a.at < now() - interval '300 milliseconds' and a.response <> ''`, client) == 0
	})
	r.answers(nil)
	s.await("the rest is delivered", func() bool {
		got := r.got(0)
		return len(got) > 0 && got[len(got)-1].event.Type == "client.erased"
	})
	for _, d := range r.got(0) {
		if strings.Contains(string(d.body), "Moreau") || d.event.Type == "client.registered" && len(d.event.Data.Erased) == 0 {
			t.Errorf("%s", d.body)
		}
	}
	for _, table := range []string{"deliveries", "attempts", "endpoints", "runs"} {
		if n := s.count(`select count(*) from annals_webhooks.` + table + ` t where t::text ilike '%moreau%'`); n > 0 {
			t.Errorf("%s holds personal data", table)
		}
	}
	if s.Get(t, "/api/v1/webhooks/"+id).Text("payload") != "full" {
		t.Error("the webhook is another")
	}
}

func (s *site) count(sql string, args ...any) (n int) {
	s.t.Helper()
	if err := s.DB.QueryRow(s.t.Context(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestWhoMaySeeAndDoWhat(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	m, other := s.manager("Mia", true), s.manager("Otto", true)
	agent := s.Employee(t, "Agent", []string{s.project}, []string{s.desk})
	id, secret, _ := s.hook(m, r.URL, apitest.Map{"headers": apitest.Map{"x-token": "hidden"}})
	at := "/api/v1/webhooks/" + id
	s.After, other.After = m.After, m.After
	agent.Post(t, "/api/v1/webhooks", apitest.Map{"url": r.URL, "types": []string{"*"}}).Problem(t, 403, "forbidden")
	agent.Get(t, "/api/v1/webhooks").Problem(t, 403, "forbidden")
	for _, do := range []string{"/pause", "/resume", "/test", "/rotate"} {
		other.Post(t, at+do, nil).Problem(t, 404, "webhook.absent")
	}
	other.Get(t, at).Problem(t, 404, "webhook.absent")
	other.Get(t, at+"/deliveries").Problem(t, 404, "webhook.absent")
	if got := other.Get(t, "/api/v1/webhooks").List("items"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	// Who manages all may stop it, and not have it tell elsewhere what its owner may see.
	s.Get(t, at).Want(t, 200)
	s.Patch(t, at, apitest.Map{"url": "https://elsewhere.example"}).Problem(t, 403, "forbidden")
	s.Post(t, at+"/rotate", nil).Problem(t, 403, "forbidden")
	s.Post(t, at+"/pause", nil).Want(t, 200)
	m.After = s.After
	got := m.Get(t, "/api/v1/webhooks")
	if strings.Contains(string(got.Body), "hidden") || strings.Contains(string(got.Body), secret) || len(got.List("items")) != 1 {
		t.Errorf("%s", got.Body)
	}
	m.Patch(t, at, apitest.Map{"types": []string{"client.eaten"}}).Problem(t, 422, "invalid", "types[0]")
	m.Patch(t, at, apitest.Map{"url": "https://me:secret@example.com/"}).Problem(t, 422, "invalid", "url")
	m.Patch(t, at, apitest.Map{"headers": apitest.Map{"webhook-id": "mine"}}).Problem(t, 422, "invalid", "headers.webhook-id")
	m.Patch(t, at, apitest.Map{"headers": nil, "payload": "full"}).Want(t, 200)
	for range 4 {
		m.Post(t, at+"/rotate", nil).Want(t, 200)
	}
	m.Post(t, at+"/rotate", nil).Problem(t, 409, "webhook.rotating")

	key := apitest.Map{"url": r.URL, "types": []string{"*"}}
	first := m.Post(t, "/api/v1/webhooks", key, "Idempotency-Key", "once")
	again := m.Post(t, "/api/v1/webhooks", key, "Idempotency-Key", "once")
	if first.Text("secret") != again.Text("secret") || first.Text("id") != again.Text("id") || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s\n%s", first.Body, again.Body)
	}
}
