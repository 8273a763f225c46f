package projections

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a Runner tells Prometheus.
type metrics struct {
	r      *Runner
	events *prometheus.CounterVec

	lag, position, parked, failed, head *prometheus.Desc
}

// scrape bounds how long answering Prometheus may take.
const scrape = 5 * time.Second

func newMetrics(r *Runner) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &metrics{
		r: r,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_projection_events_total", Help: "Events that this process brought into the read model.",
		}, []string{"projector"}),
		lag:      desc("annals_projection_lag_seconds", "For how long the first event of the log that the read model does not show has been there.", "projector"),
		position: desc("annals_projection_position", "The position of the log up to which the read model shows everything.", "projector"),
		parked:   desc("annals_projection_parked_streams", "Streams that wait to be resumed since an event of theirs failed.", "projector"),
		failed:   desc("annals_projection_last_error_timestamp_seconds", "When the projector last failed; 0 if it never did.", "projector"),
		head:     desc("annals_log_head_position", "The position of the last event of the log."),
	}
}

// Collector returns the Runner's metrics, to be registered once.
func (r *Runner) Collector() prometheus.Collector { return r.metrics }

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.events.Describe(out)
	for _, d := range []*prometheus.Desc{m.lag, m.position, m.parked, m.failed, m.head} {
		out <- d
	}
}

// Collect implements [prometheus.Collector]. What cannot be had just now is left
// out, so that it shows as missing and not as fine.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.events.Collect(out)
	m.r.mu.Lock()
	e := m.r.engine
	m.r.mu.Unlock()
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrape)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	head, headErr := e.Log.Head(ctx)
	if headErr == nil {
		gauge(m.head, float64(head.Commit))
	}
	all, err := stored(ctx, e.pool)
	if err != nil {
		return
	}
	for _, s := range all {
		if s.State != live {
			continue
		}
		gauge(m.position, float64(s.Position.Commit), s.Name)
		gauge(m.parked, float64(len(s.Parked)), s.Name)
		if headErr == nil {
			if _, d, err := lag(ctx, sourceOf(e.Log, s.Name), s.Position, head); err == nil {
				gauge(m.lag, d.Seconds(), s.Name)
			}
		}
		failed := 0.0
		if !s.ErrorAt.IsZero() {
			failed = float64(s.ErrorAt.Unix())
		}
		gauge(m.failed, failed, s.Name)
	}
}
