package commands_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	domainclient "annals/domain/client"
	"annals/domain/erasure"
	"annals/eventschema"
	"annals/internal/apitest"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/process"
)

// executor has what is erased in a system be gone, as a worker does. Cleaning is what it
// does to the files of the database.
func executor(t *testing.T, s *apitest.System, cleaning func(context.Context, eventlog.Position) (erasure.Cleaning, error)) (stop func()) {
	t.Helper()
	queue, err := jobs.Open(t.Context(), s.DB, jobs.Config{Logger: s.Logs.Logger(), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	erasures, err := commands.NewErasures(commands.ErasuresConfig{API: s.Commands, Jobs: queue, Clean: cleaning})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := process.Open(t.Context(), s.DB, process.Config{Log: s.Log, Logger: s.Logs.Logger(), Now: s.Clock.Now, Handlers: []process.Handler{erasures.Handler()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = runner.Run(ctx) })
	wg.Go(func() { _ = queue.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// TestErasureSurvivesACrash: whatever an erasure dies after, it is carried out in the end,
// once, and the log says it before anything is gone.
func TestErasureSurvivesACrash(t *testing.T) {
	t.Parallel()
	for _, dies := range []string{"when the log has it", "before the key is gone", "when the key is gone", "before it is told"} {
		t.Run(dies, func(t *testing.T) {
			t.Parallel()
			s := apitest.Start(t)
			admin := s.Admin(t)
			client := admin.Client(t, admin.Project(t, "Retail"), "Frida")
			of := "/api/v1/clients/" + client
			admin.Post(t, of+"/erase", apitest.Map{"reason": "letter"}).Want(t, 200)
			if state := admin.Get(t, of+"/erasure").Text("state"); state != "requested" {
				t.Fatal(state)
			}
			if dies != "when the log has it" {
				first := s.Again(t)
				first.Commands.Store = commands.NewStore(&mortal{Log: first.Log, dies: dies})
				stop := executor(t, first, nil)
				until(t, "it dies", func() bool {
					var attempts int
					_ = s.DB.QueryRow(t.Context(), `select coalesce(max(jsonb_array_length(to_jsonb(errors))), 0) from annals_jobs.river_job where kind = 'erasure_carry_out'`).Scan(&attempts)
					return attempts > 0
				})
				stop()
			}
			executor(t, s, nil)
			until(t, "it is carried out", func() bool { return admin.Get(t, of+"/erasure").Text("state") == "carried_out" })
			c := admin.Get(t, of+"/erasure").Want(t, 200)
			if c.Text("certificate.done.rows.clients") != "1" || c.Text("certificate.positions.key_destroyed") == "" || c.Text("certificate.by.id") != admin.ID {
				t.Errorf("%s", c.Body)
			}
			if got := types(t, s, domain.Erasure, client); !slices.Equal(got, []string{"erasure.carried_out"}) {
				t.Errorf("the erasure has %v", got)
			}
			if got := types(t, s, domain.Client, client); !slices.Equal(got, []string{"client.registered", "client.erased"}) {
				t.Errorf("the client has %v", got)
			}
			if name := admin.Get(t, of).Want(t, 200).Text("name"); name != "" {
				t.Errorf("is called %s", name)
			}
		})
	}
}

// mortal is a log that fails at a moment, for ever.
type mortal struct {
	*eventlog.Log
	dies string
}

var errDead = errors.New("dead")

func (m *mortal) DestroyKey(ctx context.Context, id domain.ID, last eventlog.Revision) error {
	if m.dies == "before the key is gone" {
		return errDead
	}
	err := m.Log.DestroyKey(ctx, id, last)
	if m.dies == "when the key is gone" {
		return errDead
	}
	return err
}

func (m *mortal) Append(ctx context.Context, stream string, last eventlog.Revision, meta domain.Meta, events ...any) (eventlog.Result, error) {
	if _, ok := events[0].(erasure.CarriedOut); ok {
		return eventlog.Result{}, errDead
	}
	return m.Log.Append(ctx, stream, last, meta, events...)
}

// late is a log in which a key gets another event at the moment when it is to be destroyed.
type late struct {
	*eventlog.Log
	more func()
}

func (l *late) DestroyKey(ctx context.Context, id domain.ID, last eventlog.Revision) error {
	l.more()
	return l.Log.DestroyKey(ctx, id, last)
}

// TestKeyThatGotMore: a key that was wrapped anew after the decision, once before it is
// carried out and once in the middle of that, leaves the log with exactly the events that
// are told of.
func TestKeyThatGotMore(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	client := admin.Client(t, admin.Project(t, "Retail"), "Frida")
	of := "/api/v1/clients/" + client
	admin.Post(t, of+"/erase", apitest.Map{"reason": "letter"}).Want(t, 200)
	key := eventlog.Stream(eventschema.Key, uuid.MustParse(client))
	var made eventschema.KeyCreated
	for rec, err := range s.Log.Read(t.Context(), key, 0) {
		if err != nil {
			t.Fatal(err)
		}
		made = rec.Event.(eventschema.KeyCreated)
	}
	more := func(after eventlog.Revision) {
		m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: time.Now().UTC()}
		if _, err := s.Log.Append(context.WithoutCancel(t.Context()), key, after, m, made); err != nil {
			t.Error(err)
		}
	}
	more(0)
	s.Commands.Store = commands.NewStore(&late{Log: s.Log, more: sync.OnceFunc(func() { more(1) })})
	executor(t, s, nil)
	until(t, "it is carried out", func() bool { return admin.Get(t, of+"/erasure").Text("state") == "carried_out" })
	if n := admin.Get(t, of+"/erasure").Text("certificate.done.key_events"); n != "3" {
		t.Errorf("%s events of the key are told of", n)
	}
	told := [][]byte{}
	for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(domain.Client, uuid.MustParse(client)), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := rec.Event.(domainclient.Erased); ok {
			told = e.KeyLeaves
		}
	}
	if len(told) != 3 {
		t.Errorf("%d leaves", len(told))
	}
	for i, raw := range told {
		if l, err := proof.ParseLeaf(raw); err != nil || l.Stream != key || l.Revision != uint64(i) {
			t.Errorf("leaf %d: %+v, %v", i, l, err)
		}
	}
}

// TestErasedTwice: the same request sent again is answered as the first time, also when the
// key is gone that its fingerprint was made with; another is refused.
func TestErasedTwice(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	client := admin.Client(t, admin.Project(t, "Retail"), "Frida")
	of := "/api/v1/clients/" + client
	first := admin.Post(t, of+"/erase", apitest.Map{"reason": "letter"}, "Idempotency-Key", "k").Want(t, 200)
	executor(t, s, nil)
	until(t, "it is carried out", func() bool { return admin.Get(t, of+"/erasure").Text("state") == "carried_out" })
	for _, process := range []*apitest.System{s, s.Again(t)} {
		again := admin.At(process).Post(t, of+"/erase", apitest.Map{"reason": "letter"}, "Idempotency-Key", "k").Want(t, 200)
		if string(again.Body) != string(first.Body) || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s, and then %s", first.Body, again.Body)
		}
		admin.At(process).Post(t, of+"/erase", apitest.Map{"reason": "letter"}).Problem(t, http.StatusConflict, "client.erased")
	}
}

// TestCleaning: the files of the database are cleaned within a day, or at once when somebody
// asks for it, for all erasures that were carried out by then together, and it says so.
func TestCleaning(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Retail")
	admin.Post(t, "/api/v1/erasures/clean", nil).Problem(t, http.StatusServiceUnavailable, "erasures.no_cleaning")
	var mu sync.Mutex
	cleaned := 0
	executor(t, s, func(_ context.Context, upTo eventlog.Position) (erasure.Cleaning, error) {
		mu.Lock()
		defer mu.Unlock()
		cleaned++
		return erasure.Cleaning{Rewritten: []string{"clients"}, WAL: true}, nil
	})
	agent := admin.Employee(t, "Ann", []string{project}, nil)
	agent.Post(t, "/api/v1/erasures/clean", nil).Problem(t, http.StatusForbidden, "forbidden")
	var of []string
	for _, name := range []string{"Frida", "Gerd"} {
		path := "/api/v1/clients/" + admin.Client(t, project, name)
		admin.Post(t, path+"/erase", apitest.Map{"reason": "letter"}).Want(t, 200)
		until(t, "it is carried out", func() bool { return admin.Get(t, path+"/erasure").Text("state") == "carried_out" })
		of = append(of, path)
	}
	admin.Post(t, "/api/v1/erasures/clean", nil).Want(t, http.StatusAccepted)
	for _, path := range of {
		until(t, "it is clean", func() bool { return admin.Get(t, path+"/erasure").Text("state") == "cleaned" })
		if c := admin.Get(t, path+"/erasure"); c.Text("certificate.cleaning.rewritten.0") != "clients" || c.Text("certificate.cleaning.wal") != "true" {
			t.Errorf("%s", c.Body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if cleaned != 1 {
		t.Errorf("cleaned %d times", cleaned)
	}
}
