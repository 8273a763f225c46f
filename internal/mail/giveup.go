package mail

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Waiting are the messages of a source that are still to be sent, as the source calls
// them.
func (m *Mailer) Waiting(ctx context.Context, source string) ([]uuid.UUID, error) {
	rows, _ := m.db.Query(ctx, `select ref from annals_mail.messages where source = $1 and state = 'queued'`, source) // the error comes back from the rows
	refs, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("messages of %s that wait: %w", source, err)
	}
	return refs, nil
}

// GiveUp ends a message of a source as failed, with a reason that says nothing about a
// person. It answers false where it has ended already. One that a server is accepting at
// this moment may be sent nevertheless, and ends as that.
func (m *Mailer) GiveUp(ctx context.Context, source string, ref uuid.UUID, reason string) (done bool, err error) {
	now := m.cfg.Now()
	err = pgx.BeginFunc(ctx, m.db, func(tx pgx.Tx) error {
		o := Outcome{State: Failed, Reason: reason, At: now}
		rows, _ := tx.Query(ctx, `update annals_mail.messages set state = 'failed', ended_at = $3, next_at = null, last_error = $4
			where source = $1 and ref = $2 and state = 'queued' returning attempts, message_id`, source, ref, now, reason) // as above
		ct, err := pgx.ForEachRow(rows, []any{&o.Attempts, &o.MessageID}, func() error { return nil })
		if err != nil || ct.RowsAffected() == 0 {
			return err
		}
		done = true
		return m.ended(ctx, tx, source, ref, o)
	})
	if err != nil {
		return false, fmt.Errorf("give up message %s of %s: %w", ref, source, err)
	}
	return done, nil
}
