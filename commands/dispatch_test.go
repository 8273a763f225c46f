package commands_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/internal/apitest"
	"annals/internal/jobs"
	mailer "annals/internal/mail"
	"annals/internal/mail/mailtest"
	"annals/internal/process"
)

// dispatch is a system whose messages are sent to a post office.
type dispatch struct {
	*apitest.System
	t    *testing.T
	post *mailtest.PostOffice

	// Of the process that runs now.
	mail     *mailer.Mailer
	messages *commands.Messages
}

func newDispatch(t *testing.T) *dispatch {
	t.Helper()
	return &dispatch{System: apitest.Start(t), t: t, post: mailtest.New(t, nil)}
}

// run is a process that sends, with a memory of its own; what it returns stops it.
func (d *dispatch) run() (stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logger := d.Logs.Logger().With(slog.String("process", uuid.NewString()[:8]))
	q, err := jobs.Open(ctx, d.DB, jobs.Config{Logger: logger, Now: d.Clock.Now, Grace: 100 * time.Millisecond})
	if err != nil {
		d.t.Fatal(err)
	}
	d.mail, err = mailer.Open(ctx, d.DB, q, mailer.Config{
		SMTP: "smtp://" + d.post.Addr, From: "Annals <crm@annals.example>", Logger: logger, Now: d.Clock.Now,
		Retry: func(int) time.Duration { return 20 * time.Millisecond },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.messages, err = commands.NewMessages(commands.MessagesConfig{
		Store: commands.NewStore(d.Log), Mailer: d.mail, Jobs: q, Documents: d.Blobs, Now: d.Clock.Now, App: "test", Logger: logger,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	rules, err := process.Open(ctx, d.DB, process.Config{Log: d.Log, Logger: logger, Now: d.Clock.Now, Handlers: []process.Handler{{Name: "messages", Handle: d.messages.Follow}}})
	if err != nil {
		d.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := rules.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	running.Go(func() {
		if err := q.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	d.t.Cleanup(stop)
	return stop
}

func (d *dispatch) await(what string, ok func() bool) {
	d.t.Helper()
	for until := time.Now().Add(2 * time.Minute); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(until) {
			d.t.Fatal("waited in vain: " + what)
		}
	}
}

// row is a message as the feed of its client shows it.
func (d *dispatch) row(u *apitest.User, client, id string) apitest.Map {
	d.t.Helper()
	all := u.Get(d.t, "/api/v1/clients/"+client+"/activity?kind=message").Want(d.t, 200)
	for _, row := range all.List("items") {
		if row := row.(apitest.Map); row["id"] == id {
			return row
		}
	}
	d.t.Fatalf("message %s is not in the feed", id)
	return nil
}

// became waits until the feed shows the message in the state.
func (d *dispatch) became(u *apitest.User, client, id, state string) apitest.Map {
	d.t.Helper()
	d.await(state, func() bool { return d.row(u, client, id)["state"] == state })
	return d.row(u, client, id)
}

// events are the types of the events of a message.
func (d *dispatch) events(id string) (types []string) {
	d.t.Helper()
	for rec, err := range d.Log.Read(context.Background(), "message-"+id, 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		types = append(types, strings.TrimPrefix(rec.Type, "message."))
	}
	return types
}

// nowhere fails when the text is in a table of mail or jobs, or was logged.
func (d *dispatch) nowhere(text string) {
	d.t.Helper()
	if strings.Contains(d.Logs.String(), text) {
		d.t.Errorf("%q was logged", text)
	}
	for _, table := range []string{"annals_mail.messages", "annals_jobs.river_job", "annals_process.checkpoints", "annals_process.parked"} {
		var n int
		if err := d.DB.QueryRow(context.Background(), `select count(*) from `+table+` t where position(lower($1) in lower(t::text)) > 0`, text).Scan(&n); err != nil || n > 0 {
			d.t.Errorf("%q is in %s: %d, %v", text, table, n, err)
		}
	}
}

func (d *dispatch) count(where string) (n int) {
	d.t.Helper()
	if err := d.DB.QueryRow(context.Background(), `select count(*) from annals_mail.messages where `+where).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *dispatch) queued() int { return d.count(`state = 'queued'`) }

func (d *dispatch) tried() int { return d.count(`attempts > 0`) }
