package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"annals/domain"
)

// DeleteAll deletes everything that storage has of a client who has been erased, whether
// the log has it or not, and answers how many blobs that were. What is being written at
// this moment cannot be read by anybody any more, and goes like everything that is left
// behind: see [Store.Sweep].
func (s *Store) DeleteAll(ctx context.Context, client domain.ID) (deleted int, err error) {
	list := s.bucket.List(&blob.ListOptions{Prefix: client.String() + "/"})
	for {
		obj, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return deleted, fmt.Errorf("blobs of an erased client: %w", err)
		}
		if err := s.bucket.Delete(ctx, obj.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return deleted, fmt.Errorf("delete a blob: %w", err)
		}
		deleted++
	}
	if s.dir != "" { // with what attempts to write may have left
		if err := os.RemoveAll(filepath.Join(s.dir, client.String())); err != nil {
			return deleted, fmt.Errorf("blobs of an erased client: %w", err)
		}
	}
	return deleted, nil
}
