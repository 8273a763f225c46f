package httpapi

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/refusals"
)

func TestRefused(t *testing.T) {
	const nobody, employee, key = refusals.Nobody, refusals.Employee, refusals.Key
	subject := uuid.MustParse("9b2f8a52-4a83-4b0f-8f5e-3d0f5b1c2a6d")
	absent := domain.Errorf(domain.NotFound, "thing.absent", "there is no such thing")
	for name, c := range map[string]struct {
		route, token string
		fail         error
		want         *Refusal // without what all have
	}{
		"nobody":                {"GET " + thing, "", nil, &Refusal{Route: "/api/v1/things/{id}", Subject: subject, Status: 401, Code: "unauthorized", Kind: nobody}},
		"a bad token":           {"GET /api/v1/things", "bad", nil, &Refusal{Route: "/api/v1/things", Status: 401, Code: "token", Kind: nobody}},
		"may not":               {"POST " + rename, "mira", domain.Errorf(domain.Forbidden, "forbidden", "no"), &Refusal{Route: "/api/v1/things/{id}/rename", Subject: subject, Status: 403, Code: "forbidden", Kind: employee, Actor: whose("mira")}},
		"a key may not":         {"GET " + thing, "key1", domain.Errorf(domain.Forbidden, "forbidden", "no"), &Refusal{Route: "/api/v1/things/{id}", Subject: subject, Status: 403, Code: "forbidden", Kind: key, Actor: whose("key1")}},
		"may not see":           {"GET " + thing, "mira", absent, &Refusal{Route: "/api/v1/things/{id}", Subject: subject, Status: 404, Code: "thing.absent", Kind: employee, Actor: whose("mira")}},
		"may not see, by HEAD":  {"HEAD " + thing, "mira", absent, &Refusal{Route: "/api/v1/things/{id}", Subject: subject, Status: 404, Code: "thing.absent", Kind: employee, Actor: whose("mira")}},
		"locked":                {"POST /api/v1/session", "", domain.Errorf(domain.Conflict, "locked", "wait"), &Refusal{Route: "/api/v1/session", Status: 409, Code: "locked", Kind: nobody}},
		"slowed down":           {"POST /api/v1/session", "", domain.Errorf(domain.TooMany, "slow", "wait"), &Refusal{Route: "/api/v1/session", Status: 429, Code: "slow", Kind: nobody}},
		"a secret in the path":  {"POST /api/v1/reset/" + secret, "", domain.Errorf(domain.NotFound, "reset", "no"), &Refusal{Route: "/api/v1/reset/{secret}", Status: 404, Code: "reset", Kind: nobody}},
		"not found by filter":   {"GET /api/v1/things", "mira", absent, nil},
		"nothing at this path":  {"GET /nothing/9b2f8a52-4a83-4b0f-8f5e-3d0f5b1c2a6d", "mira", nil, nil},
		"no such method":        {"PATCH " + thing, "mira", nil, nil},
		"a conflict":            {"GET " + thing, "mira", domain.Errorf(domain.Conflict, "c", "x"), nil},
		"an outage":             {"GET " + thing, "outage", nil, nil},
		"a bug":                 {"GET " + thing, "mira", errors.New("bug"), nil},
		"malformed":             {"GET /api/v1/things/x", "mira", nil, nil},
		"success":               {"GET " + thing, "mira", nil, nil},
		"bad token, needs none": {"POST /api/v1/session", "bad", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Config{})
			s.fail = c.fail
			headers := []string{"User-Agent: Mozilla/5.0 " + strings.Repeat("x", 400), "X-Secret: " + secret}
			if c.token != "" {
				headers = append(headers, "Authorization: Bearer "+c.token)
			}
			w := s.send(c.route, headers...)
			if c.want == nil {
				if len(s.refused) > 0 {
					t.Errorf("%d, refused %+v", w.Code, s.refused)
				}
				return
			}
			c.want.At, c.want.IP, c.want.UserAgent = s.now, netip.MustParseAddr("192.0.2.1"), ("Mozilla/5.0 " + strings.Repeat("x", 400))[:300]
			c.want.Method, _, _ = strings.Cut(c.route, " ")
			c.want.Request, _ = uuid.Parse(w.Header().Get("Request-Id"))
			if len(s.refused) != 1 || s.refused[0] != *c.want || w.Code != c.want.Status {
				t.Errorf("%d %s\n got %+v\nwant %+v", w.Code, w.Body, s.refused, *c.want)
			}
			if all := fmt.Sprintf("%+v", s.refused); strings.Contains(all, secret) {
				t.Errorf("told: %s", all)
			}
		})
	}
}
