package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"annals/domain"
)

// Raw is storage as it is, for copies of it: encrypted bytes by key. It looks into none,
// and knows of no document.
type Raw struct{ store Store }

// OpenRaw returns the storage at a URL as [Open] takes it.
func OpenRaw(ctx context.Context, location string) (*Raw, error) {
	r := &Raw{}
	if err := r.store.open(ctx, location); err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends the connection to the storage.
func (r *Raw) Close() error { return r.store.Close() }

// isKey tells blobs from what is not finished, or is somebody else's.
var isKey = regexp.MustCompile(`^[0-9a-f-]{36}/[0-9a-f-]{36}/[0-9a-f-]{36}$`)

// IsKey says whether that can be the key of a blob.
func IsKey(key string) bool { return isKey.MatchString(key) }

// Keys are the keys of all blobs, in their order.
func (r *Raw) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		list := r.store.bucket.List(nil)
		for {
			o, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", fmt.Errorf("storage of documents: %w", err))
				return
			}
			if IsKey(o.Key) && !yield(o.Key, nil) {
				return
			}
		}
	}
}

// Open begins to read a blob. One that has been deleted is ErrGone.
func (r *Raw) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	in, err := r.store.bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("storage of documents: %w", err)
	}
	return in, nil
}

// Put stores a blob for good: all that in has, or nothing if in fails.
func (r *Raw) Put(ctx context.Context, key string, in io.Reader) error {
	n, err := parseKey(key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	out, err := r.store.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", DisableContentTypeDetection: true,
		BeforeWrite: func(as func(any) bool) error { _ = as(&file); return nil },
	})
	if err != nil {
		return fmt.Errorf("storage of documents: %w", err)
	}
	_, err = io.Copy(out, in)
	if err == nil && file != nil {
		err = file.Sync()
	}
	if err != nil {
		cancel() // before Close, which would keep what is there
		_ = out.Close()
		return fmt.Errorf("storage of documents: %w", err)
	}
	err = out.Close()
	if err == nil && file != nil {
		err = r.store.syncDirs(n)
	}
	if err != nil {
		return fmt.Errorf("storage of documents: %w", err)
	}
	return nil
}

// parseKey reads what key wrote.
func parseKey(key string) (n Name, err error) {
	if !IsKey(key) {
		return n, fmt.Errorf("storage of documents: %q is not the key of a blob", key)
	}
	for i, id := range []*domain.ID{&n.Client, &n.Document, &n.Version} {
		if *id, err = uuid.Parse(strings.Split(key, "/")[i]); err != nil {
			return n, fmt.Errorf("storage of documents: %q is not the key of a blob", key)
		}
	}
	return n, nil
}
