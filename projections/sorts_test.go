package projections

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// An index comes into being when it is asked for, is made of what is built anew as well,
// and goes when nobody has asked for it for long.
func TestSorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	w.client(w.company(), 1)
	w.caughtUp(r)
	db, err := pgxpool.New(t.Context(), w.cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const expression = "left(keys ->> 'custom.it''s', 200) collate \"C\""
	for _, name := range []string{"custom.it's", "another name of it"} {
		if err := Want(t.Context(), db, name, expression); err != nil {
			t.Fatal(err)
		}
	}
	there := func(want int) func() bool {
		return func() bool {
			var shown, valid int
			w.scan(`select (select count(*) from annals_read.sorts), (select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid
				where c.relname = $1 and i.indisvalid and c.relnamespace = (select schema from annals_projections.active where projector = 'clients')::regnamespace)`, sortIndex(expression))(&shown, &valid)
			return shown == 2*want && valid == want
		}
	}
	until(t, "the index is there", there(1))
	if err := Rebuild(t.Context(), w.cfg, clients.Name); err != nil {
		t.Fatal(err)
	}
	if !there(1)() {
		t.Error("what was built anew has no index")
	}
	w.exec(`update annals_projections.sorts set used_at = now() - interval '91 days'`)
	until(t, "the index is gone", there(0))
}
