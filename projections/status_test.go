package projections

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"annals/internal/eventlog"
)

// Read models that show what the log does not have are not gone on with, and say so.
func TestForeignLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.run()
	for n := range 5 {
		w.client(w.company(), n)
	}
	w.caughtUp(r)
	stop()
	other := newWorld(t)
	other.client(other.company(), 1)
	w.log, w.cfg.Log, w.head = other.log, other.log, other.head
	r, _ = w.run()
	until(t, "it shows", func() bool { return errors.Is(r.Ready(t.Context()), errForeign) })
	var n int
	w.scan(`select count(*) from annals_read.clients`)(&n)
	if n != 5 {
		t.Errorf("%d clients", n)
	}
	for _, p := range All {
		if err := Rebuild(t.Context(), w.cfg, p.Name); err != nil {
			t.Fatal(err)
		}
	}
	w.caughtUp(r)
	w.scan(`select count(*) from annals_read.clients`)(&n)
	if n != 1 {
		t.Errorf("%d clients", n)
	}
	w.verified()
}

// What only the database's owner can mend ends the runner with an explanation.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`do $$ begin if not exists (select from pg_roles where rolname = 'annals_nobody') then create role annals_nobody login; end if; end $$`)
	w.cfg.Database = strings.Replace(w.url, "user=postgres", "user=annals_nobody", 1)
	err := NewRunner(w.cfg).Run(t.Context())
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" {
		t.Errorf("the runner ended with %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var hold sync.RWMutex
	slow := *clients
	slow.Apply = func(b *pgx.Batch, rec *eventlog.Record) {
		hold.RLock()
		defer hold.RUnlock()
		clients.Apply(b, rec)
	}
	r, _ := w.run(&slow)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(r.Collector())
	c := w.company()
	w.caughtUp(r)
	hold.Lock()
	w.client(c, 1) // its time is far in the past
	got := map[string]float64{}
	gather := func() {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	gather()
	if got["annals_projection_lag_seconds"] < 60 || got["annals_log_head_position"] != float64(w.head.Commit) || got["annals_projection_position"] >= got["annals_log_head_position"] {
		t.Errorf("while the projector is held: %v", got)
	}
	hold.Unlock()
	w.caughtUp(r)
	for got["annals_projection_events_total"] == 0 && t.Context().Err() == nil { // counted when it has been committed
		time.Sleep(5 * time.Millisecond)
		gather()
	}
	if got["annals_projection_lag_seconds"] != 0 || got["annals_projection_position"] != got["annals_log_head_position"] || got["annals_projection_events_total"] == 0 {
		t.Errorf("when it has caught up: %v", got)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
