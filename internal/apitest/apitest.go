// Package apitest runs the whole of Annals for a test: PostgreSQL, the log, the
// projectors and the HTTP API. Every answer that a test gets is held against the
// OpenAPI document, so that a test of behaviour is one of the contract as well.
package apitest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
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
	"annals/domain/role"
	"annals/eventschema"
	"annals/internal/accesslog"
	"annals/internal/auth"
	"annals/internal/blobs"
	"annals/internal/esnode/esnodetest"
	"annals/internal/eventlog"
	"annals/internal/follow"
	"annals/internal/httpapi"
	"annals/internal/mail"
	"annals/internal/postgres/pgtest"
	"annals/internal/reader"
	"annals/internal/recent"
	"annals/internal/refusals"
	"annals/internal/replay"
	"annals/internal/webhook"
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
	Reads    *readapi.API
	Refusals *refusals.Store
	Recent   *recent.Store
	Mailbox  *Mailbox
	Blobs    *blobs.Store
	Hooks    *webhook.Store
	Limits   httpapi.Limits // none unless a test sets them before [System.Serve]
	Router   *mux.Router
	Logs     *Logs
	Clock    *Clock

	eventStore string
	storage    string // URL
	master     eventschema.Master
	contract   *contract
}

// Patience is how long reads wait here: for what comes late on a machine that is busy with
// other tests.
const Patience = 20 * time.Second

// unlimited takes as many requests as come: a test sends more than a person.
var unlimited = httpapi.Limits{Actor: httpapi.Limit{Rate: -1}, Address: httpapi.Limit{Rate: -1}, Anonymous: httpapi.Limit{Rate: -1}}

// Start returns a System without anybody in it, which ends with the test.
func Start(tb testing.TB) *System {
	tb.Helper()
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return StartUnder(tb, master)
}

// StartUnder is [Start] with a master key.
func StartUnder(tb testing.TB, master eventschema.Master) *System {
	tb.Helper()
	s := &System{Database: pgtest.Database(tb), eventStore: esnodetest.Start(tb), master: master, Clock: &Clock{}, Logs: &Logs{}, Mailbox: &Mailbox{}, Limits: unlimited}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("logged:\n%s", s.Logs.Notable())
		}
	})
	dir, err := os.MkdirTemp("", "annals-documents") //nolint:usetesting // the test may be the whole process, see shared.go
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.storage = "file://" + dir
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
	return s.Under(tb, s.master)
}

// Under is [System.Again] with another master key.
func (s *System) Under(tb testing.TB, master eventschema.Master) *System {
	tb.Helper()
	o := &System{Database: s.Database, eventStore: s.eventStore, storage: s.storage, master: master, Clock: s.Clock, Logs: s.Logs, Mailbox: s.Mailbox, Limits: s.Limits}
	o.open(tb)
	return o
}

// Storage is the directory of documents.
func (s *System) Storage() string { return strings.TrimPrefix(s.storage, "file://") }

// EventStore is the connection string of the log.
func (s *System) EventStore() string { return s.eventStore }

func (s *System) open(tb testing.TB) {
	tb.Helper()
	var err error
	if s.Log, err = eventlog.Open(eventlog.Config{ConnectionString: s.eventStore, Master: s.master, Logger: s.Logs.Logger()}); err != nil {
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
	if s.Auth, err = auth.Open(tb.Context(), s.DB, s.Clock.Now, auth.MasterBox(s.master)); err != nil {
		tb.Fatal(err)
	}
	readers, err := reader.Open(context.WithoutCancel(tb.Context()), s.Database, 8)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(readers.Close)
	if s.Refusals, err = refusals.Open(tb.Context(), s.DB, s.Clock.Now, s.Logs.Logger()); err != nil {
		tb.Fatal(err)
	}
	if s.Recent, err = recent.Open(tb.Context(), s.DB, s.Logs.Logger()); err != nil {
		tb.Fatal(err)
	}
	s.Blobs, err = blobs.Open(tb.Context(), s.storage, blobs.Config{Secret: s.Log.Secret, DB: s.DB, Now: s.Clock.Now, Logger: s.Logs.Logger()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Blobs.Close() })
	s.Reads = &readapi.API{Blobs: s.Blobs, DB: readers, Patience: Patience, Counting: Patience, Uses: s.Auth.KeyUses, Refusals: s.Refusals, Recent: s.Recent, Events: eventschema.Types(), Now: s.Clock.Now}
	s.Reads.AccessLog = accesslog.New(accesslog.Config{Log: s.Log, Now: s.Clock.Now, App: "test", Logger: s.Logs.Logger()})
	s.Reads.Want = func(ctx context.Context, name, expression string) error {
		return projections.Want(ctx, s.DB, name, expression)
	}
	if s.Hooks, err = webhook.Open(tb.Context(), s.DB, auth.MasterBox(s.master), s.Clock.Now); err != nil {
		tb.Fatal(err)
	}
	s.Commands = &commands.API{
		Store: commands.NewStore(s.Log), Credentials: s.Auth, Directory: s.Reads.Directory(), AccessLog: s.Reads.AccessLog, Documents: commands.Documents{Blobs: s.Blobs}, Webhooks: commands.Webhooks{Keys: s.Hooks, Private: true}, Mail: s.Mailbox.keep,
		Public: "https://annals.example", Now: s.Clock.Now, App: "test", Logger: s.Logs.Logger(),
	}
	tb.Cleanup(s.Commands.Wait)
	s.Serve(tb)
}

// Serve begins to answer, anew after a part of the System has been replaced.
func (s *System) Serve(tb testing.TB) {
	tb.Helper()
	s.Router = mux.NewRouter()
	api := httpapi.New(s.Router, httpapi.Config{
		Version: "0.0.0", Logger: s.Logs.Logger(), Authenticate: s.Commands.Authenticate, Now: s.Clock.Now,
		Refused: func(_ context.Context, r httpapi.Refusal) { s.Refusals.Add(r) },
		Limits:  s.Limits,
	})
	s.Commands.Routes(api)
	s.Reads.Routes(api)
	replay.Routes(api, s.Log, s.Reads.AccessLog)
	(&webhook.API{Store: s.Hooks, Webhook: s.Commands.Webhook}).Routes(api)
	(&follow.API{
		Log: s.Log, Hub: s.Reads.Live.Hub(), Shown: s.Reads.Shown, Places: s.Reads.Directory().Places, Place: s.Commands.ClientPlace,
		AccessLog: s.Reads.AccessLog, Enter: s.Reads.Live.Enter, Source: "https://annals.example", App: "test", Trust: 200 * time.Millisecond,
	}).Routes(api)
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

// Mailbox holds what the system has mailed.
type Mailbox struct {
	mu   sync.Mutex
	mail []mail.Message
}

func (m *Mailbox) keep(_ context.Context, one mail.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail = append(m.mail, one)
	return nil
}

// To is what was mailed to an address.
func (m *Mailbox) To(address string) []mail.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []mail.Message
	for _, one := range m.mail {
		if one.To == address {
			out = append(out, one)
		}
	}
	return out
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
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: s.Clock.Now().UTC().Truncate(time.Microsecond), By: domain.Root}
	out, err := s.Commands.RegisterEmployee(tb.Context(), id, employee.Register{Name: "Ada Admin", Email: email, Roles: &[]string{role.Admin}}, "", m)
	if err != nil {
		tb.Fatal(err)
	}
	u := &User{System: s, ID: id.String(), Email: email, After: out.Position.String()}
	return u.Session(tb)
}

// Session gives the user a new session, without the work of checking a password.
func (u *User) Session(tb testing.TB) *User {
	tb.Helper()
	session, err := u.Auth.Start(tb.Context(), uuid.MustParse(u.ID), auth.StartOptions{Method: auth.ByPassword})
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
