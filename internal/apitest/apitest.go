// Package apitest runs the whole of Annals for a test: PostgreSQL, the log, the
// projectors and the HTTP API. Every answer that a test gets is held against the
// OpenAPI document, so that a test of behaviour is one of the contract as well.
package apitest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/commands"
	"annals/domain"
	"annals/domain/employee"
	"annals/eventschema"
	"annals/internal/auth"
	"annals/internal/esnode/esnodetest"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/postgres/pgtest"
	"annals/internal/replay"
	"annals/projections"
	"annals/readapi"
)

// System is a running Annals.
type System struct {
	URL      string
	Database string // postgres:// URL of credentials and read models
	DB       *pgxpool.Pool
	Log      *eventlog.Log
	Auth     *auth.Store
	Commands *commands.API
	Router   *mux.Router
	Logs     *Logs
	Clock    *Clock

	eventStore string
	contract   *contract
}

// Patience is how long reads wait here: short, so that what never comes is soon known.
const Patience = 300 * time.Millisecond

// Start returns a System without anybody in it, which ends with the test.
func Start(tb testing.TB) *System {
	tb.Helper()
	s := &System{Database: pgtest.Database(tb), eventStore: esnodetest.Start(tb), Clock: &Clock{}, Logs: &Logs{}}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("logged:\n%s", s.Logs.Notable())
		}
	})
	s.open(tb)
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	runner := projections.NewRunner(projections.Config{Database: s.Database, Log: s.Log, Logger: s.Logs.Logger()})
	go func() { done <- runner.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("projections: %v", err)
		}
	})
	for start := s.Clock.Now(); runner.Ready(ctx) != nil; {
		if s.Clock.Now().Sub(start) > 30*time.Second {
			tb.Fatalf("projections are not ready: %v\n%s", runner.Ready(ctx), s.Logs)
		}
		pause(time.Millisecond)
	}
	return s
}

// Again is another process of the same Annals: it shares the log and the database
// with s, and remembers nothing.
func (s *System) Again(tb testing.TB) *System {
	tb.Helper()
	o := &System{Database: s.Database, eventStore: s.eventStore, Clock: s.Clock, Logs: s.Logs}
	o.open(tb)
	return o
}

func (s *System) open(tb testing.TB) {
	tb.Helper()
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	if s.Log, err = eventlog.Open(eventlog.Config{ConnectionString: s.eventStore, Master: master, Logger: s.Logs.Logger()}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Log.Close)
	conf, err := pgxpool.ParseConfig(s.Database)
	if err != nil {
		tb.Fatal(err)
	}
	conf.MaxConns = 8
	if s.DB, err = pgxpool.NewWithConfig(context.WithoutCancel(tb.Context()), conf); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.DB.Close)
	if s.Auth, err = auth.Open(tb.Context(), s.DB, s.Clock.Now); err != nil {
		tb.Fatal(err)
	}
	s.Commands = &commands.API{Store: commands.NewStore(s.Log), Credentials: s.Auth, Now: s.Clock.Now, App: "test"}
	s.Router = mux.NewRouter()
	api := httpapi.New(s.Router, httpapi.Config{Version: "0.0.0", Logger: s.Logs.Logger(), Authenticate: s.Commands.Authenticate})
	s.Commands.Routes(api)
	s.Commands.Sessions(api)
	(&readapi.API{DB: s.DB, Patience: Patience}).Routes(api)
	replay.Routes(api, s.Log)
	server := httptest.NewServer(s.Router)
	tb.Cleanup(server.Close)
	s.URL = server.URL
	s.contract = readContract(tb, s.Router)
}

// Clock is the system's clock: the machine's, and as much later as a test says.
type Clock struct {
	mu    sync.Mutex
	later time.Duration
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.later) //nolint:forbidigo // this is where it comes from
}

// Advance makes it later.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.later += d
}

// Logs is what the system has logged, all levels.
type Logs struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *Logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	return len(b), nil
}

func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Notable is what was logged as a warning or an error.
func (l *Logs) Notable() string {
	var out strings.Builder
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// Logger writes to l.
func (l *Logs) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Admin makes an administrator with a session.
func (s *System) Admin(tb testing.TB) *User {
	tb.Helper()
	id := uuid.New()
	email := "admin-" + id.String() + "@example.com"
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: s.Clock.Now().UTC().Truncate(time.Microsecond), Scope: domain.Everything}
	out, err := s.Commands.RegisterEmployee(tb.Context(), id, employee.Register{Name: "Ada Admin", Email: email, Roles: []string{employee.Admin}}, "", m)
	if err != nil {
		tb.Fatal(err)
	}
	u := &User{System: s, ID: id.String(), Email: email, After: out.Position.String()}
	return u.Session(tb)
}

// Session gives the user a new session, without the work of checking a password.
func (u *User) Session(tb testing.TB) *User {
	tb.Helper()
	session, err := u.Auth.Start(tb.Context(), uuid.MustParse(u.ID), auth.Lifetime)
	if err != nil {
		tb.Fatal(err)
	}
	u.Token = session.Token
	return u
}

// SignIn signs somebody in who has to be able to.
func (s *System) SignIn(tb testing.TB, email, password string) *User {
	tb.Helper()
	nobody := &User{System: s}
	r := nobody.Do(tb, "POST", "/api/v1/session", Map{"email": email, "password": password})
	r.Want(tb, 200)
	return &User{System: s, Token: r.Text("token"), ID: r.Text("employee.id"), Email: email}
}

func pause(d time.Duration) { <-time.After(d) }
