// Package blobs keeps the bytes of documents in storage that need not be trusted with
// them: a directory, or an object store (gocloud.dev/blob). They are encrypted before
// they leave the process, in segments, so that neither writing nor reading takes more
// memory for a larger blob: AES-256-GCM-HKDF streaming AEAD as Tink defines it
// (https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming). The key
// is derived from the data key of the client whose document it is, and bound to the
// blob's name: who destroys the data key has made all bytes of the client unreadable,
// wherever copies of them are, and a blob in another's place does not open.
//
// Which blobs there have to be, the log says. What may be in storage without the log
// saying so is noted in PostgreSQL before it is, so that nothing is left behind by a
// process that died in between: see [Store.Sweep]. An object store keeps the parts of
// an upload that was killed until its own rule for incomplete multipart uploads removes
// them; a bucket has to have one.
package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/memblob" // mem://, for tests
	"gocloud.dev/gcerrors"

	"annals/domain"
)

// What a caller may want to tell apart.
var (
	// ErrGone means that there is no such blob.
	ErrGone = errors.New("there are no such bytes in storage")
	// ErrDamaged means that what is in storage is not what was put there.
	ErrDamaged = errors.New("the bytes in storage have been altered")
	// ErrOvertaken means that writing took so long that the blob was taken for left
	// behind.
	ErrOvertaken = errors.New("the bytes were taken for left behind while they arrived")
)

// Name is what a blob is called: ids that we have made, never what somebody calls a
// file.
type Name struct{ Client, Document, Version domain.ID }

func (n Name) key() string {
	return n.Client.String() + "/" + n.Document.String() + "/" + n.Version.String()
}

// Config is what a [Store] needs.
type Config struct {
	// Secret is a key derived from a client's data key for a purpose, which fails when
	// that is gone: [annals/internal/eventlog.Log.Secret].
	Secret func(ctx context.Context, client domain.ID, purpose string) ([32]byte, error)
	DB     *pgxpool.Pool
	Now    func() time.Time
	Logger *slog.Logger

	// Grace is how long after its last sign of life something that was begun counts as
	// left behind. It has to be longer than the log takes to answer. The default is an
	// hour.
	Grace time.Duration
}

// Store keeps blobs.
type Store struct {
	Config
	bucket *blob.Bucket
	dir    string // where the bucket is a directory
}

// Open returns the store at a URL: file:///path, file://./path for one relative to the
// working directory, s3://bucket, gs://bucket or azblob://container with parameters as
// gocloud.dev/blob takes them. The last three take package
// [annals/internal/blobs/providers] to be there, which is where their drivers are.
func Open(ctx context.Context, location string, cfg Config) (*Store, error) {
	if cfg.Grace == 0 {
		cfg.Grace = time.Hour
	}
	if cfg.Secret == nil || cfg.DB == nil || cfg.Now == nil || cfg.Logger == nil || cfg.Grace < 0 {
		return nil, errors.New("blobs: incomplete configuration")
	}
	s := &Store{Config: cfg}
	err := pgx.BeginFunc(ctx, cfg.DB, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_documents'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("schema of documents: %w", err)
	}
	if err := s.open(ctx, location); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, location string) error {
	u, err := url.Parse(location)
	if err != nil {
		return errors.New("storage of documents: the URL is not valid") // err quotes it
	}
	if u.Scheme != "file" {
		if s.bucket, err = blob.OpenBucket(ctx, location); err != nil {
			return fmt.Errorf("storage of documents, %s: %w", u.Scheme, err)
		}
		return nil
	}
	if (u.Host != "" && u.Host != "." && u.Host != "..") || u.RawQuery != "" {
		return errors.New("storage of documents: has to be a path, as in file:///var/lib/annals/blobs")
	}
	if s.dir, err = filepath.Abs(filepath.FromSlash(u.Host + u.Path)); err != nil {
		return fmt.Errorf("storage of documents: %w", err)
	}
	if err := os.MkdirAll(s.dir, private); err != nil {
		return fmt.Errorf("storage of documents: %w", err)
	}
	// Files that are being written lie beside the others, since they are renamed in the end.
	s.bucket, err = fileblob.OpenBucket(s.dir, &fileblob.Options{NoTempDir: true, DirFileMode: private, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return fmt.Errorf("storage of documents: %w", err)
	}
	return nil
}

const private = 0o700 // of directories

// Close ends the connection to the storage.
func (s *Store) Close() error { return s.bucket.Close() }

// Check says whether the storage answers.
func (s *Store) Check(ctx context.Context) error {
	ok, err := s.bucket.IsAccessible(ctx)
	if err == nil && !ok {
		err = errors.New("is not there, or not ours")
	}
	if err != nil {
		return fmt.Errorf("storage of documents: %w", err)
	}
	return nil
}

// Written is what is known of bytes when all of them are in storage.
type Written struct {
	Size         int64
	SHA256       [32]byte // of the bytes
	StoredSHA256 [32]byte // of what is in storage
}

// errClosing is joined to what failed at the end of writing, when the storage may have
// all of the blob, or be about to.
var errClosing = errors.New("the storage did not confirm that it has all bytes")

// write encrypts what r has into storage. Unless all of it is there, nothing is; except
// after [errClosing], when nobody knows.
func (s *Store) write(ctx context.Context, n Name, r io.Reader) (w Written, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	opts := &blob.WriterOptions{
		ContentType: "application/octet-stream", DisableContentTypeDetection: true,
		BeforeWrite: func(as func(any) bool) error { _ = as(&file); return nil },
	}
	out, err := s.bucket.NewWriter(ctx, n.key(), opts)
	if err != nil {
		return w, fmt.Errorf("write a blob: %w", err)
	}
	w, err = s.seal(ctx, n, out, r)
	if err == nil && file != nil {
		err = file.Sync()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel() // before Close, which would keep what is there
		_ = out.Close()
		return w, fmt.Errorf("write a blob: %w", err)
	}
	err = out.Close()
	if err == nil && file != nil {
		err = s.syncDirs(n)
	}
	if err != nil {
		return w, fmt.Errorf("write a blob: %w: %w", errClosing, err)
	}
	return w, nil
}

// syncDirs has a new file survive a loss of power, with the directories it is in.
func (s *Store) syncDirs(n Name) error {
	for _, dir := range []string{filepath.Join(s.dir, n.Client.String(), n.Document.String()), filepath.Join(s.dir, n.Client.String()), s.dir} {
		d, err := os.Open(dir) //nolint:gosec // made of ids
		if err != nil {
			return err
		}
		err = d.Sync()
		if err = errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a blob, and what an attempt to write it may have left; that it is not
// there is no error.
func (s *Store) remove(ctx context.Context, n Name) error {
	if err := s.bucket.Delete(ctx, n.key()); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete a blob: %w", err)
	}
	if s.dir == "" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(s.dir, filepath.FromSlash(n.key())) + ".*.tmp")
	if err != nil {
		return fmt.Errorf("delete a blob: %w", err)
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("delete a blob: %w", err)
		}
	}
	return nil
}
