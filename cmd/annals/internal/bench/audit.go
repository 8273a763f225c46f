package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"annals/eventschema"
	"annals/internal/audit"
	"annals/internal/audit/bundle"
	"annals/internal/audit/proof"
	"annals/internal/esnode/engine"
	"annals/internal/eventlog"
)

// bundled is how many events are exported.
const bundled = 100_000

// audits measures how fast the tree over the log grows, against hashing alone, how long
// a proof takes, and how long a bundle.
func (r *run) audits(ctx context.Context) error {
	return r.with(ctx, func(url string) (err error) {
		master, err := eventschema.NewLocalMaster(make([]byte, 32))
		if err != nil {
			return err
		}
		r.Logger.InfoContext(ctx, "making up the history of clients", "events", r.Events)
		h := newHistory(master, r.App)
		made := 0
		err = load(ctx, url, func(n int) ([]*engine.Event, error) {
			events, err := h.batch(ctx, min(n, r.Events-made))
			made += len(events)
			return events, err
		})
		if err != nil {
			return err
		}
		log, done, err := r.openLog(ctx, url, master)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		db, err := pgxpool.New(ctx, url)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		defer db.Close()
		tree, err := audit.Open(ctx, db)
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "annals-bench-audit-")
		if err != nil {
			return fmt.Errorf("temporary folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		key, err := audit.LoadKey(dir, "")
		if err != nil {
			return err
		}
		p := &proving{run: r, db: db, log: log, tree: tree, key: key, dir: dir}
		for _, step := range []func(context.Context) error{p.grow, p.prove, p.bundle, p.larger} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// proving is a log with the tree over it.
type proving struct {
	*run
	db   *pgxpool.Pool
	log  *eventlog.Log
	tree *audit.Store
	key  *audit.Key
	dir  string
}

// grow builds the tree, and then hashes what it hashed without anything else.
func (p *proving) grow(ctx context.Context) error {
	p.Logger.InfoContext(ctx, "growing the tree")
	head, err := p.log.Head(ctx)
	if err != nil {
		return err
	}
	keeping, stop := context.WithCancel(ctx)
	keeper := audit.NewKeeper(p.tree, p.log, p.key, now, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	start := now()
	go func() { ended <- keeper.Run(keeping) }()
	defer func() {
		stop()
		<-ended
	}()
	var st audit.State
	for st.At.Compare(head) < 0 {
		if st, err = p.tree.State(ctx); err != nil {
			return err
		}
		if err := keeper.Err(); err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	took := now().Sub(start)
	hashed, err := p.hashed(ctx)
	if err != nil {
		return err
	}
	p.add(Figure{
		Name: "audit", What: number(float64(st.Size)) + " leaves, from the log", Value: float64(st.Size) / took.Seconds(), Unit: "leaves/s",
		Limit: hashed, LimitIs: "hashing the same on one core",
	})
	return nil
}

// hashed is how many leaves one core hashes in a second, of events that are in memory.
func (p *proving) hashed(ctx context.Context) (float64, error) {
	var some []eventlog.Record
	for item, err := range (audit.Table{DB: p.db}).SubscribeStored(ctx, eventlog.Position{}, proof.CoveredPattern) {
		if err != nil {
			return 0, err
		}
		if item.Record == nil || len(some) == bundled {
			break
		}
		some = append(some, *item.Record)
	}
	var tree proof.Tree
	start := now()
	for i := range some {
		tree.Append(audit.LeafOf(&some[i]).Hash(), nil)
	}
	tree.Root()
	return float64(len(some)) / now().Sub(start).Seconds(), nil
}

// prove asks for proofs of leaves here and there, and checks each.
func (p *proving) prove(ctx context.Context) error {
	c, err := p.tree.Checkpoint(ctx)
	if err != nil {
		return err
	}
	signed, _, err := proof.Open(c.Note, p.key.Verifier)
	if err != nil {
		return err
	}
	return p.proofs(ctx, signed.Size, signed.Root)
}

func (p *proving) proofs(ctx context.Context, size int64, root tlog.Hash) error {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same leaves every time
	var made, checked []time.Duration
	hashes := p.tree.Hashes(ctx, size)
	for start := now(); len(made) < 20 || now().Sub(start) < p.Duration; {
		n := rnd.Int64N(size)
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		begun := now()
		path, err := tlog.ProveRecord(size, n, hashes)
		if err != nil {
			return err
		}
		proved := now()
		if err := tlog.CheckRecord(path, size, root, n, leaf[0]); err != nil {
			return fmt.Errorf("leaf %d: %w", n, err)
		}
		made, checked = append(made, proved.Sub(begun)), append(checked, now().Sub(proved))
	}
	for what, each := range map[string][]time.Duration{"a proof of one of ": made, "a proof checked of one of ": checked} {
		t := newTook(p.Duration, each)
		p.add(Figure{
			Name: "audit", What: what + number(float64(size)), Value: float64(t.at(50)) / float64(time.Microsecond), Unit: "µs", P50: t.at(50), P99: t.at(99),
		})
	}
	return nil
}

// bundle exports a period, and verifies it.
func (p *proving) bundle(ctx context.Context) error {
	var from, to time.Time
	err := p.db.QueryRow(ctx, `select min(created), max(created) + interval '1 microsecond' from
		(select created from annals_log.events order by position limit $1) e`, bundled).Scan(&from, &to)
	if err != nil {
		return fmt.Errorf("period: %w", err)
	}
	p.Logger.InfoContext(ctx, "exporting")
	s := &bundle.Source{Log: p.log, Tree: p.tree, Key: p.key, Now: now, App: p.App}
	dir := filepath.Join(p.dir, "bundle")
	start := now()
	sum, err := s.Export(ctx, bundle.Scope{Kind: "period", From: from, To: to}, dir)
	if err != nil {
		return err
	}
	took := now().Sub(start)
	start = now()
	v, err := bundle.Verify(dir, bundle.Keys{Log: p.key.Verifier})
	if err != nil {
		return err
	}
	if len(v.Faults) > 0 {
		return fmt.Errorf("the bundle is not whole: %s", v.Faults[0])
	}
	checked := now().Sub(start)
	p.add(Figure{Name: "audit", What: fmt.Sprintf("%s events exported, of %s", number(float64(sum.Events)), number(float64(sum.Leaves))), Value: took.Seconds(), Unit: "s", Note: number(float64(sum.Events)/took.Seconds()) + " events/s"})
	p.add(Figure{Name: "audit", What: number(float64(v.Events)) + " events verified offline", Value: checked.Seconds(), Unit: "s", Note: number(float64(v.Events)/checked.Seconds()) + " events/s"})
	return nil
}

// larger asks for proofs of a tree that is ten times as large, of leaves that are made up.
func (p *proving) larger(ctx context.Context) error {
	p.Logger.InfoContext(ctx, "making up a larger tree")
	if _, err := p.db.Exec(ctx, `truncate annals_audit.tiles`); err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	var tree proof.Tree
	var rows [][]any
	write := func() error {
		_, err := p.db.CopyFrom(ctx, pgx.Identifier{"annals_audit", "tiles"}, []string{"level", "n", "hashes"}, pgx.CopyFromRows(rows))
		rows = rows[:0]
		if err != nil {
			return fmt.Errorf("tiles: %w", err)
		}
		return nil
	}
	add := func(t proof.Tile, hashes []tlog.Hash) { rows = append(rows, []any{int16(t.L), t.N, proof.Join(hashes)}) } //nolint:gosec // levels are few
	for n := range 10 * p.Events {
		tree.Append(tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(n))), add) //nolint:gosec // counts
		if len(rows) >= 1000 {
			if err := write(); err != nil {
				return err
			}
		}
	}
	for t, hashes := range tree.Partial {
		add(t, hashes)
	}
	if err := write(); err != nil {
		return err
	}
	p.tree = audit.View(p.db)
	return p.proofs(ctx, tree.Size(), tree.Root())
}
