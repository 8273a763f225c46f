package refusals

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"annals/domain"
	"annals/internal/postgres/pgtest"
)

// TestOutage holds that nothing is lost while the database is away, memory stays
// bounded, and that what cannot be written in the end is told.
func TestOutage(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.Database(t))
	s := open(t, db)
	s.mostPending = 10
	rename := func(from, to string) {
		if _, err := db.Exec(t.Context(), fmt.Sprintf(`alter table annals_audit.%s rename to %s`, from, to)); err != nil {
			t.Fatal(err)
		}
	}
	rename("refusals", "away")
	for i := range 40 {
		r := refusal()
		r.Actor = domain.ID{byte(i)}
		s.Add(r)
		if err := s.Flush(t.Context()); err == nil {
			t.Fatal("written to a table that is away")
		}
	}
	if n := s.waiting(); n > 2*s.mostPending+2 {
		t.Errorf("%d rows wait", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err == nil {
		t.Error("an end without writing is none to be silent about")
	}
	rename("away", "refusals")
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	sum := int64(0)
	for _, r := range list(t, s, Filter{}) {
		sum += r.Count
	}
	if sum != 40 {
		t.Errorf("%d of 40 are accounted for", sum)
	}
}

// TestTogether has two processes write the same rows at once, which must neither wait
// for each other forever nor forget what the other wrote.
func TestTogether(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.Database(t))
	stores := []*Store{open(t, db), open(t, db)}
	for range 5 {
		var wg sync.WaitGroup
		for n, s := range stores {
			for i := range 300 {
				r := refusal()
				r.Actor = domain.ID{byte(i), byte(i >> 8)}
				r.At = noon.Add(time.Duration(10-n) * time.Second)
				s.Add(r)
			}
			wg.Go(func() {
				if err := s.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	rows, _, err := stores[0].List(t.Context(), Filter{Limit: MaxLimit})
	if err != nil || len(rows) != 300 {
		t.Fatal(len(rows), err)
	}
	for _, r := range rows {
		if r.Count != 10 || !r.At.Equal(noon.Add(9*time.Second)) || !r.Last.Equal(noon.Add(10*time.Second)) {
			t.Fatalf("%+v", r)
		}
	}
	late := refusal()
	late.Actor, late.At = domain.ID{1, 0, 1}, noon.Add(50*time.Second)
	early := late
	early.At = noon
	for n, r := range []Refusal{late, early} {
		stores[n].Add(r)
		flush(t, stores[n])
	}
	if got := list(t, stores[0], Filter{Actor: late.Actor}); len(got) != 1 || !got[0].At.Equal(noon) || !got[0].Last.Equal(late.At) {
		t.Errorf("%+v", got)
	}
}

// TestSubjects holds that of what somebody tries through, the first few are kept.
func TestSubjects(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	var asked []domain.ID
	for i := range 2 * mostSubject {
		r := refusal()
		asked = append(asked, r.Subject)
		s.Add(r)
		s.Add(r)
		if i == 3 {
			flush(t, s)
		}
	}
	flush(t, s)
	rows := list(t, s, Filter{})
	if len(rows) != 1 || rows[0].Count != 4*mostSubject || rows[0].Subject != asked[0] {
		t.Fatalf("%+v", rows)
	}
	if d := cmp.Diff(asked[:mostSubject], rows[0].Subjects); d != "" {
		t.Error(d)
	}
	for range 2 * mostSubject {
		r := refusal()
		r.Actor = domain.ID{2}
		s.Add(r)
	}
	flush(t, s)
	if rows := list(t, s, Filter{Actor: domain.ID{2}}); len(rows) != 1 || len(rows[0].Subjects) != mostSubject {
		t.Errorf("%+v", rows)
	}
}
