package mail

import (
	"context"
	"errors"
	"net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/mail/mailtest"
)

// archive is a source: messages are in a table that their owner may change.
type archive struct{ pool *pgxpool.Pool }

const archiveTables = `
	create table letters (ref uuid primary key, recipient text, refused text not null default '');
	create table outcomes (ref uuid, state text, reason text, attempts integer, message_id text)`

func (a archive) add(t *testing.T, m *Mailer) {
	t.Helper()
	if err := m.Add("archive", Source{Fetch: a.fetch, Ended: a.ended}); err != nil {
		t.Fatal(err)
	}
}

func (a archive) fetch(ctx context.Context, ref uuid.UUID) (Message, error) {
	var to, refused string
	if err := a.pool.QueryRow(ctx, `select recipient, refused from letters where ref = $1`, ref).Scan(&to, &refused); err != nil {
		return Message{}, err
	}
	if refused != "" {
		return Message{}, Refuse(refused)
	}
	return Message{To: to, Subject: "From the archive", Text: "A text.\n", Written: true, ReplyTo: "zoë@bücher.example", ReplyToName: "Zoë, \"Z\""}, nil
}

func (a archive) ended(ctx context.Context, tx pgx.Tx, ref uuid.UUID, o Outcome) error {
	_, err := tx.Exec(ctx, `insert into outcomes values ($1, $2, $3, $4, $5)`, ref, o.State, o.Reason, o.Attempts, o.MessageID)
	return err
}

// archived is a letter in the archive.
func (o *office) archived(to string) uuid.UUID {
	o.Helper()
	ref := uuid.New()
	o.exec(`insert into letters (ref, recipient) values ($1, $2)`, ref, to)
	return ref
}

func (o *office) sendFrom(m *Mailer, ref uuid.UUID) (id uuid.UUID) {
	o.Helper()
	err := pgx.BeginFunc(o.Context(), o.pool, func(tx pgx.Tx) (err error) {
		id, err = m.SendFrom(o.Context(), tx, "archive", ref, time.Time{})
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return id
}

// endedOnce fails unless the archive was told once how the message ended, and that.
func (o *office) endedOnce(e Entry) {
	o.Helper()
	rows, err := o.pool.Query(context.Background(), `select state, reason, attempts, message_id from outcomes where ref = $1`, e.Ref)
	if err != nil {
		o.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (out Outcome, err error) {
		return out, row.Scan(&out.State, &out.Reason, &out.Attempts, &out.MessageID)
	})
	want := Outcome{State: e.State, Reason: e.LastError, Attempts: e.Attempts, MessageID: e.MessageID}
	if err != nil || len(all) != 1 || all[0] != want {
		o.Errorf("told %+v instead of once %+v, %v", all, want, err)
	}
}

func TestAMessageOfASourceIsNotStored(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr, From: "Annals <annals@bücher.example>"})
	m, _ := o.run()
	ref := o.archived("zoë.müller@bücher.example")
	id := o.sendFrom(m, ref)
	if again := o.sendFrom(m, ref); again != id {
		t.Error("queued twice")
	}
	e := o.became(m, id, Sent)
	if again := o.sendFrom(m, ref); again != id {
		t.Error("queued again after it was sent")
	}
	o.endedOnce(e)
	got := post.All()
	if len(got) != 1 || e.Source != "archive" || *e.Ref != ref || e.MessageID != ref.String()+"@xn--bcher-kva.example" {
		t.Fatalf("%d %+v", len(got), e)
	}
	read, err := mail.ReadMessage(strings.NewReader(got[0].Raw))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := mail.ParseAddress(read.Header.Get("Reply-To"))
	if err != nil || reply.Name != `Zoë, "Z"` || reply.Address != "zoë@xn--bcher-kva.example" || read.Header.Get("Auto-Submitted") != "" {
		t.Error(reply, err, read.Header)
	}
	if read.Header.Get("Message-Id") != "<"+e.MessageID+">" {
		t.Error(read.Header)
	}
	for _, personal := range []string{"müller", "From the archive", "A text", "Zoë"} {
		o.nowhere(personal)
	}
}

func TestASourceRefuses(t *testing.T) {
	post := mailtest.New(t, nil).Reserve()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.run()
	ref := o.archived("a@example.com")
	id := o.sendFrom(m, ref)
	o.await("an attempt in vain", func() bool { return o.get(m, id).Attempts > 0 })
	o.exec(`update letters set refused = 'consent was withdrawn' where ref = $1`, ref)
	before := o.get(m, id).Attempts
	o.await("an attempt that may have begun before", func() bool {
		e := o.get(m, id)
		return e.Attempts > before || e.State == Failed
	})
	post.Open()
	e := o.became(m, id, Failed)
	if e.LastError != "consent was withdrawn" || len(post.All()) != 0 {
		t.Errorf("%+v", e)
	}
	o.endedOnce(e)
}

// What a source cannot say now it may say later.
func TestASourceIsWaitedFor(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.run()
	ref := o.archived("a@example.com")
	o.exec(`alter table letters rename to lost`)
	id := o.sendFrom(m, ref)
	o.await("a failure", func() bool { return strings.Contains(o.journal.String(), "will be tried again") })
	if e := o.get(m, id); e.State != Queued || e.Attempts != 0 {
		t.Errorf("%+v", e)
	}
	o.exec(`alter table lost rename to letters`)
	o.endedOnce(o.became(m, id, Sent))
}

func TestASourceThatSaysNonsense(t *testing.T) {
	o := newOffice(t, Config{SMTP: "smtp://127.0.0.1:1"})
	m, _ := o.run()
	e := o.became(m, o.sendFrom(m, o.archived("a@example.com\r\nBcc: b@example.com")), Failed)
	if e.LastError != "the message is not well-formed" {
		t.Errorf("%+v", e)
	}
	o.endedOnce(e)
	if err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
		_, err := m.SendFrom(t.Context(), tx, "nobody's", uuid.New(), time.Time{})
		return err
	}); err == nil {
		t.Error("queued what no source knows")
	}
	if err := m.Add("archive", Source{Fetch: o.archive.fetch, Ended: o.archive.ended}); err == nil {
		t.Error("two sources of one name")
	}
}

// The mails that have expired are also ended by the sweep, when their jobs are lost.
func TestASourceIsToldWhatExpired(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.open()
	one, other := o.sendFrom(m, o.archived("a@example.com")), o.sendFrom(m, o.archived("b@example.com"))
	o.exec(`delete from annals_jobs.river_job`)
	o.exec(`update annals_mail.messages set expires_at = now() - interval '1 second' where id = $1`, one)
	o.exec(`update annals_mail.messages set created_at = now() - interval '1 hour' where id = $1`, other)
	m, _ = o.run()
	e := o.became(m, one, Failed)
	if e.LastError != "expired" {
		t.Errorf("%+v", e)
	}
	o.endedOnce(e)
	o.endedOnce(o.became(m, other, Sent))
}

// Ended and the state are written together or not at all.
func TestASourceThatFailsToHearIsToldAgain(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, q := o.open()
	var deaf atomic.Int32
	s := m.sources["archive"]
	m.sources["archive"] = Source{Fetch: s.Fetch, Ended: func(ctx context.Context, tx pgx.Tx, ref uuid.UUID, out Outcome) error {
		err := s.Ended(ctx, tx, ref, out)
		if deaf.Add(1) < 3 {
			return errors.New("not now")
		}
		return err
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	defer func() { cancel(); <-done }()
	id := o.sendFrom(m, o.archived("a@example.com"))
	e := o.became(m, id, Sent)
	o.endedOnce(e)
	if n := len(post.All()); n != 1 || deaf.Load() != 3 {
		t.Errorf("arrived %d times, told %d times", n, deaf.Load())
	}
}

func TestWithoutAServerMessagesOfASourceAreKept(t *testing.T) {
	o := newOffice(t, Config{})
	m, _ := o.open()
	e := o.get(m, o.sendFrom(m, o.archived("a@example.com")))
	if e.State != Kept || e.To != "" || e.Subject != "" {
		t.Errorf("%+v", e)
	}
}

func TestWhatAServersCodeMeans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"5.1.1 <anna@example.com> unknown": "RCPT: 550 5.1.1 (there is no such mailbox)",
		"5.1.99 anna":                      "RCPT: 550 5.1.99 (something about the address)",
		"5.9.1 anna":                       "RCPT: 550 5.9.1",
		"no such user anna@example.com":    "RCPT: 550",
	} {
		if got := (&refusal{step: "RCPT", code: 550, text: text}).meaning(); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
