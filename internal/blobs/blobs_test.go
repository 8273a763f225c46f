package blobs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/internal/memtest"
)

func TestWhatIsPutIsRead(t *testing.T) {
	s := newSite(t)
	mem := s.another("mem://", s.DB)
	first := segment - 40 - 16 // what fits into the first segment beside header and tag
	for _, n := range []int{0, 1, first - 1, first, first + 1, first + segment - 16, segment, 3*segment + 7, 1 << 20} {
		for _, store := range []*Store{s.Store, mem} {
			content, name := text(n), newName()
			d, err := store.Put(t.Context(), name, bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if d.Size != int64(n) || d.SHA256 != sha256.Sum256(content) {
				t.Errorf("%d bytes: %+v", n, d.Written)
			}
			r, err := store.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes: read %d: %v", n, len(got), err)
			}
			_ = r.Close()
			if store != s.Store {
				continue
			}
			raw := s.stored(name)
			if d.StoredSHA256 != sha256.Sum256(raw) {
				t.Error("the digest of what is stored is another")
			}
			if bytes.Contains(raw, []byte("Leeuwenhoek")) || bytes.Contains(raw, content[:min(len(content), 8)]) && n >= 8 {
				t.Error("in the clear")
			}
		}
	}
}

// TestDamage: whatever was done to what is in storage, all that is read is what was
// put, and not to its end.
func TestDamage(t *testing.T) {
	s := newSite(t)
	content := text(3*segment + 1000)
	name := newName()
	s.put(name, content)
	raw := s.stored(name)
	other := Name{name.Client, name.Document, uuid.New()}
	s.put(other, content)
	flip := func(at int) []byte {
		b := bytes.Clone(raw)
		b[at] ^= 1
		return b
	}
	swapped := bytes.Clone(raw)
	copy(swapped[segment:], raw[2*segment:3*segment])
	copy(swapped[2*segment:], raw[segment:2*segment])
	cases := map[string][]byte{
		"nothing": {}, "header": raw[:20], "length of the header": flip(0), "salt": flip(5), "nonce": flip(36),
		"first segment": flip(100), "third segment": flip(2*segment + 5), "last byte": flip(len(raw) - 1),
		"last byte gone": raw[:len(raw)-1], "last segment gone": raw[:3*segment], "last two gone": raw[:2*segment],
		"one more byte": append(bytes.Clone(raw), 0), "twice": append(bytes.Clone(raw), raw...),
		"segments swapped": swapped, "another version": s.stored(other),
	}
	for range 20 {
		at := rand.IntN(len(raw))
		cases["bit "+time.Duration(at).String()] = flip(at)
	}
	for what, raw := range cases {
		if err := os.WriteFile(s.path(name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.get(name)
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if !bytes.HasPrefix(content, got) || len(got) == len(content) {
			t.Errorf("%s: read %d bytes that were not put", what, len(got))
		}
	}
	if err := os.Remove(s.path(name)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(name); !errors.Is(err, ErrGone) {
		t.Errorf("gone: %v", err)
	}
	elsewhere := newName()
	if err := os.MkdirAll(filepath.Dir(s.path(elsewhere)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(elsewhere), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(elsewhere); !errors.Is(err, ErrDamaged) {
		t.Errorf("at another client: %v", err)
	}
}

func TestErased(t *testing.T) {
	s := newSite(t)
	name := newName()
	s.put(name, text(100))
	s.erased[name.Client] = true
	if _, err := s.get(name); !errors.Is(err, errErased) {
		t.Errorf("reads: %v", err)
	}
	other := Name{name.Client, name.Document, uuid.New()}
	if _, err := s.Put(t.Context(), other, strings.NewReader("x")); !errors.Is(err, errErased) {
		t.Errorf("writes: %v", err)
	}
	s.has(name)
}

// TestConstantMemory: a large blob is never in memory as a whole, neither to write nor
// to read.
func TestConstantMemory(t *testing.T) {
	s := newSite(t)
	const size = 64 << 20
	memory := memtest.Start()
	name := newName()
	if _, err := s.Put(t.Context(), name, memory.Reader(size)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := io.Copy(memory.Writer(), r); err != nil || read != size {
		t.Error(read, err)
	}
	_ = r.Close()
	if memory.Most() > size/4 {
		t.Errorf("%d MiB take %d bytes of memory", size>>20, memory.Most())
	}
}

func TestURLs(t *testing.T) {
	s := newSite(t)
	for _, url := range []string{"", "/var/lib", "file://host/path", "file:///tmp/x?metadata=skip", "nothing://x", "s3://bucket", "file://\x00"} {
		if _, err := Open(t.Context(), url, s.Config); err == nil {
			t.Errorf("%q was opened", url)
		}
	}
	if _, err := Open(t.Context(), "mem://", Config{Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("an incomplete configuration was taken")
	}
}

// TestPrivate: on a machine that others use as well, they do not even see which clients
// have documents.
func TestPrivate(t *testing.T) {
	s := newSite(t)
	name := newName()
	s.put(name, text(10))
	for _, path := range []string{filepath.Dir(s.path(name)), filepath.Dir(filepath.Dir(s.path(name)))} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Error(info.Mode(), err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
