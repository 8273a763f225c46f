package blobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

// TestCutOff: what does not arrive whole leaves nothing, neither bytes nor a doubt.
func TestCutOff(t *testing.T) {
	s := newSite(t)
	cut := errors.New("the connection was cut")
	for _, n := range []int{0, 10, segment, 2*segment + 1} {
		r := io.MultiReader(bytes.NewReader(text(n)), failing{cut})
		if _, err := s.Put(t.Context(), newName(), r); !errors.Is(err, cut) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(text(segment)), &once{cancel, bytes.NewReader(text(segment))})
	if _, err := s.Put(ctx, newName(), r); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.has()
	s.sweep(0, 0)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// once does something before it is read first.
type once struct {
	do func()
	io.Reader
}

func (o *once) Read(p []byte) (int, error) {
	if do := o.do; do != nil {
		o.do = nil
		do()
	}
	return o.Reader.Read(p)
}

// TestKilled: whenever a process dies that puts a blob, the next sweep after the time
// of grace leaves exactly what the log has.
func TestKilled(t *testing.T) {
	s := newSite(t)
	noted, drafted, held, kept := newName(), newName(), newName(), newName()
	if err := s.note(t.Context(), noted); err != nil {
		t.Fatal(err)
	}
	s.put(drafted, text(10))
	for _, n := range []Name{held, kept} {
		d := s.put(n, text(10))
		if err := d.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.says(n.Document, false, n.Version)
		if n == kept {
			d.Keep(t.Context())
		}
	}
	s.advance(s.Grace - time.Second)
	s.sweep(0, 3)
	s.has(drafted, held, kept)
	s.advance(2 * time.Second)
	s.sweep(3, 0)
	s.has(held, kept)

	d := s.put(drafted, text(10))
	d.Drop(t.Context())
	s.has(held, kept)
	s.sweep(0, 0)
}

// TestKilledWhileWriting: of a process that is killed in the middle of a file, the
// unfinished file goes, too. One that was only suspended learns that it was.
func TestKilledWhileWriting(t *testing.T) {
	s := newSite(t)
	name := newName()
	reached, resume := make(chan struct{}), make(chan struct{})
	suspended := func() { close(reached); <-resume }
	in := io.MultiReader(bytes.NewReader(text(3*segment)), &once{suspended, bytes.NewReader(text(segment))})
	done := make(chan error, 1)
	go func() {
		d, err := s.Put(context.Background(), name, in)
		if err == nil {
			err = d.Hold(context.Background())
		}
		done <- err
	}()
	<-reached
	if files := s.files(); len(files) != 1 || files[0] == name.key() {
		t.Fatalf("while writing: %v", files)
	}
	s.advance(s.Grace + time.Second)
	s.sweep(1, 0)
	s.has()
	close(resume)
	if err := <-done; err == nil {
		t.Error("was kept")
	}
	s.has()
}

// TestSlowly: a blob that takes longer than the time of grace to arrive is not taken for
// left behind.
func TestSlowly(t *testing.T) {
	s := newSite(t)
	name := newName()
	r := io.MultiReader()
	for range 5 {
		r = io.MultiReader(r, &once{func() { s.advance(s.Grace / 2) }, bytes.NewReader(text(100))},
			&once{func() { s.sweep(0, 1) }, bytes.NewReader(text(100))})
	}
	d, err := s.Put(t.Context(), name, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.advance(s.Grace - time.Second)
	s.sweep(0, 1)
	s.says(name.Document, false, name.Version)
	d.Keep(t.Context())
	s.has(name)
}

// TestWhoIsFirst: between a process that is about to tell the log and one that takes
// the blob for left behind, one of them gives way.
func TestWhoIsFirst(t *testing.T) {
	s := newSite(t)
	name := newName()
	d := s.put(name, text(10))
	s.advance(s.Grace + time.Second)
	held := make(chan error, 1)
	_, err := s.Sweep(t.Context(), func(ctx context.Context, _, _ domain.ID) (Contents, error) {
		go func() { held <- d.Hold(context.WithoutCancel(ctx)) }()
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
			var waiting int
			if err := s.DB.QueryRow(ctx, `select count(*) from pg_locks where not granted`).Scan(&waiting); err != nil || waiting > 0 {
				return Contents{}, err
			}
		}
		return Contents{}, errors.New("does not wait")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-held; !errors.Is(err, ErrOvertaken) {
		t.Errorf("the one who came second: %v", err)
	}
	s.has()
}

// TestDeleting: whenever a process dies that deletes a document, the bytes of one that
// is deleted in the log go, and those of one that is not stay.
func TestDeleting(t *testing.T) {
	s := newSite(t)
	doom := func() (one, two Name) {
		one = newName()
		two = Name{one.Client, one.Document, uuid.New()}
		for _, n := range []Name{one, two} {
			s.put(n, text(10)).Keep(t.Context())
		}
		s.says(one.Document, false, one.Version, two.Version)
		if err := s.Doom(t.Context(), one.Client, one.Document); err != nil {
			t.Fatal(err)
		}
		return one, two
	}
	spared, spared2 := doom()
	killed, killed2 := doom()
	s.says(killed.Document, true, killed.Version, killed2.Version)
	deleted, deleted2 := doom()
	s.says(deleted.Document, true, deleted.Version, deleted2.Version)
	s.Delete(t.Context(), deleted.Client, deleted.Document, []domain.ID{deleted.Version, deleted2.Version})
	s.has(spared, spared2, killed, killed2)
	s.sweep(0, 2)
	s.advance(soon + time.Second)
	s.sweep(1, 1)
	s.has(spared, spared2)
	s.advance(s.Grace)
	s.sweep(1, 0)
	s.has(spared, spared2)
}

// TestOneThatFails keeps no other from being settled.
func TestOneThatFails(t *testing.T) {
	s := newSite(t)
	bad, good := newName(), newName()
	s.put(bad, text(10))
	s.put(good, text(10))
	s.advance(s.Grace + time.Second)
	broken := errors.New("cannot be read")
	n, err := s.Sweep(t.Context(), func(_ context.Context, _, document domain.ID) (Contents, error) {
		if document == bad.Document {
			return Contents{}, broken
		}
		return Contents{}, nil
	})
	if n != 1 || !errors.Is(err, broken) {
		t.Error(n, err)
	}
	s.has(bad)
	s.sweep(1, 0)
	s.has()
}
