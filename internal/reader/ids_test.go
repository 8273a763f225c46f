package reader_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/postgres/pgtest"
)

// Ids go to and fro alone, in arrays, and as what may be null.
func TestIDs(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Database(t))
	one, two := uuid.UUID{1, 15: 2}, uuid.New()
	var id, null uuid.UUID
	var some, nothing *uuid.UUID
	var all []uuid.UUID
	var text string
	var perhaps []*uuid.UUID
	null = one
	var b pgx.Batch
	b.Queue(`select $1::uuid, $2::uuid, $3::uuid, null::uuid, $4::uuid[], $4::uuid[]::text, null::uuid, $5::uuid[]`, one, &two, two.String(), []uuid.UUID{two, one}, []*uuid.UUID{&one, nil}).
		QueryRow(func(r pgx.Row) error {
			var third uuid.UUID
			err := r.Scan(&id, &some, &third, &null, &all, &text, &nothing, &perhaps)
			if third != two {
				t.Errorf("from a text %s, want %s", third, two)
			}
			return err
		})
	if err := db.Ask(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if id != one || some == nil || *some != two || null != uuid.Nil || nothing != nil {
		t.Errorf("%s %v %s %v", id, some, null, nothing)
	}
	if !slices.Equal(all, []uuid.UUID{two, one}) || text != "{"+two.String()+","+one.String()+"}" {
		t.Errorf("%v %s", all, text)
	}
	if len(perhaps) != 2 || perhaps[0] == nil || *perhaps[0] != one || perhaps[1] != nil {
		t.Errorf("%v", perhaps)
	}
}
