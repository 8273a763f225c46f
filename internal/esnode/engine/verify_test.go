package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"annals/internal/esnode/engine"
	"annals/internal/postgres/pgtest"
)

func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	e := open(t, engine.Options{Database: url})
	a, b, ended := newStream(), newStream(), newStream()
	mustAppend(t, e, a, engine.NoStream, proposed(300))
	mustAppend(t, e, b, engine.NoStream, proposed(5))
	mustAppend(t, e, ended, engine.NoStream, proposed(2))
	if _, err := e.Tombstone(t.Context(), ended, engine.Any); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, url); r.Events != 306 || r.Streams != 3 || r.Faults != 0 {
		t.Errorf("a sound log: %+v", r)
	}
	conn := connect(t, url)
	r, err := engine.Verify(t.Context(), conn, func(event *engine.Event) error {
		if event.Stream == b && event.Revision == 3 {
			return errors.New("nonsense")
		}
		return nil
	})
	if err != nil || r.Faults != 1 || !strings.Contains(r.Problems[0].String(), "nonsense") || r.Problems[0].Stream != b {
		t.Errorf("check is not asked: %+v, %v", r, err)
	}
	for damage, want := range map[string]string{
		`delete from annals_log.events where revision = 7`:                                            "revision 8 follows 6",
		`delete from annals_log.events where stream = '` + b + `' and revision = 0`:                   "begins at revision 1",
		`update annals_log.events set id = '00000000-0000-0000-0000-000000000000' where revision = 9`: "id is zero",
		`update annals_log.events set type = '' where revision = 9`:                                   "type is empty",
		`update annals_log.events set position = -4 where revision = 9`:                               "not positive",
		`update annals_log.events set position = 100000 where stream = '` + a + `' and revision = 9`:  "stands before",
		`update annals_log.events set revision = 1 where type = '$streamDeleted'`:                     "begins at revision 1",
		`update annals_log.events set stream = '` + b + `' where type = '$streamDeleted'`:             "has other events still",
		`update annals_log.events set type = 'x' where type = '$streamDeleted'`:                       "where a tombstone does",
		`update annals_log.events set stream = '' where revision = 9`:                                 "no name",
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), damage); err != nil {
			t.Fatalf("%s: %v", damage, err)
		}
		r, err := engine.Verify(t.Context(), nested{tx}, nil)
		if err != nil {
			t.Fatalf("%s: %v", damage, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, p := range r.Problems {
			found = found || strings.Contains(p.String(), want)
		}
		if !found || r.Faults == 0 {
			t.Errorf("%s: %v, want %q", damage, r.Problems, want)
		}
	}
}

// nested begins a transaction within one, so that damage can be taken back.
type nested struct{ pgx.Tx }

func (n nested) BeginTx(ctx context.Context, _ pgx.TxOptions) (pgx.Tx, error) { return n.Begin(ctx) }
