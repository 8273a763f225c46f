package projections

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
	"annals/internal/eventlog"
	"annals/internal/feed"
	"annals/internal/postgres/pgtest"
)

// patience is how long a test waits for what has to happen.
const patience = 2 * time.Minute

// world is a log on a real node, a database for read models, and what was appended.
type world struct {
	t       *testing.T
	address string // of the node
	log     *eventlog.Log
	url     string
	db      *pgxpool.Pool
	cfg     Config
	at      map[string]eventlog.Revision
	head    eventlog.Position // of the last append
	clock   time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, esnodetest.Start(t))
}

func newWorldOn(t *testing.T, address string) *world {
	t.Helper()
	w := &world{
		t: t, address: address, url: pgtest.Database(t),
		at: map[string]eventlog.Revision{}, clock: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC),
	}
	w.log = openLog(t, address)
	w.db = openDB(t, w.url)
	w.cfg = Config{Database: w.url, Log: w.log, Grace: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	return w
}

func openDB(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func openLog(t *testing.T, address string) *eventlog.Log {
	t.Helper()
	return openLogUnder(t, address, eventschema.NewMasters(masterKey(t, 0), masterKey(t, 1)))
}

func masterKey(t *testing.T, n byte) *eventschema.LocalMaster {
	t.Helper()
	master, err := eventschema.NewLocalMaster(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return master
}

func openLogUnder(t *testing.T, address string, master eventschema.Master) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(eventlog.Config{ConnectionString: address, Master: master})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

// append adds events to an aggregate, each a minute after the one before.
func (w *world) append(category string, id uuid.UUID, events ...any) {
	w.t.Helper()
	stream := eventlog.Stream(category, id)
	last, ok := w.at[stream]
	if !ok {
		last = eventlog.NoStream
	}
	w.clock = w.clock.Add(time.Minute)
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: w.clock, IP: "192.0.2.7", UserAgent: "test", App: "v1"}
	res, err := w.log.Append(w.t.Context(), stream, last, m, events...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at[stream], w.head = res.Revision, res.Position
}

// appendRaw adds an event that no catalogue knows.
func (w *world) appendRaw(category string, id uuid.UUID, typ, data string) {
	w.t.Helper()
	c := w.esdb()
	res, err := c.AppendToStream(w.t.Context(), eventlog.Stream(category, id), esdb.AppendToStreamOptions{}, esdb.EventData{
		EventID: uuid.New(), EventType: typ, ContentType: esdb.ContentTypeJson, Data: []byte(data), Metadata: []byte(`{"schema":1}`),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.at[eventlog.Stream(category, id)] = eventlog.Revision(res.NextExpectedVersion)
	w.head = eventlog.Position{Commit: res.CommitPosition, Prepare: res.PreparePosition}
}

// rotate has clients come whose keys a former master key has wrapped, and those keys be
// wrapped by the one of now.
func (w *world) rotate(c company) {
	w.t.Helper()
	now := w.log
	w.log = openLogUnder(w.t, w.address, masterKey(w.t, 1))
	w.client(c, 30)
	w.log = now
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: w.clock}
	if err := now.Retire(w.t.Context(), m, masterKey(w.t, 1)); err != nil {
		w.t.Fatal(err)
	}
	if sum, err := now.Rewrap(w.t.Context(), m, nil); err != nil || sum.Keys != 1 {
		w.t.Fatalf("%+v, %v", sum, err)
	}
	var err error
	if w.head, err = now.Head(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// erase destroys the key of an aggregate.
func (w *world) erase(id uuid.UUID) {
	w.t.Helper()
	res, err := w.esdb().TombstoneStream(w.t.Context(), eventlog.Stream(eventschema.Key, id), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.head = eventlog.Position(res.Position)
}

func (w *world) esdb() *esdb.Client {
	w.t.Helper()
	conf, err := esdb.ParseConnectionString(w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(conf)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// run starts a Runner; stop ends it and waits.
func (w *world) run(projectors ...*Projector) (r *Runner, stop func()) {
	w.t.Helper()
	cfg := w.cfg
	cfg.Projectors = projectors
	r = NewRunner(cfg)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("the runner ended: %v", err)
			}
		case <-time.After(patience):
			w.t.Error("the runner does not stop")
		}
	}
	w.t.Cleanup(stop)
	return r, stop
}

// until waits for f to hold.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// caughtUp waits until all read models show what was appended.
func (w *world) caughtUp(r *Runner) {
	w.t.Helper()
	var err error
	until(w.t, fmt.Sprintf("position %s", w.head), func() bool {
		if err = r.Ready(w.t.Context()); err != nil {
			return false
		}
		var at eventlog.Position
		err = w.db.QueryRow(w.t.Context(), `select commit, prepare from annals_read.freshness order by commit, prepare limit 1`).Scan(&at.Commit, &at.Prepare)
		return err == nil && at.Compare(w.head) >= 0
	})
}

// verified holds the read models to the log.
func (w *world) verified(projectors ...*Projector) {
	w.t.Helper()
	cfg := w.cfg
	cfg.Projectors = projectors
	if projectors == nil {
		projectors = All
	}
	for _, p := range projectors {
		if rep, err := Verify(w.t.Context(), cfg, p.Name); err != nil {
			w.t.Errorf("verify: %v\n%+v", err, rep)
		}
	}
}

// dump is a read model's schema as text, to be compared.
func (w *world) dump(schema string) string {
	w.t.Helper()
	names, err := tableNames(w.t.Context(), w.db, schema)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range names {
		rows, err := w.db.Query(w.t.Context(), "select x::text from "+pgx.Identifier{schema, name}.Sanitize()+" x order by 1")
		if err != nil {
			w.t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %d\n%s\n", name, len(lines), strings.Join(lines, "\n"))
	}
	return b.String()
}

// exec runs SQL that has to work.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// scan reads one row.
func (w *world) scan(sql string, args ...any) func(...any) {
	return func(into ...any) {
		w.t.Helper()
		if err := w.db.QueryRow(w.t.Context(), sql, args...).Scan(into...); err != nil {
			w.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// organisation of a small company.
type company struct{ project, desk, other, manager uuid.UUID }

func (w *world) company() company {
	w.t.Helper()
	c := company{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	w.append(domain.Desk, c.desk, desk.Created{ProjectID: c.project, Name: "Default", Default: true})
	w.append(domain.Project, c.project, project.Created{Name: "Retail", DefaultDeskID: c.desk})
	w.append(domain.Desk, c.other, desk.Created{ProjectID: c.project, Name: "North"})
	w.append(domain.Employee, c.manager, employee.Registered{Identity: employee.Identity{Name: "Nancy Davolio", Email: "nancy@example.com"}, Roles: []string{"agent"}})
	w.append(domain.Employee, c.manager, employee.Assigned{Projects: []domain.ID{c.project}, Desks: []domain.ID{c.desk}})
	return c
}

func (w *world) client(c company, n int) uuid.UUID {
	w.t.Helper()
	id := uuid.New()
	w.append(domain.Client, id, client.Registered{
		Details: client.Details{
			Type: client.Person, FirstName: "José", MiddleName: "María", LastName: fmt.Sprintf("Núñez %d", n), Company: "Romero y Tomillo",
			Email: fmt.Sprintf("jose%d@example.com", n), Phone: "(91) 745 6200", Website: "example.com",
			Address: client.Address{Street: "Gran Vía 1", City: "Madrid", Region: "M", PostalCode: "28001", Country: "Spain"},
		},
		Assignment: client.Assignment{ProjectID: c.project, DeskID: c.desk, ManagerID: c.manager},
		Status:     client.Lead, Tags: []string{"gold", "vip"},
	})
	return id
}

// everything is the log as one run.
func (w *world) everything() (all feed.Run) {
	w.t.Helper()
	for run, err := range feed.Runs(w.t.Context(), withLooks{w.log}, eventlog.Position{}, 1_000_000) {
		if err != nil {
			w.t.Fatal(err)
		}
		all.To, all.Records = run.To, append(all.Records, run.Records...)
		if run.Live {
			break
		}
	}
	return all
}

// withLooks is the log with the access log.
type withLooks struct{ *eventlog.Log }

func (l withLooks) Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error] {
	return l.SubscribeAll(ctx, after)
}

func isFenced(err error) bool { return errors.Is(err, ErrFenced) }
