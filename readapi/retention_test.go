package readapi

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/eventlog"
)

// However many clients there are, all who are due are found, each once, by statements that
// look at a bounded number.
func TestDueInParts(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	rule, now := uuid.New(), time.Now().UTC()
	const clients, every = 2*dueAtOnce + dueAtOnce/2, 1000
	m.exec(t, `insert into retention_rules (id, name, statuses, since, days, action, created_at, updated_at) values ($1, 'Old', '{lead}', 'created', 30, 'erase', now(), current_timestamp)`, rule)
	m.exec(t, `insert into clients (id, status, created_at, since, updated_at, revision, held)
		select gen_random_uuid(), case n % 2 when 0 then 'lead' else 'active' end, $1::timestamptz - interval '30 days' + case n % $2::int when 0 then interval '0' else interval '1 microsecond' end, now(), current_timestamp, 0, n % ($2::int * 5) = 0
		from generate_series(1, $3::int) n`, now.Truncate(time.Microsecond), every, clients)
	var found []uuid.UUID
	parts := 0
	for from := (domain.ID{}); ; parts++ {
		due, next, err := m.Directory().Due(t.Context(), rule, now, from, eventlog.Position{})
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, due...)
		if from = next; next == (domain.ID{}) {
			break
		}
	}
	if n := len(found); n != clients/every*4/5 || parts != 2 || !slices.IsSortedFunc(found, domain.CompareIDs) || len(slices.Compact(found)) != n {
		t.Errorf("%d of %d were found, in %d parts", n, clients/every*4/5, parts+1)
	}
	if due, next, err := m.Directory().Due(t.Context(), uuid.New(), now, domain.ID{}, eventlog.Position{}); len(due) > 0 || next != (domain.ID{}) || err != nil {
		t.Errorf("by no rule: %v %s %v", due, next, err)
	}
}
