// Package refusals keeps what the API refused, and to whom: sign-ins that failed,
// what may not be seen or done, limits, locks, requests of foreign origin. Rows are
// in a schema of PostgreSQL of their own, and nothing is ever derived from them.
//
// Refusing costs an attacker nothing, so that keeping must cost us little: what is
// the same within a minute is one row with a count (TestFlood), what does not fit
// into memory is a row that counts it (TestOverflow), and the table is bounded by
// age and by rows (TestClean).
package refusals

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"annals/domain"
)

// Kinds of those who are refused.
const (
	Employee = "employee"
	Key      = "key"     // an API key
	Nobody   = "nobody"  // who has not shown who they are
	Dropped  = "dropped" // of a row that only counts refusals for which there was no room
)

// Refusal is a request that was refused. It holds nothing that the request said but
// ids and the name of the program that sent it.
type Refusal struct {
	At        time.Time
	Request   domain.ID // names the request in logs and in the answer
	Method    string
	Route     string    // template of the path, as in /api/v1/clients/{id}; empty where there is none
	Subject   domain.ID // the id in the path, or [uuid.Nil]
	Status    int       // of the answer
	Code      string    // of the answer, as in forbidden
	Actor     domain.ID // who asked, or [uuid.Nil]
	Kind      string    // [Employee], [Key] or [Nobody]
	IP        netip.Addr
	UserAgent string
}

// Row is refusals of one route to one actor at one address (IPv6: network of 64
// bits) with one code, all within a minute by the clock.
type Row struct {
	ID domain.ID
	Refusal
	Last     time.Time
	Count    int64
	Subjects []domain.ID // the first few that were asked for
}

// The bounds of what is kept.
const (
	keep        = 90 * 24 * time.Hour
	mostRows    = 5_000_000
	mostPending = 10_000 // rows that wait to be written
	mostSubject = 16     // of a row
	portion     = 5_000  // rows deleted at once
	chunk       = 500    // rows written at once
	maxText     = 300    // bytes of any text
)

// How long things take.
const (
	writeEvery = time.Second / 2
	writeBound = 10 * time.Second
	endBound   = 5 * time.Second
	cleanEvery = time.Hour
	cleanAfter = 100_000 // rows written, though the hour is not over
)

const schema = `
create schema if not exists annals_audit;
create table if not exists annals_audit.refusals (
	id         uuid primary key,      -- made of what is merged: the same refusal is the same row
	first_at   timestamptz not null,
	last_at    timestamptz not null,
	count      bigint not null,
	request    uuid not null,         -- the first
	method     text not null,
	route      text not null,         -- a template, never a path
	subjects   uuid[] not null,       -- the first few
	status     smallint not null,
	code       text not null,
	kind       text not null,
	actor      uuid,
	ip         inet,
	user_agent text not null
);
create index if not exists refusals_at on annals_audit.refusals (first_at desc, id desc);
create index if not exists refusals_actor on annals_audit.refusals (actor, first_at desc, id desc) where actor is not null;
create index if not exists refusals_ip on annals_audit.refusals (ip, first_at desc, id desc);`

// Store keeps refusals.
type Store struct {
	db     *pgxpool.Pool
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	pending map[domain.ID]*Row
	dropped int64
	from    time.Time // when the first was dropped

	writing sync.Mutex // held by who writes; guards unsaved
	unsaved []*Row     // what could not be written, and is tried again before anything else

	written                     atomic.Int64 // rows, since the table was last cleaned
	mostRows, mostPending, most int          // most: subjects
	portion                     int

	refused *prometheus.CounterVec
	lost    prometheus.Counter
}

// Open returns the store in db, and creates what it needs there. Nothing is written
// before [Store.Run].
func Open(ctx context.Context, db *pgxpool.Pool, now func() time.Time, logger *slog.Logger) (*Store, error) {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_audit'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("audit schema: %w", err)
	}
	return &Store{
		db: db, now: now, logger: logger, pending: map[domain.ID]*Row{},
		mostRows: mostRows, mostPending: mostPending, most: mostSubject, portion: portion,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_refusals_total", Help: "Requests that were refused, by status and code of the answer.",
		}, []string{"status", "code"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "annals_refusals_dropped_total", Help: "Refusals that are in the audit only as a number, because there was no room for more.",
		}),
	}, nil
}

// Register adds the store's counters to reg.
func (s *Store) Register(reg prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{s.refused, s.lost} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("refusals: %w", err)
		}
	}
	return nil
}

// Add keeps a refusal. It does no more than note it in memory: [Store.Run] writes it
// within a second. Where too many different ones wait, they are only counted, in a
// row of kind [Dropped].
func (s *Store) Add(r Refusal) {
	s.refused.WithLabelValues(strconv.Itoa(r.Status), r.Code).Inc()
	r.At = r.At.UTC().Truncate(time.Microsecond) // as PostgreSQL keeps it
	r.IP = r.IP.WithZone("")
	for _, text := range []*string{&r.Method, &r.Route, &r.Code, &r.Kind, &r.UserAgent} {
		*text = printable(*text)
	}
	id := merged(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.pending[id]
	if row == nil {
		if len(s.pending) >= s.mostPending {
			if s.dropped == 0 {
				s.from = r.At
			}
			s.dropped++
			s.lost.Inc()
			return
		}
		row = &Row{ID: id, Refusal: r, Last: r.At}
		s.pending[id] = row
	}
	row.Count++
	if r.At.After(row.Last) {
		row.Last = r.At
	}
	if r.Subject != uuid.Nil && len(row.Subjects) < s.most && !slices.Contains(row.Subjects, r.Subject) {
		row.Subjects = append(row.Subjects, r.Subject)
	}
}

// printable is a text as it can be stored and shown.
func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return -1
		}
		return c
	}, s)
}

// merged is the id of the row that r counts in, for all processes the same.
func merged(r Refusal) domain.ID {
	of := fmt.Appendf(nil, "%d\x00%s\x00%s\x00%d\x00%s\x00%s\x00%s\x00%s",
		r.At.Unix()/60, r.Method, r.Route, r.Status, r.Code, r.Kind, r.Actor, Network(r.IP))
	return uuid.NewHash(sha256.New(), uuid.Nil, of, 8)
}

// Network is what an address counts for: itself, or its network of 64 bits in IPv6,
// all of which is as a rule one subscriber's. Invalid for an invalid address.
func Network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // fails for an invalid address only
	return p
}
