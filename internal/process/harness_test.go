package process_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
	"annals/internal/process"
)

// patience is how long a test waits for what has to happen.
const patience = 2 * time.Minute

// world is a log on a real node, a database, and a table that handlers write to.
type world struct {
	*testing.T
	address string
	url     string
	log     *eventlog.Log
	db      *pgxpool.Pool
	cfg     process.Config
	at      map[uuid.UUID]eventlog.Revision
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{T: t, address: esnodetest.Start(t), url: pgtest.Database(t), at: map[uuid.UUID]eventlog.Revision{}}
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if w.log, err = eventlog.Open(eventlog.Config{ConnectionString: w.address, Master: master}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.log.Close)
	w.db = w.connect()
	w.exec(`create table seen (handler text not null, event uuid not null, type text not null)`)
	w.cfg = process.Config{Log: w.log, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now}
	return w
}

func (w *world) connect() *pgxpool.Pool {
	w.Helper()
	db, err := pgxpool.New(context.WithoutCancel(w.Context()), w.url)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(db.Close)
	return db
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.db.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) count(sql string, args ...any) (n int) {
	w.Helper()
	if err := w.db.QueryRow(w.Context(), sql, args...).Scan(&n); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return n
}

// register appends a client's first event.
func (w *world) register(id uuid.UUID) { w.append(id, client.Registered{Status: client.Lead}) }

func (w *world) append(id uuid.UUID, events ...any) {
	w.Helper()
	last, ok := w.at[id]
	if !ok {
		last = eventlog.NoStream
	}
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: time.Now().UTC()}
	res, err := w.log.Append(w.Context(), eventlog.Stream(domain.Client, id), last, m, events...)
	if err != nil {
		w.Fatal(err)
	}
	w.at[id] = res.Revision
}

func (w *world) esdb() *esdb.Client {
	w.Helper()
	conf, err := esdb.ParseConnectionString(w.address)
	if err != nil {
		w.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(conf)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	return c
}

// appendUnreadable adds an event that no catalogue knows.
func (w *world) appendUnreadable(id uuid.UUID) {
	w.Helper()
	_, err := w.esdb().AppendToStream(w.Context(), eventlog.Stream(domain.Client, id), esdb.AppendToStreamOptions{}, esdb.EventData{
		EventID: uuid.New(), EventType: "client.abducted", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`), Metadata: []byte(`{"schema":1}`),
	})
	if err != nil {
		w.Fatal(err)
	}
}

// erase destroys the key of a client.
func (w *world) erase(id uuid.UUID) {
	w.Helper()
	if _, err := w.esdb().TombstoneStream(w.Context(), eventlog.Stream(eventschema.Key, id), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		w.Fatal(err)
	}
}

// see is a handler that writes down each event, as often as it comes.
func see(name string) process.Handler {
	return process.Handler{Name: name, Handle: func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
		return saw(ctx, tx, name, rec)
	}}
}

func saw(ctx context.Context, tx pgx.Tx, name string, rec *eventlog.Record) error {
	_, err := tx.Exec(ctx, `insert into seen values ($1, $2, $3)`, name, rec.ID, rec.Type)
	return err
}

// run is a process with handlers; what it returns ends it.
func (w *world) run(handlers ...process.Handler) (r *process.Runner, stop func()) {
	w.Helper()
	cfg := w.cfg
	cfg.Handlers = handlers
	db := w.connect()
	w.until("open", func() bool {
		var err error
		r, err = process.Open(context.WithoutCancel(w.Context()), db, cfg)
		return err == nil
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.Errorf("the process managers ended: %v", err)
			}
		case <-time.After(patience):
			w.Error("the process managers do not stop")
		}
	})
	w.Cleanup(stop)
	return r, stop
}

func (w *world) until(what string, f func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !f(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// handled waits until a handler has seen n events of a type, each once.
func (w *world) handled(name, typ string, n int) {
	w.Helper()
	w.until(name+" has seen them", func() bool {
		return w.count(`select count(distinct event) from seen where handler = $1 and type = $2`, name, typ) >= n
	})
	w.once(name, typ, n)
}

func (w *world) once(name, typ string, n int) {
	w.Helper()
	if all := w.count(`select count(*) from seen where handler = $1 and type = $2`, name, typ); all != n {
		w.Errorf("%s saw %s %d times, want %d", name, typ, all, n)
	}
}

func (w *world) ready(r *process.Runner) {
	w.Helper()
	w.until("ready", func() bool { return r.Ready(w.Context()) == nil })
}
