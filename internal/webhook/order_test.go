package webhook_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"annals/internal/apitest"
	"annals/internal/webhook"
)

func types(all []delivery) (out []string) {
	for _, d := range all {
		out = append(out, d.event.Data.ClientID.String()[:4]+" "+d.event.Type)
	}
	return out
}

// failing refuses events of a client until it is told otherwise.
func failing(client string, status int) func(delivery, int) (int, map[string]string) {
	return func(d delivery, _ int) (int, map[string]string) {
		if d.event.Data.ClientID.String() == client {
			return status, nil
		}
		return 204, nil
	}
}

func TestAFailingEventHoldsBackItsClientOnly(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	stop := s.deliver(nil)
	id, _, _ := s.hook(s.User, r.URL, nil)
	one, two := s.client("One"), s.client("Two")
	r.got(2)
	r.answers(failing(one, 500))
	s.edit(one, "First")
	s.edit(two, "First")
	s.edit(one, "Second")
	s.edit(two, "Second")
	got := r.got(4)
	if want := []string{two[:4] + " client.edited", two[:4] + " client.edited"}; !slices.Equal(types(got)[2:], want) {
		t.Errorf("%v", types(got))
	}
	for _, d := range r.asked(0) {
		if d.event.Revision == 2 && d.event.Data.ClientID.String() == one {
			t.Errorf("the second edit was sent before the first was taken")
		}
	}
	s.await("both wait", func() bool {
		return len(s.Get(t, "/api/v1/webhooks/"+id+"/deliveries?state=waiting&client="+one).List("items")) == 2
	})
	stop() // and another process goes on
	s.deliver(nil)
	r.answers(nil)
	got = r.got(6)
	if a, b := got[4].event, got[5].event; a.Revision != 1 || b.Revision != 2 || b.Previous != a.Position || a.Previous != got[0].event.Position && a.Previous != got[1].event.Position {
		t.Errorf("%s\n%s", got[4].body, got[5].body)
	}
	ids := map[string]int{}
	for _, d := range r.asked(0) {
		if d.event.Revision == 1 && d.event.Data.ClientID.String() == one {
			ids[d.Get("webhook-id")]++
		}
	}
	if len(ids) != 1 {
		t.Errorf("the attempts had the ids %v", ids)
	}
	failed := s.Get(t, "/api/v1/webhooks/"+id+"/deliveries?client="+one).List("items")
	last := failed[0].(map[string]any)["id"].(string)
	for _, item := range failed {
		if item.(map[string]any)["attempts"].(float64) > 1 {
			last = item.(map[string]any)["id"].(string)
		}
	}
	log := s.Get(t, "/api/v1/webhooks/"+id+"/deliveries/"+last)
	if first := log.List("log")[0].(map[string]any); first["status"].(float64) != 500 || first["response"] != "an answer" || first["error"] != "the endpoint answered 500" {
		t.Errorf("%s", log.Body)
	}
}

func TestInGlobalOrderAFailingEventHoldsBackAll(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	s.hook(s.User, r.URL, apitest.Map{"order": "global"})
	one, two := s.client("One"), s.client("Two")
	r.got(2)
	r.answers(failing(one, 302))
	s.edit(one, "First")
	s.edit(two, "First")
	r.asked(4)
	if got := r.got(2); len(got) != 2 {
		t.Errorf("%v", types(got))
	}
	r.answers(nil)
	got := r.got(4)
	for i, d := range got[1:] {
		if d.event.Previous != got[i].event.Position {
			t.Errorf("%s after %s", d.body, got[i].body)
		}
	}
	if got[2].event.Data.ClientID.String() != one {
		t.Errorf("%v", types(got))
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	s.hook(s.User, r.URL, nil)
	r.answers(func(_ delivery, n int) (int, map[string]string) {
		if n == 1 {
			return 429, map[string]string{"Retry-After": "2"}
		}
		return 204, nil
	})
	s.client("One")
	all := r.asked(2)
	if wait := all[1].at.Sub(all[0].at); wait < 1900*time.Millisecond || wait > 10*time.Second {
		t.Errorf("it was tried again after %v", wait)
	}
}

func TestWhatIsRefusedForGoodIsGivenUp(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, _, _ := s.hook(s.User, r.URL, nil)
	one, two := s.client("One"), s.client("Two")
	r.got(2)
	r.answers(func(d delivery, _ int) (int, map[string]string) {
		if d.event.Data.ClientID.String() == one && d.event.Revision == 1 {
			return 400, nil
		}
		return 204, nil
	})
	s.edit(one, "Refused")
	s.edit(one, "Taken")
	var failed []any
	s.await("it is given up", func() bool {
		s.edit(two, "Again "+time.Now().Format("05.000")) // others are taken meanwhile
		failed = s.Get(t, "/api/v1/webhooks/"+id+"/deliveries?state=failed").List("items")
		return len(failed) == 1
	})
	s.await("the next of the client", func() bool {
		for _, d := range r.got(0) {
			if e := d.event; e.Data.ClientID.String() == one && e.Revision == 2 {
				// The receiver can tell that there is one between.
				return e.Previous == failed[0].(map[string]any)["position"]
			}
		}
		return false
	})
	r.answers(nil)
	s.Post(t, "/api/v1/webhooks/"+id+"/deliveries/"+failed[0].(map[string]any)["id"].(string)+"/resend", nil).Want(t, 202)
	s.await("it is sent again", func() bool {
		return slices.ContainsFunc(r.got(0), func(d delivery) bool { return d.event.Data.ClientID.String() == one && d.event.Revision == 1 })
	})
}

func TestGoneDisables(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, _, _ := s.hook(s.User, r.URL, nil)
	r.answers(func(delivery, int) (int, map[string]string) { return 410, nil })
	client := s.client("One")
	s.await("it is disabled", func() bool {
		item := s.Get(t, "/api/v1/webhooks/"+id)
		return item.Text("status") == "disabled" && item.Text("reason") == "gone"
	})
	n := len(r.asked(1))
	s.edit(client, "Other")
	r.quiet(n)
	r.answers(nil)
	s.Post(t, "/api/v1/webhooks/"+id+"/resume", nil).Want(t, 200)
	if got := r.got(2); got[0].event.Type != "client.registered" || got[1].event.Type != "client.edited" {
		t.Errorf("%v", types(got))
	}
}

func TestDisabledAfterFiveDaysOfFailuresAndTheOwnerWarned(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, _, _ := s.hook(s.User, r.URL, nil)
	s.client("One")
	r.got(1)
	r.answers(func(delivery, int) (int, map[string]string) { return 503, nil })
	client := s.client("Two")
	r.asked(3)
	s.Clock.Advance(25 * time.Hour)
	warned := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.warned)
	}
	s.Session(t) // the old one has ended by now
	s.await("the owner is warned", func() bool { return warned() > 0 })
	if got := s.Get(t, "/api/v1/webhooks/"+id).Text("status"); got != "active" {
		t.Errorf("it is %s after a day", got)
	}
	s.Clock.Advance(4 * 24 * time.Hour)
	s.Session(t)
	s.await("it is disabled", func() bool { return s.Get(t, "/api/v1/webhooks/"+id).Text("reason") == "failing" })
	if warned() != 1 {
		t.Errorf("the owner was warned %d times", warned())
	}
	r.answers(nil)
	s.Post(t, "/api/v1/webhooks/"+id+"/resume", nil).Want(t, 200)
	if got := r.got(2)[1]; got.event.Data.ClientID.String() != client {
		t.Errorf("%s", got.body)
	}
}

func TestPausedThenResumedGoesOnWhereItStopped(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, _, _ := s.hook(s.User, r.URL, apitest.Map{"types": []string{"client.edited"}, "fields": []string{"last_name"}})
	client := s.client("One")
	s.edit(client, "First")
	r.got(1)
	s.Post(t, "/api/v1/webhooks/"+id+"/pause", nil).Want(t, 200)
	s.Post(t, "/api/v1/webhooks/"+id+"/test", nil).Problem(t, 409, "webhook.inactive")
	s.Get(t, "/api/v1/webhooks/"+id)
	time.Sleep(200 * time.Millisecond)
	s.edit(client, "Second")
	s.Patch(t, "/api/v1/clients/"+client, apitest.Map{"email": "other@example.com"}).Want(t, 200)
	r.quiet(1)
	s.Post(t, "/api/v1/webhooks/"+id+"/resume", nil).Want(t, 200)
	got := r.got(2)
	if len(got) != 2 || got[1].event.Revision != 2 {
		t.Errorf("%v", types(got))
	}
	s.Post(t, "/api/v1/webhooks/"+id+"/test", nil).Want(t, 200)
	if got := r.got(3)[2].event; got.Type != "webhook.tested" {
		t.Errorf("%+v", got)
	}
	s.Delete(t, "/api/v1/webhooks/"+id, nil).Want(t, 200)
	s.Get(t, "/api/v1/webhooks/"+id).Problem(t, 404, "webhook.absent")
}

func TestReplay(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	before := s.client("Before")
	began := s.Get(t, "/api/v1/clients/"+before).Header.Get("Annals-Position")
	s.deliver(nil)
	id, secret, _ := s.hook(s.User, r.URL, nil)
	s.edit(before, "Live")
	live := r.got(1)[0]
	s.Post(t, "/api/v1/webhooks/"+id+"/replay", apitest.Map{"from": apitest.Map{}}).Problem(t, 422, "invalid", "from")
	s.Post(t, "/api/v1/webhooks/"+id+"/replay", apitest.Map{"from": apitest.Map{"position": "x"}}).Problem(t, 422, "invalid", "from.position")
	s.Post(t, "/api/v1/webhooks/"+id+"/replay", apitest.Map{"from": apitest.Map{"position": "0"}}).Want(t, 200)
	got := r.got(3)[1:]
	if got[0].event.Type != "client.registered" || got[1].event.ID != live.event.ID || got[1].Get("webhook-id") != live.Get("webhook-id") || got[1].event.Previous != got[0].event.Position {
		t.Errorf("%v, began %s", types(got), began)
	}
	if err := webhook.Verify(secret, got[0].Get("webhook-id"), got[0].Get("webhook-timestamp"), got[0].Get("webhook-signature"), got[0].body, time.Now()); err != nil {
		t.Error(err)
	}
	s.await("it has ended", func() bool {
		all := s.Get(t, "/api/v1/webhooks/"+id).List("replays")
		return len(all) == 1 && all[0].(map[string]any)["ended_at"] != nil
	})
	s.Post(t, "/api/v1/webhooks/"+id+"/replay", apitest.Map{"from": apitest.Map{"time": "2020-01-01T00:00:00Z"}, "to": apitest.Map{"time": "2020-02-01T00:00:00Z"}}).Want(t, 200)
	s.await("the other one has ended", func() bool {
		all := s.Get(t, "/api/v1/webhooks/"+id).List("replays")
		return len(all) == 2 && all[0].(map[string]any)["ended_at"] != nil
	})
	r.quiet(3)
}

func TestASlowEndpointDelaysNobody(t *testing.T) {
	s, slow, quick := newSite(t), newReceiver(t), newReceiver(t)
	s.deliver(func(c *webhook.Config) { c.Shared = 1 })
	s.hook(s.User, slow.URL, nil)
	s.hook(s.User, quick.URL, nil)
	s.client("Warm")
	quick.got(1)
	hold := make(chan struct{})
	slow.answers(func(delivery, int) (int, map[string]string) { <-hold; return 204, nil })
	defer close(hold)
	began := time.Now()
	for name := range strings.FieldsSeq("A B C D E F G H I J") {
		s.client(name)
	}
	quick.got(11)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
