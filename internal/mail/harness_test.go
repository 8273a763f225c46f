package mail

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/jobs"
	"annals/internal/postgres/pgtest"
)

// journal collects what was logged.
type journal struct {
	mu sync.Mutex
	b  strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// office sends messages from one database.
type office struct {
	*testing.T
	url     string
	pool    *pgxpool.Pool
	journal *journal
	cfg     Config
	archive archive
}

func newOffice(t *testing.T, cfg Config) *office {
	t.Helper()
	t.Parallel()
	o := &office{T: t, url: pgtest.Database(t), journal: new(journal), cfg: cfg}
	var err error
	if o.pool, err = pgxpool.New(t.Context(), o.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.pool.Close)
	o.archive = archive{o.pool}
	o.exec(archiveTables)
	if o.cfg.From == "" {
		o.cfg.From = "Annals <annals@example.com>"
	}
	o.cfg.Logger = slog.New(slog.NewTextHandler(o.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.cfg.Now == nil {
		o.cfg.Now = time.Now
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(o.journal)
		}
	})
	return o
}

// open is a process, impatient as tests are.
func (o *office) open() (*Mailer, *jobs.Jobs) {
	o.Helper()
	q, err := jobs.Open(context.Background(), o.pool, jobs.Config{Logger: o.cfg.Logger, Now: time.Now, Grace: 2 * time.Second})
	if err != nil {
		o.Fatal(err)
	}
	m, err := Open(context.Background(), o.pool, q, o.cfg)
	if err != nil {
		o.Fatal(err)
	}
	o.archive.add(o.T, m)
	m.wait = func(int) time.Duration { return 20 * time.Millisecond }
	if m.server != nil {
		m.server.talk, m.server.read = 2*time.Second, 2*time.Second
	}
	return m, q
}

// run is a process with workers; what it returns stops it.
func (o *office) run() (m *Mailer, stop func()) {
	o.Helper()
	m, q := o.open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			o.Error(err)
		}
	})
	o.Cleanup(stop)
	return m, stop
}

func (o *office) send(m *Mailer, msg Message) uuid.UUID {
	o.Helper()
	if msg.Subject == "" {
		msg.Subject = "About"
	}
	if msg.Text == "" {
		msg.Text = "A text.\n"
	}
	var id uuid.UUID
	err := pgx.BeginFunc(o.Context(), o.pool, func(tx pgx.Tx) (err error) {
		id, err = m.Send(o.Context(), tx, msg)
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return id
}

func (o *office) await(what string, ok func() bool) {
	o.Helper()
	for until := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			o.Fatal("waited in vain: " + what)
		}
	}
}

func (o *office) get(m *Mailer, id uuid.UUID) Entry {
	o.Helper()
	e, _, _, err := m.Message(context.Background(), id)
	if err != nil {
		o.Fatal(err)
	}
	return e
}

// became waits until the message is in the state.
func (o *office) became(m *Mailer, id uuid.UUID, s State) Entry {
	o.Helper()
	o.await(string(s), func() bool { return o.get(m, id).State == s })
	return o.get(m, id)
}

func (o *office) exec(sql string, args ...any) {
	o.Helper()
	if _, err := o.pool.Exec(context.Background(), sql, args...); err != nil {
		o.Fatal(err)
	}
}

// nowhere fails when the text is anywhere in the database or the log.
func (o *office) nowhere(text string) {
	o.Helper()
	if strings.Contains(o.journal.String(), text) {
		o.Errorf("%q is in the log", text)
	}
	for _, table := range []string{"annals_mail.messages", "annals_jobs.river_job"} {
		var n int
		if err := o.pool.QueryRow(context.Background(), `select count(*) from `+table+` t where position($1 in t::text) > 0`, text).Scan(&n); err != nil || n > 0 {
			o.Errorf("%q is in %s: %d, %v", text, table, n, err)
		}
	}
}
