package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"annals/internal/audit/proof"
	"annals/internal/eventlog"
	"annals/internal/feed"
	"annals/internal/lease"
)

var (
	errFenced = errors.New("another process has moved the tree")
	// ErrForeign means that the tree is of another log, or was signed under another name.
	ErrForeign = errors.New("the tree is of another log, or the audit key is another one")
	// ErrTampered means that what is stored of the tree is not what was signed.
	ErrTampered = errors.New("the tree is not the one that was signed")
)

// How often things are done while the log is followed.
const (
	gather  = 200 * time.Millisecond // between two looks at what is new: each writes the edge of the tree, and a checkpoint
	thin    = 10 * time.Minute       // between removals of checkpoints that nobody needs
	records = 8192                   // events in one transaction
)

// Keeper grows the tree with the log, and signs checkpoints.
type Keeper struct {
	store  *Store
	log    *eventlog.Log
	key    *Key
	now    func() time.Time
	logger *slog.Logger

	mu  sync.Mutex
	err error // why the last attempt failed
}

// NewKeeper returns a Keeper, which does nothing before [Keeper.Run].
func NewKeeper(store *Store, log *eventlog.Log, key *Key, now func() time.Time, logger *slog.Logger) *Keeper {
	return &Keeper{store: store, log: log, key: key, now: now, logger: logger}
}

// Run grows the tree until ctx ends; then it returns nil. One process at a time does so,
// and another takes over. The log or the database being away is waited out, and so is
// what only a person can mend, which is logged and told by [Keeper.Err].
func (k *Keeper) Run(ctx context.Context) error {
	const short = 100 * time.Millisecond
	for wait := short; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		moved, err := k.lead(ctx)
		k.failed(ctx, err)
		if moved {
			wait = short
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)): //nolint:gosec // jitter
		case <-ctx.Done():
		}
	}
	return nil
}

// Err is why the tree does not grow here, or nil.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func (k *Keeper) failed(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	again := k.err != nil && k.err.Error() == err.Error()
	k.err = err
	k.mu.Unlock()
	switch {
	case again:
		k.logger.DebugContext(ctx, "the audit tree does not grow", "err", err)
	case errors.Is(err, ErrForeign), errors.Is(err, ErrTampered):
		k.logger.ErrorContext(ctx, "the audit tree does not grow", "err", err)
	default:
		k.logger.WarnContext(ctx, "the audit tree does not grow", "err", err)
	}
}

// stored is the log as the tree has it.
type stored struct{ log *eventlog.Log }

func (s stored) Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error] {
	return s.log.SubscribeStored(ctx, after, proof.CoveredPattern)
}

// lead takes the lease and follows the log until something breaks.
func (k *Keeper) lead(ctx context.Context) (moved bool, err error) {
	ctx, release, err := lease.Take(ctx, k.store.db.Config().ConnConfig, "audit tree")
	if err != nil {
		return false, err
	}
	defer release()
	g, err := k.load(ctx)
	if err != nil {
		return false, err
	}
	for run, err := range feed.Runs(ctx, stored{k.log}, g.at, records) {
		if err == nil {
			err = k.grow(ctx, g, run)
		}
		if err != nil {
			return moved, errors.Join(err, context.Cause(ctx))
		}
		moved = true
		k.mu.Lock()
		k.err = nil
		k.mu.Unlock()
		if run.Live {
			select {
			case <-time.After(gather):
			case <-ctx.Done():
			}
		}
	}
	return moved, errors.New("the log ended its subscription without a word")
}

// growth is the tree in memory: its edge.
type growth struct {
	*proof.Tree
	at        eventlog.Position   // of the last event looked at
	positions []eventlog.Position // of the last tile of leaves, while it is not whole
	signed    int64               // leaves under the last checkpoint
	thinned   time.Time
}

// load is the tree as it was left, which has to be what was signed.
func (k *Keeper) load(ctx context.Context) (*growth, error) {
	db := k.store.db
	_, err := db.Exec(ctx, `insert into annals_audit.tree as t (origin, public, size, commit, prepare) values ($1, $2, 0, 0, 0)
		on conflict (one) do update set public = excluded.public where t.origin = excluded.origin`, k.key.Name(), k.key.Public)
	if err != nil {
		return nil, fmt.Errorf("audit tree: %w", err)
	}
	st, err := k.store.State(ctx)
	if err != nil {
		return nil, err
	}
	if st.Origin != k.key.Name() {
		return nil, fmt.Errorf("%w: it is of %q, and the key of %q", ErrForeign, st.Origin, k.key.Name())
	}
	head, err := k.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	if st.At.Compare(head) > 0 {
		return nil, fmt.Errorf("%w: the log ends at %s, and the tree has %s", ErrForeign, head, st.At)
	}
	g := &growth{at: st.At, thinned: k.now()}
	if g.Tree, err = proof.Resume(st.Size, func(t proof.Tile) ([]tlog.Hash, error) { return k.store.Tile(ctx, t) }); err != nil {
		return nil, fmt.Errorf("audit tree of %d leaves: %w", st.Size, err)
	}
	if rest := st.Size % proof.Width; rest > 0 {
		var raw []byte
		if err := db.QueryRow(ctx, `select positions from annals_audit.tiles where level = 0 and n = $1`, st.Size/proof.Width).Scan(&raw); err != nil {
			return nil, fmt.Errorf("audit tree: %w", err)
		}
		if g.positions = places(raw); int64(len(g.positions)) != rest {
			return nil, fmt.Errorf("%w: its last tile has %d positions", ErrTampered, len(g.positions))
		}
	}
	c, err := k.store.Checkpoint(ctx)
	if errors.Is(err, ErrAbsent) {
		return g, nil
	}
	if err != nil {
		return nil, err
	}
	g.signed = c.Size
	return g, k.check(ctx, g, c)
}

// check holds the tree against the last checkpoint that was signed.
func (k *Keeper) check(ctx context.Context, g *growth, c Issued) error {
	signed, _, err := proof.Open(c.Note, k.key.Verifier)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTampered, err)
	}
	root := g.Root()
	if signed.Size > g.Size() {
		return fmt.Errorf("%w: it has %d leaves, and %d were signed", ErrTampered, g.Size(), signed.Size)
	}
	if signed.Size < g.Size() {
		if root, err = tlog.TreeHash(signed.Size, k.store.Hashes(ctx, signed.Size)); err != nil {
			return fmt.Errorf("audit tree: %w", err)
		}
	}
	if signed.Size != c.Size || signed.Root != root {
		return fmt.Errorf("%w: of its %d leaves", ErrTampered, signed.Size)
	}
	return nil
}

// LeafOf is the leaf of an event as it is stored.
func LeafOf(r *eventlog.Record) *proof.Leaf {
	return &proof.Leaf{
		Commit: r.Position.Commit, Prepare: r.Position.Prepare, Stream: r.Stream, Revision: uint64(r.Revision), //nolint:gosec // not negative
		ID: r.ID, Type: r.Type, Created: proof.Ticks(r.Stored.Created), JSON: r.Stored.JSON,
		Data: proof.Sum(r.Stored.Data), Metadata: proof.Sum(r.Stored.Metadata),
	}
}

// rows are tiles to be written.
type rows struct {
	levels, ns []int64
	hashes     [][]byte
	firsts     []*int64
	positions  [][]byte
}

func (r *rows) add(t proof.Tile, hashes []tlog.Hash, positions []eventlog.Position) {
	r.levels, r.ns, r.hashes = append(r.levels, int64(t.L)), append(r.ns, t.N), append(r.hashes, proof.Join(hashes))
	var first *int64
	var raw []byte
	if t.L == 0 {
		commit := int64(positions[0].Commit) //nolint:gosec // positions of logs have 63 bits
		first = &commit
		for _, p := range positions {
			raw = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(raw, p.Commit), p.Prepare)
		}
	}
	r.firsts, r.positions = append(r.firsts, first), append(r.positions, raw)
}

// grow adds the events of a run, in one transaction with how far the tree is. When that
// fails, the growth is not to be used any more.
func (k *Keeper) grow(ctx context.Context, g *growth, run feed.Run) error {
	from, before := g.at, g.Size()
	var out rows
	for i := range run.Records {
		r := &run.Records[i]
		if !proof.Covered(r.Stream) {
			continue
		}
		g.positions = append(g.positions, r.Position)
		g.Append(LeafOf(r).Hash(), func(t proof.Tile, hashes []tlog.Hash) {
			out.add(t, hashes, g.positions)
			if t.L == 0 {
				g.positions = g.positions[:0]
			}
		})
	}
	now := k.now()
	due := g.Size() > g.signed
	if g.Size() == before && !due && run.To.Compare(from) <= 0 {
		return nil
	}
	if g.Size() > before {
		for t, hashes := range g.Partial {
			out.add(t, hashes, g.positions)
		}
	}
	g.at = run.To
	err := pgx.BeginFunc(ctx, k.store.db, func(tx pgx.Tx) error {
		ct, err := tx.Exec(ctx, `update annals_audit.tree set size = $3, commit = $4, prepare = $5, updated_at = $6
			where size = $1 and commit = $2`, before, from.Commit, g.Size(), g.at.Commit, g.at.Prepare, now)
		if err != nil {
			return err
		}
		if ct.RowsAffected() != 1 {
			return errFenced
		}
		_, err = tx.Exec(ctx, `insert into annals_audit.tiles (level, n, hashes, first, positions)
			select * from unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[])
			on conflict (level, n) do update set hashes = excluded.hashes, positions = excluded.positions`,
			out.levels, out.ns, out.hashes, out.firsts, out.positions)
		if err != nil || !due {
			return err
		}
		return k.issue(ctx, tx, g, now)
	})
	if err != nil {
		return fmt.Errorf("audit tree after %s: %w", from, err)
	}
	if due {
		g.signed = g.Size()
	}
	return k.thin(ctx, g, now)
}

// issue signs what the tree is now.
func (k *Keeper) issue(ctx context.Context, tx pgx.Tx, g *growth, now time.Time) error {
	note, err := proof.Checkpoint{Origin: k.key.Name(), Size: g.Size(), Root: g.Root()}.Sign(k.key)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	_, err = tx.Exec(ctx, `insert into annals_audit.checkpoints (size, commit, prepare, note, issued_at) values ($1, $2, $3, $4, $5)`,
		g.Size(), g.at.Commit, g.at.Prepare, string(note), now)
	return err
}

// thin keeps of the checkpoints that are older than an hour the last of each hour, and
// the last of each that a witness has signed.
func (k *Keeper) thin(ctx context.Context, g *growth, now time.Time) error {
	if now.Sub(g.thinned) < thin {
		return nil
	}
	g.thinned = now
	_, err := k.store.db.Exec(ctx, `with old as (
			select size, date_trunc('hour', issued_at) as hour, exists (select from annals_audit.cosignatures s where s.size = c.size) as cosigned
			from annals_audit.checkpoints c where issued_at < $1)
		delete from annals_audit.checkpoints where size in (select size from (
			select size, row_number() over (partition by hour order by size desc) as nth, row_number() over (partition by hour, cosigned order by size desc) as nth_cosigned, cosigned from old) x
			where nth > 1 and (nth_cosigned > 1 or not cosigned))`, now.Add(-time.Hour))
	if err != nil {
		return fmt.Errorf("old checkpoints: %w", err)
	}
	return nil
}
