package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/jobs"
)

const (
	// record is how long we try to note what became of a message: what is not noted is
	// sent again.
	record = 15 * time.Second

	// stale is how long after it was due a message must have lost its job.
	stale = 15 * time.Minute
)

// work tries to send a message, once.
func (m *Mailer) work(ctx context.Context, job of) error {
	id := job.id
	e, text, html, err := m.Message(ctx, id)
	switch {
	case errors.Is(err, ErrUnknown), err == nil && e.State != Queued:
		return nil // it ended, and its job has only been run again
	case e.State == Queued && !e.Expires.After(m.cfg.Now()):
		return m.end(ctx, job, e, Failed, expired(e.LastError))
	case err != nil:
		return err
	case m.server == nil:
		return m.end(ctx, job, e, Kept, "no server is configured any longer")
	}
	msg, err := m.fetch(ctx, e, text, html)
	if r, ok := errors.AsType[*refusal](err); ok {
		return m.end(ctx, job, e, Failed, r.text)
	} else if err != nil {
		return err
	}
	tag, err := m.db.Exec(ctx, `update annals_mail.messages set attempts = attempts + 1, tried_at = $2, next_at = null where id = $1 and state = 'queued'`, id, m.cfg.Now())
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	e.Attempts++
	l, err := m.compose(ctx, e, msg)
	if err == nil {
		err = m.server.deliver(ctx, l)
	}
	if err == nil {
		return m.end(ctx, job, e, Sent, "")
	}
	r, ok := errors.AsType[*refusal](err)
	switch {
	case !ok:
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err() // told to stop: it is the next process's
	}
	reason := r.Error()
	switch {
	case r.code == 0:
	case e.Secret:
		reason = r.brief()
	case e.Source != "":
		reason = r.meaning()
	}
	attr := []any{slog.String("message", id.String()), slog.Int("attempt", e.Attempts), slog.String("step", r.step), slog.Int("code", r.code)}
	if r.permanent {
		m.cfg.Logger.WarnContext(ctx, "mail: a message was refused", attr...)
		return m.end(ctx, job, e, Failed, reason)
	}
	m.cfg.Logger.WarnContext(ctx, "mail: a message cannot be sent yet", attr...)
	return m.later(ctx, e, reason)
}

func expired(last string) string {
	if last == "" {
		return "expired"
	}
	return "expired; the last attempt: " + last
}

// later has the message tried again, at the latest when it expires, to end it.
func (m *Mailer) later(ctx context.Context, e Entry, reason string) error {
	now := m.cfg.Now()
	wait := min(m.wait(e.Attempts), max(e.Expires.Sub(now), 0)+time.Millisecond)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), record)
	defer cancel()
	_, err := m.db.Exec(ctx, `update annals_mail.messages set last_error = $2, next_at = $3 where id = $1 and state = 'queued'`, e.ID, reason, now.Add(wait))
	if err != nil {
		return fmt.Errorf("message %s: %w", e.ID, err)
	}
	return jobs.Again(wait)
}

// wiped are the assignments that leave nothing of the bodies.
const wiped = `text = '', html = '', sealed = null, wrapped = null, master = null`

// That it was sent stands, should somebody else have taken it for expired meanwhile.
const (
	endSQL = `
		update annals_mail.messages set state = $2, last_error = $3, next_at = null, ended_at = case when $2 <> 'kept' then $4::timestamptz end
		where id = $1 and (state = 'queued' or ($2 = 'sent' and state = 'failed'))`
	wipeSQL = `
		update annals_mail.messages set ` + wiped + `, wiped_at = $2 where id = $1 and secret and state <> 'kept' and wiped_at is null`
)

// expiredSQL is what expired says, of a row.
const expiredSQL = `case when last_error = '' then 'expired' else 'expired; the last attempt: ' || last_error end`

// end notes what became of the message, and completes the job with that. It goes on
// trying for a while, even when the process is told to stop.
func (m *Mailer) end(ctx context.Context, job of, e Entry, state State, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), record)
	defer cancel()
	id, now := job.id, m.cfg.Now()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := pgx.BeginFunc(ctx, m.db, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, endSQL, id, string(state), reason, now)
			if err != nil {
				return err
			}
			if e.Source != "" && tag.RowsAffected() > 0 { // else somebody has told it
				if err := m.ended(ctx, tx, e.Source, *e.Ref, Outcome{state, reason, e.Attempts, e.MessageID, now}); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, wipeSQL, id, now); err != nil {
				return err
			}
			if err := job.complete(ctx, tx); !errors.Is(err, jobs.ErrOvertaken) {
				return err
			}
			return nil // the other finds that it has ended
		})
		if err == nil {
			m.cfg.Logger.InfoContext(ctx, "mail: a message ended", slog.String("message", id.String()), slog.String("state", string(state)))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("note that message %s is %s: %w", id, state, err)
		case <-time.After(wait):
		}
	}
}

// sweep is the job that looks after all messages, once a minute.
type sweep struct{}

func (sweep) Kind() string { return "mail_sweep" }

// sweep ends what has expired, queues again what has lost its job, wipes what is
// secret and no longer needed, and forgets what is old.
func (m *Mailer) sweep(ctx context.Context, job *jobs.Job[sweep]) error {
	now := m.cfg.Now()
	for source := range m.sources {
		if err := m.endExpired(ctx, source); err != nil {
			m.cfg.Logger.ErrorContext(ctx, "mail: what has expired could not be ended", slog.String("source", source), slog.Any("err", err))
		}
	}
	err := pgx.BeginFunc(ctx, m.db, func(tx pgx.Tx) error {
		for _, step := range [...]struct {
			sql string
			arg time.Time
		}{
			{`update annals_mail.messages set state = 'failed', ended_at = $1, next_at = null,
				last_error = ` + expiredSQL + `
				where state = 'queued' and source = '' and expires_at <= $1`, now},
			{`update annals_mail.messages set ` + wiped + `, wiped_at = $1 where secret and wiped_at is null and expires_at <= $1`, now},
			{`delete from annals_mail.messages where id in (
				select id from annals_mail.messages where created_at < $1 and state <> 'queued' order by created_at limit 10000)`, now.Add(-m.cfg.Keep)},
		} {
			if _, err := tx.Exec(ctx, step.sql, step.arg); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, `
			select id, source from annals_mail.messages where state = 'queued' and coalesce(next_at, tried_at, created_at) < $1
			order by coalesce(next_at, tried_at, created_at) limit 1000`, now.Add(-stale))
		if err != nil {
			return err
		}
		type lost struct {
			ID     uuid.UUID
			Source string
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lost])
		if err != nil {
			return err
		}
		for _, l := range all { // most of them only wait, and then this does nothing
			var again jobs.Args = send{l.ID}
			if l.Source != "" {
				again = sendFrom{l.ID}
			}
			if err := m.jobs.Insert(ctx, tx, again); err != nil {
				return err
			}
		}
		return job.Complete(ctx, tx)
	})
	if err != nil && !errors.Is(err, jobs.ErrOvertaken) {
		return fmt.Errorf("sweep messages: %w", err)
	}
	return nil
}
