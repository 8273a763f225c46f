package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/jobs"
)

// Source is where messages come from that are not stored here, but fetched each time
// that they are tried: what their owner has erased is gone from here as well, and what
// must not be sent any longer is not. All that is noted of them is what refers to them,
// and of what a server says its codes only, since it may quote the message.
type Source struct {
	// Fetch answers the message as it is to be sent now. What [Refuse] returns ends it as
	// failed, with that reason; after any other error it is tried again. That error is
	// stored and logged, so it holds nothing about a person.
	Fetch func(ctx context.Context, ref uuid.UUID) (Message, error)

	// Ended is told what became of a message in the transaction that notes it, so that
	// what it does there is done exactly once, and with it. A message that was given up
	// while a server was accepting it ends twice: as failed, and then as sent.
	Ended func(ctx context.Context, tx pgx.Tx, ref uuid.UUID, o Outcome) error
}

// Outcome is how a message ended.
type Outcome struct {
	State     State  // Sent or Failed
	Reason    string // why it failed, for people; it quotes nothing of the message
	Attempts  int    // how often a server was tried
	MessageID string // of the header, without the angle brackets
	At        time.Time
}

// Attachment is a file that goes with a message.
type Attachment struct {
	Name string // without a path
	Type string // media type, as in application/pdf
	Size int64  // bytes

	// Open is called when it is the attachment's turn to be sent.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Refuse is the error that ends a message as failed, with that reason for people, which
// says nothing about a person.
func Refuse(reason string) error {
	return &refusal{step: "content", text: reason, permanent: true}
}

// Add makes a source known. It belongs where [Open] does, before jobs run, in every
// process that sends.
func (m *Mailer) Add(name string, s Source) error {
	if _, there := m.sources[name]; there || name == "" || s.Fetch == nil || s.Ended == nil {
		return fmt.Errorf("mail: source %q is incomplete or there twice", name)
	}
	m.sources[name] = s
	return nil
}

// sendFrom is the job of sending one message of a source. It is a kind of its own, since
// what has attachments takes longer, and must not keep others waiting.
type sendFrom struct {
	ID uuid.UUID `json:"id"`
}

func (sendFrom) Kind() string { return "mail_send_from" }

// SendFrom queues the message ref of a source to be sent, in the caller's transaction,
// until it expires (the zero time: after [Lifetime]). A second call for the same message
// changes nothing, and answers the id that the first did, for as long as the message is
// remembered; after that it is for the source to refuse it. Its Message-ID begins with
// ref.
func (m *Mailer) SendFrom(ctx context.Context, tx pgx.Tx, source string, ref uuid.UUID, expires time.Time) (uuid.UUID, error) {
	if _, ok := m.sources[source]; !ok {
		return uuid.Nil, fmt.Errorf("mail: source %q is not known", source)
	}
	now := m.cfg.Now()
	if expires.IsZero() {
		expires = now.Add(Lifetime)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("send: %w", err)
	}
	state := Queued
	if m.server == nil {
		state = Kept
	}
	tag, err := tx.Exec(ctx, `
		insert into annals_mail.messages (id, message_id, source, ref, recipient, name, subject, text, html, secret, state, created_at, expires_at)
		values ($1, $2, $3, $4, '', '', '', '', '', false, $5, $6, $7)
		on conflict (source, ref) where ref is not null do nothing`,
		id, ref.String()+"@"+m.from.domain, source, ref, state, now, expires)
	switch {
	case err != nil:
		return uuid.Nil, fmt.Errorf("store a message: %w", err)
	case tag.RowsAffected() == 0:
		err = tx.QueryRow(ctx, `select id from annals_mail.messages where source = $1 and ref = $2`, source, ref).Scan(&id)
		if err != nil {
			return uuid.Nil, fmt.Errorf("message %s of %s: %w", ref, source, err)
		}
		return id, nil
	case state == Queued:
		err = m.jobs.Insert(ctx, tx, sendFrom{id})
	}
	return id, err
}

// fetch is the content of an entry: stored, or what its source says now.
func (m *Mailer) fetch(ctx context.Context, e Entry, text, html string) (Message, error) {
	if e.Source == "" {
		return Message{To: e.To, ToName: e.ToName, Subject: e.Subject, Text: text, HTML: html}, nil
	}
	s, ok := m.sources[e.Source]
	if !ok {
		return Message{}, fmt.Errorf("message %s: source %q is not known", e.ID, e.Source)
	}
	msg, err := s.Fetch(ctx, *e.Ref)
	if err != nil {
		return Message{}, fmt.Errorf("message %s of %s: %w", e.Ref, e.Source, err)
	}
	msg.Expires, msg.Secret = e.Expires, false
	if err := msg.check(m.cfg.Now()); err != nil {
		m.cfg.Logger.ErrorContext(ctx, "mail: a source made a message that cannot be sent",
			slog.String("message", e.ID.String()), slog.String("source", e.Source), slog.Any("err", err))
		return Message{}, Refuse("the message is not well-formed")
	}
	return msg, nil
}

// ended tells the source of a message how that ended.
func (m *Mailer) ended(ctx context.Context, tx pgx.Tx, source string, ref uuid.UUID, o Outcome) error {
	if o.State == Kept {
		return nil
	}
	s, ok := m.sources[source]
	if !ok {
		return fmt.Errorf("source %q is not known", source)
	}
	return s.Ended(ctx, tx, ref, o)
}

// endExpired ends what of one source has expired, some of them. What another process is
// ending is its own.
func (m *Mailer) endExpired(ctx context.Context, source string) error {
	return pgx.BeginFunc(ctx, m.db, func(tx pgx.Tx) error {
		now := m.cfg.Now()
		rows, err := tx.Query(ctx, `
			update annals_mail.messages set state = 'failed', ended_at = $2, next_at = null, last_error = `+expiredSQL+`
			where id in (select id from annals_mail.messages where state = 'queued' and source = $1 and expires_at <= $2 limit 1000 for update skip locked)
			returning ref, last_error, attempts, message_id`, source, now)
		if err != nil {
			return err
		}
		type end struct {
			ref uuid.UUID
			o   Outcome
		}
		all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e end, err error) {
			e.o.State, e.o.At = Failed, now
			return e, row.Scan(&e.ref, &e.o.Reason, &e.o.Attempts, &e.o.MessageID)
		})
		for _, e := range all {
			err = errors.Join(err, m.ended(ctx, tx, source, e.ref, e.o))
		}
		return err
	})
}

// of is a message's job, of either kind.
type of struct {
	id       uuid.UUID
	complete func(context.Context, pgx.Tx) error
}

func sending(job *jobs.Job[send]) of         { return of{job.Args.ID, job.Complete} }
func sendingFrom(job *jobs.Job[sendFrom]) of { return of{job.Args.ID, job.Complete} }
