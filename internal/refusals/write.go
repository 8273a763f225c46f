package refusals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// Run writes what is added, at least once a second while the database keeps up, and
// cleans the table, until ctx ends. Then it writes what is left, within five seconds,
// and returns an error where it could not. What is added after that is not written
// but by [Store.Flush].
func (s *Store) Run(ctx context.Context) error {
	var cleaner sync.WaitGroup
	defer cleaner.Wait()
	full := make(chan struct{}, 1)
	cleaner.Go(func() { s.keepClean(ctx, full) })
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBound)
			defer cancel()
			if err := s.Flush(ending); err != nil {
				return fmt.Errorf("refusals: %d rows could not be written: %w", s.waiting(), err)
			}
			return nil
		case <-tick.C:
		}
		bounded, cancel := context.WithTimeout(ctx, writeBound)
		err := s.Flush(bounded)
		cancel()
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing: // once an outage
			s.logger.ErrorContext(ctx, "refusals wait to be written", "err", err)
		case err == nil && failing:
			s.logger.InfoContext(ctx, "refusals are written again")
		}
		failing = err != nil
		if s.written.Load() >= cleanAfter {
			select {
			case full <- struct{}{}:
			default:
			}
		}
	}
}

// waiting is how many rows are not written yet.
func (s *Store) waiting() int {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.unsaved) + len(s.pending)
	if s.dropped > 0 {
		n++
	}
	return n
}

// Flush writes all there is. What it does not get written, it keeps for the next time.
// It is for what was added after [Store.Run] had ended.
func (s *Store) Flush(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.save(ctx); err != nil { // what was left over; until it is gone, no more is taken, so that memory is bounded
		return err
	}
	s.unsaved = s.take()
	return s.save(ctx)
}

// take is what was added since it was last called.
func (s *Store) take() []*Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := make([]*Row, 0, len(s.pending)+1)
	for _, row := range s.pending {
		rows = append(rows, row)
	}
	clear(s.pending)
	if s.dropped > 0 {
		r := Refusal{At: s.from, Kind: Dropped, Code: Dropped}
		rows = append(rows, &Row{ID: merged(r), Refusal: r, Last: s.now().UTC().Truncate(time.Microsecond), Count: s.dropped})
		s.dropped = 0
	}
	// In one order everywhere, or processes that write the same rows wait for each other forever.
	slices.SortFunc(rows, func(a, b *Row) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return rows
}

// write adds a row, or to the one that is there. A batch whose commit was not
// answered is written again, so that a count can be too high but never too low.
const write = `
insert into annals_audit.refusals as r
	(id, first_at, last_at, count, request, method, route, subjects, status, code, kind, actor, ip, user_agent)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (id) do update set
	first_at = least(r.first_at, excluded.first_at),
	last_at = greatest(r.last_at, excluded.last_at),
	count = r.count + excluded.count,
	subjects = array(select s from unnest(r.subjects || excluded.subjects) with ordinality as u (s, n) group by s order by min(n) limit $15)`

// save writes s.unsaved, and keeps of it what was not written.
func (s *Store) save(ctx context.Context) error {
	for len(s.unsaved) > 0 {
		rows := s.unsaved[:min(chunk, len(s.unsaved))]
		b := &pgx.Batch{}
		for _, r := range rows {
			subjects := r.Subjects
			if subjects == nil {
				subjects = []domain.ID{}
			}
			b.Queue(write, r.ID, r.At, r.Last, r.Count, r.Request, r.Method, r.Route, subjects, r.Status, r.Code, r.Kind, orNull(r.Actor), addr(r.IP), r.UserAgent, s.most)
		}
		err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return tx.SendBatch(ctx, b).Close() })
		if err != nil {
			return fmt.Errorf("write refusals: %w", err)
		}
		s.written.Add(int64(len(rows)))
		s.unsaved = s.unsaved[len(rows):]
	}
	s.unsaved = nil
	return nil
}

func orNull(id domain.ID) *domain.ID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func addr(ip netip.Addr) *netip.Addr {
	if !ip.IsValid() {
		return nil
	}
	return &ip
}

// keepClean cleans at once, every hour, and when told that much was written.
func (s *Store) keepClean(ctx context.Context, full <-chan struct{}) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		if n, err := s.clean(ctx); err != nil && ctx.Err() == nil {
			s.logger.ErrorContext(ctx, "refusals cannot be cleaned", "err", err)
		} else if n > 0 {
			s.logger.InfoContext(ctx, "refusals deleted", "rows", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-full:
		}
	}
}

// clean deletes what is too old, and the oldest of what is too much, in portions that
// hold no row for long.
func (s *Store) clean(ctx context.Context) (deleted int64, err error) {
	s.written.Store(0)
	deleted, err = s.deleteTo(ctx, s.now().Add(-keep), uuid.Nil)
	if err != nil {
		return deleted, err
	}
	var at time.Time
	var id domain.ID
	err = s.db.QueryRow(ctx, `select first_at, id from annals_audit.refusals order by first_at desc, id desc offset $1 limit 1`, s.mostRows).Scan(&at, &id)
	if errors.Is(err, pgx.ErrNoRows) {
		return deleted, nil
	}
	if err != nil {
		return deleted, fmt.Errorf("count refusals: %w", err)
	}
	n, err := s.deleteTo(ctx, at, id)
	return deleted + n, err
}

// deleteTo deletes what is not newer than a row. What another process is deleting it
// leaves to it.
func (s *Store) deleteTo(ctx context.Context, at time.Time, id domain.ID) (deleted int64, err error) {
	for {
		done, err := s.db.Exec(ctx, `delete from annals_audit.refusals where id in (
			select id from annals_audit.refusals where (first_at, id) <= ($1, $2) order by first_at, id limit $3 for update skip locked)`, at, id, s.portion)
		if err != nil {
			return deleted, fmt.Errorf("delete refusals: %w", err)
		}
		if deleted += done.RowsAffected(); done.RowsAffected() < int64(s.portion) {
			return deleted, nil
		}
	}
}
