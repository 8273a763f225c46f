package projections

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// byKey has PostgreSQL find rows by their keys, whatever it thinks of tables that
// it knows little about yet: a projector looks for them in no other way.
var byKey = map[string]string{
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off", "client_min_messages": "warning",
}

const (
	many = 128 // statements are worth being sorted
	few  = 16  // updates are not worth being copied
)

// segment is statements that can be done in another order: first the inserts, and
// then the updates in waves, each of which has at most one for a row.
type segment struct {
	inserts map[*Insert][][]any
	waves   []wave
	depth   map[pgtype.UUID]int // in how many waves the row has been
}

// wave is updates of rows that all differ.
type wave map[*Update][]*pgx.QueuedQuery

// inBulk runs statements to the same effect as one after the other.
func (t *tables) inBulk(ctx context.Context, tx pgx.Tx, statements []*pgx.QueuedQuery) error {
	inserts, updates := map[string]*Insert{}, map[string]*Update{}
	for _, i := range t.p.Inserts {
		inserts[i.sql] = i
	}
	for _, u := range t.p.Updates {
		updates[u.sql] = u
	}
	s := &segment{}
	used := map[*Update]bool{} // in this transaction
	var others pgx.Batch       // statements that keep their place
	for _, q := range statements {
		i, u := inserts[q.SQL], updates[q.SQL]
		if i == nil && u == nil {
			if err := t.run(ctx, tx, s, used); err != nil {
				return err
			}
			s = &segment{}
			others.QueuedQueries = append(others.QueuedQueries, q)
			continue
		}
		if err := send(ctx, tx, &others); err != nil {
			return err
		}
		if i != nil {
			s.insert(i, q)
		} else {
			s.update(u, q)
		}
	}
	if err := t.run(ctx, tx, s, used); err != nil {
		return err
	}
	return send(ctx, tx, &others)
}

// send runs what is queued and empties the batch.
func send(ctx context.Context, tx pgx.Tx, b *pgx.Batch) error {
	if len(b.QueuedQueries) == 0 {
		return nil
	}
	err := tx.SendBatch(ctx, b).Close()
	*b = pgx.Batch{}
	return err
}

func (s *segment) insert(i *Insert, q *pgx.QueuedQuery) {
	if s.inserts == nil {
		s.inserts = map[*Insert][][]any{}
	}
	s.inserts[i] = append(s.inserts[i], q.Arguments)
}

func (s *segment) update(u *Update, q *pgx.QueuedQuery) {
	if s.depth == nil {
		s.depth = map[pgtype.UUID]int{}
	}
	key, _ := q.Arguments[0].(pgtype.UUID)
	n := s.depth[key]
	s.depth[key]++
	if n == len(s.waves) {
		s.waves = append(s.waves, wave{})
	}
	s.waves[n][u] = append(s.waves[n][u], q)
}

func (t *tables) run(ctx context.Context, tx pgx.Tx, s *segment, used map[*Update]bool) error {
	for _, i := range t.p.Inserts {
		if rows := s.inserts[i]; len(rows) > 0 {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{i.table}, i.columns, pgx.CopyFromRows(rows)); err != nil {
				return fmt.Errorf("copy into %s: %w", i.table, err)
			}
		}
	}
	for _, w := range s.waves {
		var small pgx.Batch
		for n, u := range t.p.Updates {
			switch queued := w[u]; {
			case len(queued) < few:
				small.QueuedQueries = append(small.QueuedQueries, queued...)
			default:
				if err := t.updateMany(ctx, tx, n, u, queued, used[u]); err != nil {
					return fmt.Errorf("update %s: %w", u.table, err)
				}
				used[u] = true
			}
		}
		if err := send(ctx, tx, &small); err != nil {
			return err
		}
	}
	return nil
}

var param = regexp.MustCompile(`\$(\d+)`)

// updateMany copies the parameters into a temporary table, and updates from there.
func (t *tables) updateMany(ctx context.Context, tx pgx.Tx, n int, u *Update, queued []*pgx.QueuedQuery, again bool) error {
	if err := t.stage(ctx, tx); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	staging := fmt.Sprintf("staged_%d", n)
	rows := make([][]any, len(queued))
	columns := make([]string, len(queued[0].Arguments))
	for i, q := range queued {
		rows[i] = q.Arguments
	}
	for i := range columns {
		columns[i] = fmt.Sprintf("p%d", i+1)
	}
	if again {
		if _, err := tx.Exec(ctx, "truncate "+staging); err != nil {
			return err
		}
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", staging}, columns, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	ct, err := tx.Exec(ctx, fmt.Sprintf("update %s set %s from %s s where %[1]s.%[4]s = s.p1", u.table, param.ReplaceAllString(u.set, "s.p$1"), staging, u.key))
	if err != nil {
		return err
	}
	return u.changed(ct, int64(len(rows)))
}

// stage makes the temporary tables: for every update one, with its parameters as columns.
func (t *tables) stage(ctx context.Context, tx pgx.Tx) error {
	pid := tx.Conn().PgConn().PID()
	if t.staged[pid] {
		return nil
	}
	for n, u := range t.p.Updates {
		desc, err := tx.Prepare(ctx, u.sql, u.sql)
		if err != nil {
			return err
		}
		var columns []string
		for i, oid := range desc.ParamOIDs {
			var typ string
			if err := tx.QueryRow(ctx, `select format_type($1, null)`, oid).Scan(&typ); err != nil {
				return err
			}
			columns = append(columns, fmt.Sprintf("p%d %s", i+1, typ))
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("create temp table if not exists staged_%d (%s) on commit delete rows", n, strings.Join(columns, ", "))); err != nil {
			return err
		}
	}
	if t.staged == nil {
		t.staged = map[uint32]bool{}
	}
	t.staged[pid] = true
	return nil
}
