// Package audit keeps the proof of the log: a Merkle tree over every stored event, in
// the log's order, and its signed checkpoints. See package proof for what is hashed and
// signed.
package audit

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"annals/domain"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

//go:embed schema.sql
var schema string

// ErrAbsent means that the tree does not have what was asked for.
var ErrAbsent = errors.New("the tree does not have it")

// Store is the tree as it is kept in PostgreSQL. It is safe for concurrent use.
type Store struct {
	db    *pgxpool.Pool
	tiles *lru.Cache[proof.Tile, []tlog.Hash] // whole ones, which never change
}

// tilesCached bounds the memory of a store to 16 MB.
const tilesCached = 2048

// Open returns the tree in the pool's database, and creates what it needs there.
func Open(ctx context.Context, db *pgxpool.Pool) (*Store, error) {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_audit'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("schema of the audit tree: %w", err)
	}
	return View(db), nil
}

// View is the tree in the pool's database, which somebody else has opened.
func View(db *pgxpool.Pool) *Store {
	tiles, err := lru.New[proof.Tile, []tlog.Hash](tilesCached)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Store{db, tiles}
}

// State is how far the tree is.
type State struct {
	Origin string // empty while there is no tree
	Public string // key that verifies its checkpoints
	Size   int64
	At     eventlog.Position // of the last leaf
}

// State is how far the tree is.
func (s *Store) State(ctx context.Context) (st State, err error) {
	err = s.db.QueryRow(ctx, `select origin, public, size, commit, prepare from annals_audit.tree`).Scan(&st.Origin, &st.Public, &st.Size, &st.At.Commit, &st.At.Prepare)
	if errors.Is(err, pgx.ErrNoRows) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("audit tree: %w", err)
	}
	return st, nil
}

// Tile is the hashes of a tile; there may be more than were asked for.
func (s *Store) Tile(ctx context.Context, t proof.Tile) ([]tlog.Hash, error) {
	whole := proof.Tile{L: t.L, N: t.N, W: proof.Width}
	if hashes, ok := s.tiles.Get(whole); ok {
		return hashes, nil
	}
	var raw []byte
	err := s.db.QueryRow(ctx, `select hashes from annals_audit.tiles where level = $1 and n = $2`, t.L, t.N).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && len(raw) < t.W*tlog.HashSize {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("tile %s: %w", t.Path(), err)
	}
	hashes, err := proof.Split(raw)
	if err != nil {
		return nil, fmt.Errorf("tile %s: %w", t.Path(), err)
	}
	if len(hashes) == proof.Width {
		s.tiles.Add(whole, hashes)
	}
	return hashes, nil
}

// Hashes reads the hashes of the tree as it was when it had size leaves. One goroutine
// may use it.
func (s *Store) Hashes(ctx context.Context, size int64) tlog.HashReader {
	edge := map[proof.Tile][]tlog.Hash{} // the tiles that are not whole: as many as there are levels
	return proof.Reader(size, func(t proof.Tile) ([]tlog.Hash, error) {
		if hashes, ok := edge[t]; ok {
			return hashes, nil
		}
		hashes, err := s.Tile(ctx, t)
		if err == nil && t.W < proof.Width {
			edge[t] = hashes
		}
		return hashes, err
	})
}

// Index is which leaf the event at a position is.
func (s *Store) Index(ctx context.Context, at eventlog.Position) (int64, error) {
	if at.Commit > 1<<63-1 {
		return 0, ErrAbsent
	}
	var n int64
	var raw []byte
	err := s.db.QueryRow(ctx, `select n, positions from annals_audit.tiles where level = 0 and first <= $1 order by first desc limit 1`, at.Commit).Scan(&n, &raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrAbsent
	}
	if err != nil {
		return 0, fmt.Errorf("leaf at %s: %w", at, err)
	}
	positions := places(raw)
	i := sort.Search(len(positions), func(i int) bool { return positions[i].Compare(at) >= 0 })
	if i == len(positions) || positions[i] != at {
		return 0, ErrAbsent
	}
	return n*proof.Width + int64(i), nil
}

// Leaves yields the positions and hashes of the leaves from the nth on, as they are
// stored.
func (s *Store) Leaves(ctx context.Context, n int64, yield func(eventlog.Position, tlog.Hash) error) error {
	const portion = 64 // tiles at a time
	for tile := n / proof.Width; ; tile += portion {
		rows, _ := s.db.Query(ctx, `select n, hashes, positions from annals_audit.tiles where level = 0 and n >= $1 and n < $2 order by n`, tile, tile+portion) // the error comes back from the rows
		var at int64
		var hashes, positions []byte
		read := 0
		_, err := pgx.ForEachRow(rows, []any{&at, &hashes, &positions}, func() error {
			all, err := proof.Split(hashes)
			where := places(positions)
			if err != nil || at != tile+int64(read) || len(all) != len(where) {
				return fmt.Errorf("tile 0/%d does not follow the one before it, or is damaged", at)
			}
			read++
			for i := range all {
				if at*proof.Width+int64(i) < n {
					continue
				}
				if err := yield(where[i], all[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("leaves: %w", err)
		}
		if read < portion {
			return nil
		}
	}
}

// places reads the positions of a tile.
func places(raw []byte) []eventlog.Position {
	all := make([]eventlog.Position, len(raw)/16)
	for i := range all {
		all[i] = eventlog.Position{Commit: binary.BigEndian.Uint64(raw[16*i:]), Prepare: binary.BigEndian.Uint64(raw[16*i+8:])}
	}
	return all
}

// Issued is a signed checkpoint.
type Issued struct {
	Size   int64
	At     eventlog.Position // of the last leaf
	Note   []byte            // with the signatures of witnesses
	Issued time.Time
	By     int // witnesses that have signed it
}

const issued = `select c.size, c.commit, c.prepare, c.note || coalesce((select string_agg(line, '' order by witness) from annals_audit.cosignatures s where s.size = c.size), ''),
	c.issued_at, (select count(*) from annals_audit.cosignatures s where s.size = c.size) from annals_audit.checkpoints c `

func (s *Store) issued(ctx context.Context, where string, args ...any) (c Issued, err error) {
	err = s.db.QueryRow(ctx, issued+where, args...).Scan(&c.Size, &c.At.Commit, &c.At.Prepare, &c.Note, &c.Issued, &c.By)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, ErrAbsent
	}
	if err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

// Checkpoint is the latest checkpoint.
func (s *Store) Checkpoint(ctx context.Context) (Issued, error) {
	return s.issued(ctx, `order by c.size desc limit 1`)
}

// CheckpointFor is the checkpoint to prove leaves below size with: the latest that a
// witness has signed, if there is one that is large enough, or else the latest.
func (s *Store) CheckpointFor(ctx context.Context, size int64) (Issued, error) {
	c, err := s.issued(ctx, `where c.size >= $1 and exists (select from annals_audit.cosignatures s where s.size = c.size) order by c.size desc limit 1`, size)
	if errors.Is(err, ErrAbsent) {
		c, err = s.issued(ctx, `where c.size >= $1 order by c.size desc limit 1`, size)
	}
	return c, err
}

// CheckpointAt is the checkpoint of a tree of that size.
func (s *Store) CheckpointAt(ctx context.Context, size int64) (Issued, error) {
	return s.issued(ctx, `where c.size = $1`, size)
}

// CheckpointOver is the first checkpoint that has the event at the position.
func (s *Store) CheckpointOver(ctx context.Context, at eventlog.Position) (Issued, error) {
	return s.issued(ctx, `where (c.commit, c.prepare) >= ($1, $2) order by c.size limit 1`, at.Commit, at.Prepare)
}

// Cosign adds what a witness has signed: the line under the checkpoint of that size.
func (s *Store) Cosign(ctx context.Context, size int64, log note.Verifier, w proof.Witness, line []byte) error {
	var bare string
	err := s.db.QueryRow(ctx, `select note from annals_audit.checkpoints where size = $1`, size).Scan(&bare)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrAbsent
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	_, by, err := proof.Open(append([]byte(bare), line...), log, w)
	if err != nil || len(by) != 1 {
		return domain.Errorf(domain.Forbidden, "audit.signature", "the signature of %s does not hold", w.Name())
	}
	_, err = s.db.Exec(ctx, `insert into annals_audit.cosignatures (size, witness, line, signed_at) values ($1, $2, $3, $4)
		on conflict (size, witness) do update set line = excluded.line, signed_at = excluded.signed_at`, size, w.Name(), string(line), by[0].At)
	if err != nil {
		return fmt.Errorf("cosignature: %w", err)
	}
	return nil
}
