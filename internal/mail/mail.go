// Package mail sends messages over SMTP (RFC 5321), or keeps them where no server
// is configured.
//
// A message is stored, and its sending queued, in the transaction that made it
// necessary: it goes out if and only if that commits. It ends as sent or as failed
// with a reason, over outages of the mail server, of PostgreSQL and of this process.
//
// Or it is not stored at all, but what refers to it: see [Source].
//
// A server that accepted a message may be cut off before it says so, and this
// process before it has noted it. Then the message is sent again, with the same
// Message-ID, by which the receiver can tell: SMTP allows no better (RFC 1047), and
// TestEveryMessageEnds and TestAKilledSenderSendsAgain show that it is no worse.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/jobs"
)

const (
	// Lifetime is how long a message that names no time is tried to be sent: RFC 5321
	// §4.5.4.1 asks for four to five days.
	Lifetime = 5 * 24 * time.Hour

	mostLine = 200       // characters of a subject or name
	mostBody = 256 << 10 // bytes
)

const schema = `
create schema if not exists annals_mail;
create table if not exists annals_mail.messages (
	id         uuid primary key,
	message_id text not null,             -- RFC 5322 §3.6.4, without the angle brackets; the same on each attempt
	recipient  text not null,
	name       text not null,
	subject    text not null,
	"text"     text not null,             -- the bodies; empty once wiped, and while it is sealed
	html       text not null,
	sealed     bytea,                     -- the bodies of a secret message, encrypted; null once wiped
	wrapped    bytea,                     -- their key, encrypted by the master key
	master     text,                      -- the name of that
	secret     boolean not null,
	state      text not null check (state in ('kept', 'queued', 'sent', 'failed')),
	attempts   integer not null default 0,
	last_error text not null default '',
	created_at timestamptz not null,
	expires_at timestamptz not null,
	tried_at   timestamptz,               -- the last attempt began
	next_at    timestamptz,               -- the next attempt is due
	ended_at   timestamptz,               -- sent or failed
	wiped_at   timestamptz
);
create index if not exists messages_queued on annals_mail.messages (coalesce(next_at, tried_at, created_at)) where state = 'queued';
create index if not exists messages_secret on annals_mail.messages (expires_at) where secret and wiped_at is null;
create index if not exists messages_recipient on annals_mail.messages (lower(recipient), id);
create index if not exists messages_created on annals_mail.messages (created_at);
alter table annals_mail.messages
	add column if not exists source text not null default '', -- where the content is, if not here; then all texts here are empty
	add column if not exists ref    uuid;                     -- what the source calls it
create unique index if not exists messages_ref on annals_mail.messages (source, ref) where ref is not null;
comment on table annals_mail.messages is
	'Messages to people, sent and to be sent: not in the log, and not to be rebuilt from it.';`

// Config is what [Open] needs.
type Config struct {
	// SMTP is the server: smtp://host[:587] encrypts when the server offers STARTTLS,
	// and always when a user is given, or with ?tls=required; ?tls=none never does,
	// and allows a user on loopback only. smtps://host[:465] speaks TLS from the start.
	// A user and password are in the URL. Without a server messages are kept.
	SMTP string

	// From is the sender, as in Annals <annals@example.com>. Without a server it may
	// be empty.
	From string

	// Keep is how long a message is remembered after it was written; the default is 30
	// days, and one that is still to be sent stays until it ended.
	Keep time.Duration

	// Retry is how long to wait after the n-th attempt, from 1 on, until the next; the
	// default is 15 seconds, and twice as long each time up to an hour.
	Retry func(n int) time.Duration

	Master eventschema.Master // encrypts the bodies of secret messages at rest, unless nil
	TLS    *tls.Config        // other roots than the system's, for one; may be nil
	Logger *slog.Logger
	Now    func() time.Time
}

// Mailer sends messages, or keeps them.
type Mailer struct {
	cfg    Config
	server *server // nil: messages are kept
	from   sender
	db     *pgxpool.Pool
	jobs   *jobs.Jobs
	wait   func(n int) time.Duration // until the next attempt, after the n-th

	sources map[string]Source
}

// Open returns the mailer, and creates what it needs in db. It makes its jobs known
// to q, so it belongs before q's Run; messages are sent where that runs.
func Open(ctx context.Context, db *pgxpool.Pool, q *jobs.Jobs, cfg Config) (*Mailer, error) {
	m := &Mailer{cfg: cfg, db: db, jobs: q, wait: cfg.Retry, sources: map[string]Source{}}
	if m.wait == nil {
		m.wait = jobs.Backoff(15*time.Second, time.Hour)
	}
	if cfg.Keep == 0 {
		m.cfg.Keep = 30 * 24 * time.Hour
	}
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("mail: incomplete configuration")
	}
	var err error
	if m.server, m.from, err = settings(cfg); err != nil {
		return nil, err
	}
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_mail'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mail schema: %w", err)
	}
	// Failures of SMTP are no failures of the job, so these are outages of PostgreSQL, or
	// of a source, and the expiry of the message is their limit.
	const attempts = 1000
	retry := jobs.Backoff(time.Second, 5*time.Minute)
	return m, errors.Join(
		jobs.Add(q, jobs.Kind[send]{
			Work:    func(ctx context.Context, job *jobs.Job[send]) error { return m.work(ctx, sending(job)) },
			Workers: 8, Timeout: attempt + record + 5*time.Second, Unique: true, Attempts: attempts, Retry: retry,
		}),
		jobs.Add(q, jobs.Kind[sendFrom]{
			Work:    func(ctx context.Context, job *jobs.Job[sendFrom]) error { return m.work(ctx, sendingFrom(job)) },
			Workers: 4, Timeout: attempt + transfer + record + 5*time.Second, Unique: true, Attempts: attempts, Retry: retry,
		}),
		jobs.Add(q, jobs.Kind[sweep]{Work: m.sweep, Workers: 1, Every: time.Minute}),
	)
}

// Message is a message to one person.
type Message struct {
	To, ToName string // the name may be empty
	Subject    string
	Text       string    // of any number of lines
	HTML       string    // the same again, for those who show it; may be empty
	Expires    time.Time // when it is no longer worth sending; zero: after [Lifetime]

	// Secret has the bodies wiped when the message was sent, has failed or has expired,
	// and no answer of the server noted that might quote them. It needs Expires.
	Secret bool

	// What follows is for messages of a [Source] only.
	ReplyTo, ReplyToName string // whom answers go to; the sender unless given
	Attachments          []Attachment
	Written              bool // by somebody, for this person: not marked as what a program sent (RFC 3834)
}

// check brings the message into form, or says what is wrong with it.
func (m *Message) check(now time.Time) error {
	m.Text, m.HTML = lines.Replace(m.Text), lines.Replace(m.HTML)
	var f domain.Faults
	f.Add(domain.CheckEmail("to", m.To))
	f.Add(oneLine("to_name", m.ToName))
	f.Add(domain.CheckName("subject", m.Subject, mostLine))
	f.Add(oneLine("subject", m.Subject))
	if m.ReplyTo != "" {
		f.Add(domain.CheckEmail("reply_to", m.ReplyTo))
	}
	f.Add(oneLine("reply_to_name", m.ReplyToName))
	f.Add(domain.CheckName("text", m.Text, mostBody))
	f.Add(domain.CheckText("html", m.HTML, mostBody))
	for _, body := range [...]struct{ field, value string }{{"text", m.Text}, {"html", m.HTML}} {
		if len(body.value) > mostBody {
			f.Add(domain.Fault(body.field, "too_long", "has %d bytes, at most %d are allowed", len(body.value), mostBody))
		}
	}
	switch {
	case !m.Expires.IsZero() && !m.Expires.After(now):
		f.Add(domain.Fault("expires", "past", "is in the past"))
	case m.Expires.IsZero() && m.Secret:
		f.Add(domain.Fault("expires", "required", "is required of a secret message"))
	case m.Expires.IsZero():
		m.Expires = now.Add(Lifetime)
	}
	return f.Err()
}

var lines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// oneLine faults what a header cannot hold, line ends first of all, or not for long.
func oneLine(field, s string) error {
	if strings.ContainsAny(s, "\r\n\t\u2028\u2029") {
		return domain.Fault(field, "line", "is more than one line")
	}
	return domain.CheckText(field, s, mostLine)
}

// send is the job of sending one message.
type send struct {
	ID uuid.UUID `json:"id"`
}

func (send) Kind() string { return "mail_send" }

// Send stores the message and queues its sending, in the caller's transaction. It
// answers what is wrong with the message as [domain.Error], and otherwise the id by
// which the message is found again.
func (m *Mailer) Send(ctx context.Context, tx pgx.Tx, msg Message) (uuid.UUID, error) {
	now := m.cfg.Now()
	if err := msg.check(now); err != nil {
		return uuid.Nil, err
	}
	if msg.ReplyTo != "" || msg.Attachments != nil || msg.Written {
		return uuid.Nil, errors.New("send: only a message of a source has attachments, or is answered to somebody else")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("send: %w", err)
	}
	text, html, box, err := m.seal(ctx, id, msg)
	if err != nil {
		return uuid.Nil, err
	}
	state := Queued
	if m.server == nil {
		state = Kept
	}
	_, err = tx.Exec(ctx, `
		insert into annals_mail.messages (id, message_id, recipient, name, subject, text, html, sealed, wrapped, master, secret, state, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, ''), $11, $12, $13, $14)`,
		id, id.String()+"@"+m.from.domain, msg.To, msg.ToName, msg.Subject, text, html, box.sealed, box.wrapped, box.master,
		msg.Secret, state, now, msg.Expires)
	if err != nil {
		return uuid.Nil, fmt.Errorf("store a message: %w", err)
	}
	if state == Queued {
		err = m.jobs.Insert(ctx, tx, send{id})
	}
	return id, err
}
