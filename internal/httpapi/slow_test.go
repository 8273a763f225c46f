package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"annals/domain"
	"annals/internal/access"
)

// slowBody does something before its first byte arrives.
type slowBody struct {
	io.Reader
	before func()
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.before != nil {
		b.before()
		b.before = nil
	}
	return b.Reader.Read(p)
}

// TestRightsLostMeanwhile: who loses their rights while the body of a request is still
// on its way does not carry it out with those that they had.
func TestRightsLostMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		takes  time.Duration
		loses  bool
		status int
	}{
		"at once, and keeps them":   {0, false, http.StatusNoContent},
		"slowly, and keeps them":    {time.Second, false, http.StatusNoContent},
		"slowly, and has lost them": {time.Second, true, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Config{})
			lost, authenticate := false, s.api.authenticate
			s.api.authenticate = func(ctx context.Context, token string) (*access.Actor, error) {
				if lost {
					return nil, domain.Errorf(domain.Unauthorized, "token", "the token is not valid")
				}
				a, err := authenticate(ctx, token)
				if a != nil {
					a.Token = token
				}
				return a, err
			}
			body := &slowBody{strings.NewReader(`{"name": "x", "deep": {"number": 1}}`), func() {
				s.now, lost = s.now.Add(c.takes), c.loses
			}}
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/things/6ba7b810-9dad-41d1-80b4-00c04fd430c8/rename", body)
			r.Header.Set("Authorization", "Bearer mira")
			w := httptest.NewRecorder()
			s.router.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if ran := s.caller.Request != (domain.ID{}); ran == c.loses {
				t.Errorf("was carried out: %v", ran)
			}
		})
	}
}
