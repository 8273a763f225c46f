package webhook_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"annals/internal/apitest"
	"annals/internal/webhook"
)

// TestARefusedAddressIsInTheDeliveryLog, whether it is refused by itself or a name led to
// it, and nothing has reached it.
func TestARefusedAddressIsInTheDeliveryLog(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(func(c *webhook.Config) { c.Private = false })
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	var ids []string
	for _, url := range []string{
		r.URL, "http://localhost:" + port, "http://[::1]:" + port, "http://0.0.0.0:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://10.0.0.1",
		"http://169.254.169.254/latest", "http://168.63.129.16", "http://[64:ff9b::7f00:1]:" + port, "http://[fe80::1]",
	} {
		id, _, _ := s.hook(s.User, url, nil)
		ids = append(ids, id)
	}
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[fe80::1%25eth0]", "127.0.0.256"} {
		s.Post(t, "/api/v1/webhooks", apitest.Map{"url": "http://" + host, "types": []string{"*"}}).Problem(t, http.StatusUnprocessableEntity, "invalid", "url")
	}
	s.client("Moreau")
	for _, id := range ids {
		var log *apitest.Response
		s.await("the refusal is in the log", func() bool {
			all := s.Get(t, "/api/v1/webhooks/"+id+"/deliveries").List("items")
			if len(all) == 0 {
				return false
			}
			log = s.Get(t, "/api/v1/webhooks/"+id+"/deliveries/"+all[0].(map[string]any)["id"].(string))
			return len(log.List("log")) > 0
		})
		if first := log.List("log")[0].(map[string]any); !strings.Contains(first["error"].(string), "not one of the public internet") || first["status"] != nil {
			t.Errorf("%s", log.Body)
		}
	}
	r.quiet(0)
}

func TestHeadersOfAWebhookCannotSpeakForAnnals(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	for _, name := range []string{"Host", "Content-Length", "Webhook-Id", "webhook-signature", "WEBHOOK-TIMESTAMP", "Transfer-Encoding", "annals-previous"} {
		s.Post(t, "/api/v1/webhooks", apitest.Map{"url": r.URL, "types": []string{"*"}, "headers": apitest.Map{name: "x"}}).Problem(t, 422, "invalid")
	}
	s.Post(t, "/api/v1/webhooks", apitest.Map{"url": r.URL, "types": []string{"*"}, "headers": apitest.Map{"x": "a\r\nhost: b"}}).Problem(t, 422, "invalid")
}
