package webhook_test

import (
	"testing"

	"annals/internal/apitest"
	"annals/internal/webhook"
)

func TestAnEventIsDelivered(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, secret, public := s.hook(s.User, r.URL+"/in", apitest.Map{"payload": "full", "headers": apitest.Map{"Authorization": "Bearer mine"}})
	client := s.client("Moreau")
	s.edit(client, "Martin")
	got := r.got(2)
	first, second := got[0], got[1]
	if e := first.event; e.Type != "client.registered" || e.SpecVersion != "1.0" || e.Source != "https://annals.example" ||
		e.Subject != "client-"+client || e.Data.ClientID.String() != client || e.Revision != 0 || e.Previous != "" {
		t.Errorf("%s", first.body)
	}
	if e := second.event; e.Type != "client.edited" || e.Previous != first.event.Position || second.Get("Annals-Previous") != e.Previous ||
		len(e.Data.Changed) != 1 || e.Data.Changed[0] != "last_name" {
		t.Errorf("%s", second.body)
	}
	for _, d := range got {
		if d.Get("Authorization") != "Bearer mine" || d.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("%v", d.Header)
		}
		for _, key := range []string{secret, public} {
			if err := webhook.Verify(key, d.Get("webhook-id"), d.Get("webhook-timestamp"), d.Get("webhook-signature"), d.body, d.at); err != nil {
				t.Error(err)
			}
		}
	}
	s.await("it is in the log", func() bool {
		return len(s.Get(t, "/api/v1/webhooks/"+id+"/deliveries?state=delivered").List("items")) == 2
	})
	item := s.Get(t, "/api/v1/webhooks/"+id)
	item.Want(t, 200)
	t.Logf("%s\n%s", item.Body, second.body)
}
