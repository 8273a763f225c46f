package blobs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
	"gocloud.dev/gcerrors"
)

const (
	purpose = "documents" // of the key
	// segment is how many bytes are encrypted, and authenticated before they are read,
	// at a time. It is a part of the format.
	segment = 64 << 10
)

func (s *Store) aead(ctx context.Context, n Name) (*subtle.AESGCMHKDF, error) {
	secret, err := s.Secret(ctx, n.Client, purpose)
	if err != nil {
		return nil, err
	}
	aead, err := subtle.NewAESGCMHKDF(secret[:], "SHA256", len(secret), segment, 0)
	if err != nil {
		return nil, fmt.Errorf("key of a blob: %w", err)
	}
	return aead, nil
}

// seal encrypts what r has into out.
func (s *Store) seal(ctx context.Context, n Name, out io.Writer, r io.Reader) (w Written, err error) {
	aead, err := s.aead(ctx, n)
	if err != nil {
		return w, err
	}
	stored, plain := sha256.New(), sha256.New()
	sealed, err := aead.NewEncryptingWriter(io.MultiWriter(out, stored), []byte(n.key()))
	if err != nil {
		return w, fmt.Errorf("encrypt a blob: %w", err)
	}
	if w.Size, err = io.CopyBuffer(io.MultiWriter(sealed, plain), r, make([]byte, 32<<10)); err != nil {
		return w, err
	}
	if err := sealed.Close(); err != nil {
		return w, err
	}
	plain.Sum(w.SHA256[:0])
	stored.Sum(w.StoredSHA256[:0])
	return w, nil
}

// Open returns the bytes of a blob. Each is authenticated before it is read; where one
// was altered, or the end cut off, or more added, reading ends with [ErrDamaged] before
// that segment. The first segment is looked at before Open returns.
func (s *Store) Open(ctx context.Context, n Name) (io.ReadCloser, error) {
	aead, err := s.aead(ctx, n)
	if err != nil {
		return nil, err
	}
	in, err := s.bucket.NewReader(ctx, n.key(), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("read a blob: %w", err)
	}
	o := &opened{stored: &watch{Reader: in}, closer: in}
	o.plain, err = aead.NewDecryptingReader(o.stored, []byte(n.key()))
	if err == nil {
		o.first = make([]byte, segment)
		var k int
		k, err = o.plain.Read(o.first)
		o.first = o.first[:k]
		if errors.Is(err, io.EOF) {
			err = nil // it is empty
		}
	}
	if err != nil {
		_ = in.Close()
		return nil, o.why(err)
	}
	return o, nil
}

// opened is a blob that is being read.
type opened struct {
	first  []byte // what was read and not yet asked for
	plain  io.Reader
	stored *watch
	closer io.Closer
}

func (o *opened) Read(p []byte) (int, error) {
	if len(o.first) > 0 {
		k := copy(p, o.first)
		o.first = o.first[k:]
		return k, nil
	}
	k, err := o.plain.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, o.why(err)
	}
	return k, err
}

// why is what is to blame for err: the storage, or what is in it.
func (o *opened) why(err error) error {
	if o.stored.err != nil {
		return fmt.Errorf("read a blob: %w", o.stored.err)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (o *opened) Close() error { return o.closer.Close() }

// watch remembers why reading the storage failed.
type watch struct {
	io.Reader
	err error
}

func (w *watch) Read(p []byte) (int, error) {
	k, err := w.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return k, err
}
