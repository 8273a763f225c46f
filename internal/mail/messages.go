package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// State is what became of a message.
type State string

// The states of a message.
const (
	Kept   State = "kept"   // no server is configured: somebody has to pass it on
	Queued State = "queued" // is to be sent
	Sent   State = "sent"   // the server accepted it, which is not yet that somebody got it
	Failed State = "failed" // and is not tried again
)

// Entry is what is known of a message, without its bodies.
type Entry struct {
	ID        uuid.UUID
	MessageID string // of the header, without the angle brackets
	Source    string // where its content is, unless it is here
	Ref       *uuid.UUID
	To        string // this and what else it says is empty for one of a source
	ToName    string
	Subject   string
	Secret    bool
	State     State
	Attempts  int
	LastError string // of the last attempt that failed; empty once sent
	Created   time.Time
	Expires   time.Time
	Tried     *time.Time // the last attempt began
	Next      *time.Time // the next attempt is due
	Ended     *time.Time // sent or failed
	Wiped     *time.Time // the bodies are gone
}

// Filter selects messages; what is empty selects all.
type Filter struct {
	State  State
	To     string    // in either case
	Before uuid.UUID // written before that message: the last of the previous page
	Limit  int       // at most 1,000; zero: 100
}

const columns = `id, message_id, source, ref, recipient, name, subject, secret, state, attempts, last_error, created_at, expires_at, tried_at, next_at, ended_at, wiped_at`

func (e *Entry) scan() []any {
	return []any{
		&e.ID, &e.MessageID, &e.Source, &e.Ref, &e.To, &e.ToName, &e.Subject, &e.Secret, &e.State, &e.Attempts, &e.LastError,
		&e.Created, &e.Expires, &e.Tried, &e.Next, &e.Ended, &e.Wiped,
	}
}

// Messages lists messages for an operator, the newest first.
func (m *Mailer) Messages(ctx context.Context, f Filter) ([]Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := m.db.Query(ctx, `
		select `+columns+` from annals_mail.messages
		where ($1 = '' or state = $1) and ($2 = '' or lower(recipient) = lower($2)) and ($3::uuid is null or id < $3)
		order by id desc limit $4`,
		f.State, f.To, uuid.NullUUID{UUID: f.Before, Valid: f.Before != uuid.Nil}, min(f.Limit, 1000))
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) { return e, row.Scan(e.scan()...) })
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	return all, nil
}

// ErrUnknown is for an id that no message has, or none any longer.
var ErrUnknown = domain.Errorf(domain.NotFound, "message", "there is no such message, or no longer")

// Message answers one message with its bodies, which are empty once wiped, and where
// they are not stored: for an operator who passes on what was kept.
func (m *Mailer) Message(ctx context.Context, id uuid.UUID) (e Entry, text, html string, err error) {
	var b box
	err = m.db.QueryRow(ctx, `select `+columns+`, text, html, sealed, wrapped, coalesce(master, '') from annals_mail.messages where id = $1`, id).
		Scan(append(e.scan(), &text, &html, &b.sealed, &b.wrapped, &b.master)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return e, "", "", ErrUnknown
	case err != nil:
		return e, "", "", fmt.Errorf("message %s: %w", id, err)
	case b.sealed != nil:
		text, html, err = m.unseal(ctx, id, b)
	}
	return e, text, html, err
}

// plain makes what a server said fit to be stored and shown on a line.
func plain(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}
