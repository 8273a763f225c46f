package blobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/postgres/pgtest"
)

var errErased = errors.New("erased")

// site is a store in a directory, and what the log would say.
type site struct {
	*testing.T
	*Store
	mu       sync.Mutex
	now      time.Time
	erased   map[domain.ID]bool
	contents map[domain.ID]Contents // of documents
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := &site{T: t, now: time.Now(), erased: map[domain.ID]bool{}, contents: map[domain.ID]Contents{}}
	s.Store = s.another("file://"+t.TempDir(), pool)
	return s
}

func (s *site) another(url string, pool *pgxpool.Pool) *Store {
	s.Helper()
	store, err := Open(s.Context(), url, Config{Secret: s.secret, DB: pool, Now: s.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = store.Close() })
	return store
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *site) secret(_ context.Context, client domain.ID, purpose string) ([32]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.erased[client] {
		return [32]byte{}, errErased
	}
	return sha256.Sum256(append(client[:], purpose...)), nil
}

func (s *site) log(_ context.Context, _, document domain.ID) (Contents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contents[document], nil
}

// says has the log say what a document has.
func (s *site) says(document domain.ID, deleted bool, versions ...domain.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents[document] = Contents{versions, deleted}
}

func (s *site) put(n Name, content []byte) *Draft {
	s.Helper()
	d, err := s.Put(s.Context(), n, bytes.NewReader(content))
	if err != nil {
		s.Fatal(err)
	}
	return d
}

func (s *site) get(n Name) ([]byte, error) {
	s.Helper()
	r, err := s.Open(s.Context(), n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// sweep expects so many doubts to be settled, and so many to be left.
func (s *site) sweep(settled, left int) {
	s.Helper()
	got, err := s.Sweep(s.Context(), s.log)
	if err != nil || got != settled || s.doubts() != left {
		s.Errorf("settled %d, want %d; %d left, want %d: %v", got, settled, s.doubts(), left, err)
	}
}

func (s *site) doubts() (n int) {
	s.Helper()
	if err := s.DB.QueryRow(context.Background(), `select count(*) from annals_documents.doubts`).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// files are the names of all in storage, sorted.
func (s *site) files() []string {
	s.Helper()
	var names []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, s.dir+"/"))
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return names
}

// has expects exactly those blobs in storage.
func (s *site) has(names ...Name) {
	s.Helper()
	want := make([]string, 0, len(names))
	for _, n := range names {
		want = append(want, n.key())
	}
	slices.Sort(want)
	if got := s.files(); !slices.Equal(got, want) {
		s.Errorf("in storage: %v, want %v", got, want)
	}
}

func (s *site) path(n Name) string { return filepath.Join(s.dir, n.key()) }

func (s *site) stored(n Name) []byte {
	s.Helper()
	raw, err := os.ReadFile(s.path(n))
	if err != nil {
		s.Fatal(err)
	}
	return raw
}

func newName() Name { return Name{uuid.New(), uuid.New(), uuid.New()} }

// text is so many bytes that would be recognised, no two segments alike.
func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.WriteString("Leeuwenhoek looked into a drop of water ")
		b.WriteByte(byte('a' + i%26))
		b.WriteByte(byte('a' + i/26%26))
		b.WriteByte(byte('a' + i/676%26))
	}
	return b.Bytes()[:n]
}
