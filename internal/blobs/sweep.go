package blobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// Contents is what the log has of a document.
type Contents struct {
	Versions []domain.ID // all that there ever were
	Deleted  bool
}

// Sweep deletes what was left behind: blobs that the log does not have, and those of
// documents that are deleted in it. Contents reads the log; a document that is not in
// there has none. Any number of processes may sweep at once. It answers how many
// doubts it has settled; what fails is tried again by the next.
func (s *Store) Sweep(ctx context.Context, contents func(ctx context.Context, client, document domain.ID) (Contents, error)) (settled int, err error) {
	var failed []error
	later := []domain.ID{} // documents that are not looked at again now
	for {
		n, done, err := s.sweepOne(ctx, later, contents)
		switch {
		case n == Name{}:
			return settled, errors.Join(append(failed, err)...)
		case done:
			settled++
			continue
		case err != nil:
			failed = append(failed, fmt.Errorf("document %s: %w", n.Document, err))
		}
		if later = append(later, n.Document); len(failed) >= 100 || ctx.Err() != nil {
			return settled, errors.Join(failed...) // an outage rather than a blob
		}
	}
}

// soon is when somebody else looks at a deletion that its own process has not finished.
const soon = time.Minute

// sweepOne settles the oldest doubt that is due, of which it answers the name, or the
// zero name if there is none. Its row stays locked meanwhile: see [Store.touch].
func (s *Store) sweepOne(ctx context.Context, except []domain.ID, contents func(context.Context, domain.ID, domain.ID) (Contents, error)) (n Name, done bool, err error) {
	now := s.Now()
	err = pgx.BeginFunc(ctx, s.DB, func(tx pgx.Tx) error {
		var noted time.Time
		err := tx.QueryRow(ctx, `select client_id, document_id, version_id, noted_at from annals_documents.doubts
			where (noted_at < $1 or version_id = $2 and noted_at < $3) and document_id <> all($4)
			order by noted_at limit 1 for update skip locked`,
			now.Add(-s.Grace), domain.ID{}, now.Add(-min(soon, s.Grace)), except).Scan(&n.Client, &n.Document, &n.Version, &noted)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("what is left behind: %w", err)
		}
		c, err := contents(ctx, n.Client, n.Document)
		if err != nil {
			return err
		}
		switch {
		case n.Version == domain.ID{} && c.Deleted:
			for _, v := range c.Versions {
				if err := s.remove(ctx, Name{n.Client, n.Document, v}); err != nil {
					return err
				}
			}
		case n.Version == domain.ID{} && now.Sub(noted) < s.Grace:
			return nil // may be about to be deleted yet
		case n.Version != domain.ID{} && (c.Deleted || !slices.Contains(c.Versions, n.Version)):
			if err := s.remove(ctx, n); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `delete from annals_documents.doubts
			where client_id = $1 and document_id = $2 and version_id = $3`, n.Client, n.Document, n.Version)
		done = err == nil
		return err
	})
	return n, done && err == nil, err
}
