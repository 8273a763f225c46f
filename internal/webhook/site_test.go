package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/apitest"
	"annals/internal/cloudevent"
	"annals/internal/process"
	"annals/internal/webhook"
)

// site is Annals with somebody who has webhooks, and what delivers them.
type site struct {
	*apitest.System
	*apitest.User
	t       *testing.T
	project string
	desk    string

	mu     sync.Mutex
	warned []time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := apitest.Start(t)
	u := s.Admin(t)
	w := &site{System: s, User: u, t: t}
	w.project = u.Project(t, "Retail")
	w.desk = u.Create(t, "/api/v1/desks", apitest.Map{"project_id": w.project, "name": "North"})
	rules, err := process.Open(t.Context(), s.DB, process.Config{
		Log: s.Log, Logger: s.Logs.Logger(), Now: s.Clock.Now, Handlers: []process.Handler{{Name: webhook.Handler, Handle: s.Hooks.Follow}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.during(rules.Run)
	return w
}

// during has something run until the test ends, or until stop is called.
func (s *site) during(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// config is what delivers, in a hurry.
func (s *site) config() webhook.Config {
	return webhook.Config{
		Store: s.Hooks, Log: s.Log, Webhook: s.Commands.Webhook, Authority: s.Commands.WebhookAuthority, Place: s.Commands.ClientPlace, Places: s.Reads.Directory().PlacesAfter, Disable: s.Commands.DisableWebhook,
		Warn: func(_ context.Context, _ pgx.Tx, _, _ domain.ID, since time.Time) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.warned = append(s.warned, since)
			return nil
		},
		Source: "https://annals.example", Private: true, Logger: s.Logs.Logger(), Now: s.Clock.Now,
		Schedule: []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond},
		Probe:    100 * time.Millisecond, Look: 20 * time.Millisecond,
	}
}

func (s *site) deliver(change func(*webhook.Config)) (stop func()) {
	s.t.Helper()
	cfg := s.config()
	if change != nil {
		change(&cfg)
	}
	d, err := webhook.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.during(d.Run)
}

func (s *site) client(name string) string {
	s.t.Helper()
	return s.Create(s.t, "/api/v1/clients", apitest.Map{"last_name": name, "project_id": s.project, "desk_id": s.desk, "email": name + "@example.com"})
}

func (s *site) edit(client, name string) {
	s.t.Helper()
	s.Patch(s.t, "/api/v1/clients/"+client, apitest.Map{"last_name": name}).Want(s.t, 200)
}

// hook makes a webhook of the user, and answers its id and secrets.
func (s *site) hook(u *apitest.User, url string, more apitest.Map) (id, secret, public string) {
	s.t.Helper()
	body := apitest.Map{"url": url, "types": []string{"client.*"}}
	maps.Copy(body, more)
	r := u.Post(s.t, "/api/v1/webhooks", body)
	r.Want(s.t, 201)
	return r.Text("id"), r.Text("secret"), r.Text("public_key")
}

// delivery is what a receiver got.
type delivery struct {
	http.Header
	body  []byte
	event cloudevent.Event
	at    time.Time
}

// receiver is an endpoint.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	answer func(d delivery, n int) (status int, header map[string]string) // n counts from 1
	all    []delivery
	taken  []delivery // those that were answered 2xx
	more   chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, more: make(chan struct{})}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	d := delivery{Header: req.Header.Clone(), body: body, at: time.Now()}
	d.Set("Host", req.Host)
	if err := json.Unmarshal(body, &d.event); err != nil {
		r.t.Errorf("%v: %s", err, body)
	}
	r.mu.Lock()
	r.all = append(r.all, d)
	n, answer := len(r.all), r.answer
	r.mu.Unlock()
	status := http.StatusNoContent
	if answer != nil {
		var header map[string]string
		status, header = answer(d, n)
		for k, v := range header {
			w.Header().Set(k, v)
		}
	}
	r.mu.Lock()
	if status/100 == 2 {
		r.taken = append(r.taken, d)
	}
	close(r.more)
	r.more = make(chan struct{})
	r.mu.Unlock()
	w.WriteHeader(status)
	if status != http.StatusNoContent {
		_, _ = io.WriteString(w, "an answer")
	}
}

func (r *receiver) answers(f func(d delivery, n int) (int, map[string]string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// got waits until so many have been taken, and answers them.
func (r *receiver) got(n int) []delivery {
	r.t.Helper()
	return r.wait(n, func() []delivery { return r.taken })
}

// asked waits until so many have been sent.
func (r *receiver) asked(n int) []delivery {
	r.t.Helper()
	return r.wait(n, func() []delivery { return r.all })
}

func (r *receiver) wait(n int, of func() []delivery) []delivery {
	r.t.Helper()
	end := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		got, more := append([]delivery(nil), of()...), r.more
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-end:
			r.t.Fatalf("%d deliveries came, want %d", len(got), n)
		}
	}
}

// quiet says that nothing more comes.
func (r *receiver) quiet(n int) {
	r.t.Helper()
	time.Sleep(500 * time.Millisecond)
	if got := r.asked(0); len(got) != n {
		r.t.Errorf("%d deliveries came, want %d: %s", len(got), n, got[len(got)-1].body)
	}
}

func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("waited in vain: " + what)
		}
	}
}
