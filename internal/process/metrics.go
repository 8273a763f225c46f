package process

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"annals/internal/eventlog"
)

// metrics are what a Runner tells Prometheus.
type metrics struct {
	r      *Runner
	events prometheus.Counter

	lag, position, parked, failing *prometheus.Desc
}

// scrape bounds how long answering Prometheus may take.
const scrape = 5 * time.Second

func newMetrics(r *Runner) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &metrics{
		r:        r,
		events:   prometheus.NewCounter(prometheus.CounterOpts{Name: "annals_process_events_total", Help: "Events that this process took past its process managers."}),
		lag:      desc("annals_process_lag_seconds", "For how long the first event of the log that the process manager has not handled has been there.", "process_manager"),
		position: desc("annals_process_position", "The position of the log up to which the process manager has handled everything.", "process_manager"),
		parked:   desc("annals_process_parked_events", "Events that were set aside since they could not be handled.", "process_manager"),
		failing:  desc("annals_process_failing", "1 while the process managers cannot go on in this process."),
	}
}

// Collector returns the Runner's metrics, to be registered once.
func (r *Runner) Collector() prometheus.Collector { return r.metrics }

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.events.Describe(out)
	for _, d := range []*prometheus.Desc{m.lag, m.position, m.parked, m.failing} {
		out <- d
	}
}

// Collect implements [prometheus.Collector]. What cannot be had just now is left out,
// so that it shows as missing and not as fine.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.events.Collect(out)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	m.r.mu.Lock()
	failing := 0.0
	if m.r.err != nil {
		failing = 1
	}
	m.r.mu.Unlock()
	gauge(m.failing, failing)
	ctx, cancel := context.WithTimeout(context.Background(), scrape)
	defer cancel()
	rows, err := m.r.pool.Query(ctx, `select c.handler, c.commit, c.prepare, (select count(*) from annals_process.parked p where p.handler = c.handler)
		from annals_process.checkpoints c where c.handler = any($1)`, m.r.names())
	if err != nil {
		return
	}
	head, headErr := m.r.cfg.Log.Head(ctx)
	lags := map[eventlog.Position]time.Duration{} // mostly they are all at the same
	var name string
	var at eventlog.Position
	var parked int
	_, _ = pgx.ForEachRow(rows, []any{&name, &at.Commit, &at.Prepare, &parked}, func() error {
		gauge(m.position, float64(at.Commit), name)
		gauge(m.parked, float64(parked), name)
		d, known := lags[at]
		if !known && headErr == nil {
			d, known = m.r.lag(ctx, at, head)
			lags[at] = d
		}
		if known {
			gauge(m.lag, d.Seconds(), name)
		}
		return nil
	})
}

// lag says for how long the first event after a position has been there. A head beyond
// the position alone proves nothing: not all of the log is events of aggregates.
func (r *Runner) lag(ctx context.Context, at, head eventlog.Position) (_ time.Duration, known bool) {
	if at.Compare(head) >= 0 {
		return 0, true
	}
	for item, err := range r.cfg.Log.Subscribe(ctx, at) {
		switch {
		case err != nil:
			return 0, false
		case item.Record != nil:
			return max(0, r.cfg.Now().Sub(item.Record.Meta.At)), true
		case item.Live:
			return 0, true
		}
	}
	return 0, false
}
