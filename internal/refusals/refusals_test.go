package refusals

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"annals/domain"
	"annals/internal/postgres/pgtest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func open(t *testing.T, db *pgxpool.Pool) *Store {
	t.Helper()
	s, err := Open(t.Context(), db, func() time.Time { return noon }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refusal is one that tests change.
func refusal() Refusal {
	return Refusal{
		At: noon, Request: uuid.New(), Method: "GET", Route: "/api/v1/clients/{id}", Subject: uuid.New(), Status: 404, Code: "client.absent",
		Actor: domain.ID{1}, Kind: Employee, IP: netip.MustParseAddr("203.0.113.7"), UserAgent: "curl/8",
	}
}

func flush(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s *Store, f Filter) []Row {
	t.Helper()
	rows, next, err := s.List(t.Context(), f)
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	return rows
}

func TestKept(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	one, nobody := refusal(), Refusal{At: noon.Add(time.Hour), Request: uuid.New(), Method: "POST", Route: "/api/v1/session", Status: 401, Code: "sign_in", Kind: Nobody, IP: netip.MustParseAddr("2001:db8::1")}
	bare := Refusal{At: noon.Add(2 * time.Hour), Status: 429, Code: "rate_limited", Kind: Nobody}
	for _, r := range []Refusal{one, nobody, bare} {
		s.Add(r)
	}
	if got := list(t, s, Filter{}); len(got) != 0 {
		t.Errorf("written before anybody wrote: %v", got)
	}
	flush(t, s)
	want := []Row{
		{Refusal: bare, Last: bare.At, Count: 1},
		{Refusal: nobody, Last: nobody.At, Count: 1},
		{Refusal: one, Last: noon, Count: 1, Subjects: []domain.ID{one.Subject}},
	}
	if d := cmp.Diff(want, list(t, s, Filter{}), cmpopts.IgnoreFields(Row{}, "ID"), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

// TestFlood holds that a flood is a row a minute, whoever of two processes met it,
// and that what differs is not merged.
func TestFlood(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.Database(t))
	stores := []*Store{open(t, db), open(t, db)}
	var wg sync.WaitGroup
	for _, s := range stores {
		for n := range 4 {
			wg.Go(func() {
				for i := range 500 {
					r := refusal()
					r.At = noon.Add(time.Duration(i) * 100 * time.Millisecond)
					s.Add(r)
					if i%100 == n {
						if err := s.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for _, s := range stores {
		flush(t, s)
	}
	rows := list(t, stores[0], Filter{})
	if len(rows) != 1 || rows[0].Count != 4000 || len(rows[0].Subjects) != mostSubject || !rows[0].At.Equal(noon) || !rows[0].Last.Equal(noon.Add(49900*time.Millisecond)) {
		t.Fatalf("%+v", rows)
	}
	for name, change := range map[string]func(*Refusal){
		"minute":  func(r *Refusal) { r.At = r.At.Add(time.Minute) },
		"method":  func(r *Refusal) { r.Method = "POST" },
		"route":   func(r *Refusal) { r.Route = "/" },
		"status":  func(r *Refusal) { r.Status = 403 },
		"code":    func(r *Refusal) { r.Code = "forbidden" },
		"actor":   func(r *Refusal) { r.Actor = domain.ID{2} },
		"kind":    func(r *Refusal) { r.Kind = Key },
		"address": func(r *Refusal) { r.IP = netip.MustParseAddr("203.0.113.8") },
		"network": func(r *Refusal) { r.IP = netip.MustParseAddr("2001:db8::1") },
	} {
		r := refusal()
		change(&r)
		if merged(r) == rows[0].ID {
			t.Errorf("another %s is merged", name)
		}
	}
	for name, change := range map[string]func(*Refusal){
		"user agent": func(r *Refusal) { r.UserAgent = "another" },
		"request":    func(r *Refusal) { r.Request = uuid.New() },
		"mapped":     func(r *Refusal) { r.IP = netip.MustParseAddr("::ffff:203.0.113.7") },
	} {
		r := refusal()
		change(&r)
		if merged(r) != rows[0].ID {
			t.Errorf("another %s is not merged", name)
		}
	}
	a, b := refusal(), refusal()
	a.IP, b.IP = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:0:0:2")
	if merged(a) != merged(b) {
		t.Error("a subscriber's addresses are not merged")
	}
}

// TestOverflow holds that what there is no room for is counted, not forgotten.
func TestOverflow(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	reg := prometheus.NewPedanticRegistry()
	if err := s.Register(reg); err != nil {
		t.Fatal(err)
	}
	s.mostPending = 10
	for i := range 25 {
		r := refusal()
		r.Actor = domain.ID{byte(i)}
		s.Add(r)
		s.Add(r) // merged where there is a row, counted where there is none
	}
	flush(t, s)
	total := map[string]int64{}
	for _, r := range list(t, s, Filter{}) {
		total[r.Kind] += r.Count
	}
	if d := cmp.Diff(map[string]int64{Employee: 20, Dropped: 30}, total); d != "" {
		t.Error(d)
	}
	if n := testutil.ToFloat64(s.lost); n != 30 {
		t.Errorf("%v dropped", n)
	}
	if n := testutil.ToFloat64(s.refused.WithLabelValues("404", "client.absent")); n != 50 {
		t.Errorf("%v refused", n)
	}
	s.Add(refusal())
	flush(t, s)
	if n := len(list(t, s, Filter{})); n != 11 { // there is room again; the refusal is one of those that were there
		t.Errorf("%d rows", n)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	s.Add(refusal())
	for len(list(t, s, Filter{})) == 0 { // it writes by itself
		time.Sleep(10 * time.Millisecond)
	}
	for i := range 1200 { // more than one chunk
		r := refusal()
		r.Actor = uuid.New()
		r.At = noon.Add(time.Duration(i) * time.Millisecond)
		s.Add(r)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n := 0
	for f := (Filter{Limit: 500}); ; {
		rows, next, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if n += len(rows); next == "" {
			break
		}
		f.Before = next
	}
	if n != 1201 {
		t.Errorf("%d rows are left of 1201", n)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	s.mostRows, s.portion = 20, 3
	for i := range 40 {
		r := refusal()
		r.At = noon.Add(-time.Duration(i) * 9 * 24 * time.Hour) // eleven of them are not older than 90 days
		s.Add(r)
	}
	s.Add(Refusal{At: noon.Add(-keep - time.Microsecond), Kind: Nobody})
	flush(t, s)
	if n, err := s.clean(t.Context()); err != nil || n != 30 {
		t.Errorf("%d deleted, %v", n, err)
	}
	if rows := list(t, s, Filter{}); len(rows) != 11 || !rows[0].At.Equal(noon) {
		t.Errorf("%d rows are left", len(rows))
	}
	s.mostRows = 4
	if n, err := s.clean(t.Context()); err != nil || n != 7 {
		t.Errorf("%d deleted, %v", n, err)
	}
	if rows := list(t, s, Filter{}); len(rows) != 4 || !rows[3].At.Equal(noon.Add(-3*9*24*time.Hour)) {
		t.Errorf("%d rows are left", len(rows))
	}
	if n, err := s.clean(t.Context()); err != nil || n != 0 {
		t.Errorf("%d deleted, %v", n, err)
	}
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	r := refusal()
	r.UserAgent, r.Method = "a\x00b\xff\r\nc", string(make([]byte, 5000))
	s.Add(r)
	flush(t, s)
	if rows := list(t, s, Filter{}); len(rows) != 1 || rows[0].UserAgent != "abc" || rows[0].Method != "" {
		t.Errorf("%+v", rows)
	}
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.Database(t))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := Open(t.Context(), db, time.Now, slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
