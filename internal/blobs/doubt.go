package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"annals/domain"
)

// Draft is a blob that is in storage, while the log does not have it yet.
type Draft struct {
	Written
	Name  Name
	store *Store
}

// Put encrypts what r has into storage, and notes before that it may have to go again.
// Whoever is called next says what becomes of it: [Draft.Hold] and then [Draft.Keep],
// or [Draft.Drop]. After an error, nothing is left.
func (s *Store) Put(ctx context.Context, n Name, r io.Reader) (*Draft, error) {
	if err := s.note(ctx, n); err != nil {
		return nil, err
	}
	d := &Draft{Name: n, store: s}
	var err error
	if d.Written, err = s.write(ctx, n, &alive{r: r, store: s, ctx: ctx, name: n, last: s.Now()}); err != nil {
		d.drop(ctx, !errors.Is(err, errClosing))
		return nil, err
	}
	return d, nil
}

// Hold is called before the log is told: from now on nobody takes the blob for left
// behind for as long as [Config.Grace]. It fails if somebody already has.
func (d *Draft) Hold(ctx context.Context) error { return d.store.touch(ctx, d.Name) }

// Keep is called when the log has the blob. That it fails is no harm: it is found out
// later that the log has it.
func (d *Draft) Keep(ctx context.Context) {
	ctx, cancel := aside(ctx)
	defer cancel()
	known, err := d.store.forget(ctx, d.Name)
	if err != nil {
		d.store.Logger.WarnContext(ctx, "a document is looked after later", "document_id", d.Name.Document.String(), "err", err)
		return
	}
	if known {
		return
	}
	// It took longer than the time of grace to tell the log: somebody was suspended.
	if there, err := d.store.bucket.Exists(ctx, d.Name.key()); err == nil && !there {
		d.store.Logger.ErrorContext(ctx, "the bytes of a document were taken for left behind", "document_id", d.Name.Document.String())
	}
}

// Drop deletes the blob, which the log does not have. What fails is done later.
func (d *Draft) Drop(ctx context.Context) { d.drop(ctx, true) }

func (d *Draft) drop(ctx context.Context, certain bool) {
	ctx, cancel := aside(ctx)
	defer cancel()
	err := d.store.remove(ctx, d.Name)
	if err == nil && certain {
		_, err = d.store.forget(ctx, d.Name)
	}
	if err != nil {
		d.store.Logger.WarnContext(ctx, "bytes that were not kept are deleted later", "document_id", d.Name.Document.String(), "err", err)
	}
}

// Doom notes that a document is about to be deleted in the log, after which
// [Store.Delete] is called. Where it is not deleted after all, that is found out later.
func (s *Store) Doom(ctx context.Context, client, document domain.ID) error {
	return s.note(ctx, Name{Client: client, Document: document})
}

// Delete deletes the blobs of a document that is deleted in the log. What fails is done
// later.
func (s *Store) Delete(ctx context.Context, client, document domain.ID, versions []domain.ID) {
	ctx, cancel := aside(ctx)
	defer cancel()
	if err := s.delete(ctx, client, document, versions); err != nil {
		s.Logger.WarnContext(ctx, "bytes of a deleted document are deleted later", "document_id", document.String(), "err", err)
	}
}

func (s *Store) delete(ctx context.Context, client, document domain.ID, versions []domain.ID) error {
	for _, v := range versions {
		if err := s.remove(ctx, Name{client, document, v}); err != nil {
			return err
		}
	}
	_, err := s.forget(ctx, Name{Client: client, Document: document})
	return err
}

// aside is for what is put right with nobody waiting any more.
func aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
}

func (s *Store) note(ctx context.Context, n Name) error {
	_, err := s.DB.Exec(ctx, `insert into annals_documents.doubts values ($1, $2, $3, $4)
		on conflict (client_id, document_id, version_id) do update set noted_at = excluded.noted_at`,
		n.Client, n.Document, n.Version, s.Now())
	if err != nil {
		return fmt.Errorf("note a document: %w", err)
	}
	return nil
}

// touch waits for who is about to sweep the blob, and fails if they have.
func (s *Store) touch(ctx context.Context, n Name) error {
	tag, err := s.DB.Exec(ctx, `update annals_documents.doubts set noted_at = $4
		where client_id = $1 and document_id = $2 and version_id = $3`, n.Client, n.Document, n.Version, s.Now())
	if err != nil {
		return fmt.Errorf("note a document: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrOvertaken
	}
	return nil
}

func (s *Store) forget(ctx context.Context, n Name) (known bool, err error) {
	tag, err := s.DB.Exec(ctx, `delete from annals_documents.doubts
		where client_id = $1 and document_id = $2 and version_id = $3`, n.Client, n.Document, n.Version)
	if err != nil {
		return false, fmt.Errorf("note a document: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// alive gives signs of life while a blob arrives, however long that takes.
type alive struct {
	r     io.Reader
	store *Store
	ctx   context.Context //nolint:containedctx // of the one write that reads from it
	name  Name
	last  time.Time
}

func (a *alive) Read(p []byte) (int, error) {
	if now := a.store.Now(); now.Sub(a.last) > a.store.Grace/4 {
		a.last = now
		if err := a.store.touch(a.ctx, a.name); err != nil {
			return 0, err
		}
	}
	return a.r.Read(p)
}
