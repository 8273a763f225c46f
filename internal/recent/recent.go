// Package recent keeps which clients each employee has opened last. That is in a schema
// of PostgreSQL of its own: no event, since who looked at what when is nothing that
// happened to a client, and so nothing that could be built again from the log.
//
// Looking must not cost anything: what is opened is noted in memory, the same client once
// however often, and written all together, later (TestCoalesced). What a process that is
// killed has not written yet is forgotten, and missed by nobody.
package recent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
)

// Most is how many clients are kept of an employee.
const Most = 50

const (
	writeEvery = time.Second
	writeBound = 10 * time.Second
)

const schema = `
create schema if not exists annals_recent;

create table if not exists annals_recent.clients (
	employee_id uuid not null,
	client_id   uuid not null,
	opened_at   timestamptz not null,
	primary key (employee_id, client_id)
);
create index if not exists clients_opened on annals_recent.clients (employee_id, opened_at, client_id);
comment on table annals_recent.clients is
	'Which clients employees have opened last. It is not built from the log, and cannot be';

-- Nobody but the owner of the schema has any business here, and whoever is let in sees their own.
revoke all on schema annals_recent from public;
revoke all on all tables in schema annals_recent from public;
alter table annals_recent.clients enable row level security;
do $$ begin
	if not exists (select from pg_policy where polrelid = 'annals_recent.clients'::regclass) then
		create policy visible on annals_recent.clients for select to public using (
			employee_id = (select nullif(current_setting('annals.me', true), '')::uuid));
	end if;
end $$;`

// Opened is that somebody has opened a client, for the last time.
type Opened struct {
	Client domain.ID
	At     time.Time
}

// times are when clients were opened last.
type times map[domain.ID]time.Time

func (t times) add(client domain.ID, at time.Time) {
	if at.After(t[client]) {
		t[client] = at
	}
}

// latest are the clients that were opened last, the latest first.
func (t times) latest() []Opened {
	all := make([]Opened, 0, len(t))
	for client, at := range t {
		all = append(all, Opened{client, at})
	}
	slices.SortFunc(all, func(a, b Opened) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return domain.CompareIDs(b.Client, a.Client)
	})
	return all[:min(len(all), Most)]
}

// Store keeps what was opened. It is safe for concurrent use.
type Store struct {
	db     *pgxpool.Pool
	logger *slog.Logger

	mu      sync.Mutex
	pending map[domain.ID]times // by employee: what is not written yet
	being   map[domain.ID]times // what is being written

	writing sync.Mutex // held by who writes
}

// Open returns the store in db, and creates what it needs there. Nothing is written
// before [Store.Run].
func Open(ctx context.Context, db *pgxpool.Pool, logger *slog.Logger) (*Store, error) {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, alone); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("schema of what was opened last: %w", err)
	}
	return &Store{db: db, logger: logger, pending: map[domain.ID]times{}}, nil
}

// Add notes that an employee has opened a client. [Store.Run] writes it within a second
// or so. Of each employee no more is remembered than is kept, as a rule, so that memory
// is bounded however long the database is away.
func (s *Store) Add(employee, client domain.ID, at time.Time) {
	at = at.UTC().Truncate(time.Microsecond) // as PostgreSQL keeps it
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[employee] == nil {
		s.pending[employee] = times{}
	}
	of := s.pending[employee]
	if of.add(client, at); len(of) < 2*Most {
		return
	}
	kept := times{}
	for _, o := range of.latest() {
		kept[o.Client] = o.At
	}
	s.pending[employee] = kept
}

// Latest are the clients that an employee has opened last, at most [Most], the latest
// first: what was written by all processes, and what was noted by this one.
func (s *Store) Latest(ctx context.Context, employee domain.ID) ([]Opened, error) {
	all := times{}
	s.mu.Lock() // before the table is read: what is not here any more is there by now
	maps.Copy(all, s.being[employee])
	for client, at := range s.pending[employee] {
		all.add(client, at)
	}
	s.mu.Unlock()
	rows, _ := s.db.Query(ctx, `select client_id, opened_at from annals_recent.clients where employee_id = $1
		order by opened_at desc, client_id desc limit $2`, employee, Most) // the error comes back from the rows
	written, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Opened])
	if err != nil {
		return nil, fmt.Errorf("what was opened last: %w", err)
	}
	for _, o := range written {
		all.add(o.Client, o.At.UTC())
	}
	return all.latest(), nil
}

// Run writes what is noted until ctx ends. What is noted after that, or was just before,
// is for [Store.Flush], once nobody reads any more.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		bounded, cancel := context.WithTimeout(ctx, writeBound)
		err := s.Flush(bounded)
		cancel()
		if err != nil && !failing && ctx.Err() == nil { // once an outage
			s.logger.ErrorContext(ctx, "what was opened last waits to be written", "err", err)
		}
		failing = err != nil
	}
}

// alone has one process write at a time: each would delete what the other has just
// changed, and the two wait for each other.
const alone = `select pg_advisory_xact_lock(hashtext('annals_recent'))`

const (
	write = `insert into annals_recent.clients as r (employee_id, client_id, opened_at)
		select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
		on conflict (employee_id, client_id) do update set opened_at = greatest(r.opened_at, excluded.opened_at)`
	trim = `delete from annals_recent.clients r using unnest($1::uuid[]) e (id) where r.employee_id = e.id and (r.opened_at, r.client_id) < (
		select k.opened_at, k.client_id from annals_recent.clients k where k.employee_id = e.id
			order by k.opened_at desc, k.client_id desc offset $2 limit 1)`
)

// Flush writes all there is, if anything. What it does not get written, it keeps for the
// next time.
func (s *Store) Flush(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	s.being, s.pending = s.pending, map[domain.ID]times{}
	being := s.being
	s.mu.Unlock()
	err := s.save(ctx, being)
	if err != nil {
		err = fmt.Errorf("write what was opened last: %w", err)
		for employee, of := range being {
			for client, at := range of {
				s.Add(employee, client, at)
			}
		}
	}
	s.mu.Lock()
	s.being = nil
	s.mu.Unlock()
	return err
}

func (s *Store) save(ctx context.Context, opened map[domain.ID]times) error {
	var employees, clients []domain.ID
	var at []time.Time
	for employee, of := range opened {
		for _, o := range of.latest() {
			employees, clients, at = append(employees, employee), append(clients, o.Client), append(at, o.At)
		}
	}
	if len(employees) == 0 {
		return nil
	}
	var b pgx.Batch
	b.Queue(alone)
	b.Queue(write, employees, clients, at)
	b.Queue(trim, slices.Collect(maps.Keys(opened)), Most-1)
	return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
}
