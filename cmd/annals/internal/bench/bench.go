// Package bench measures how fast Annals is on the machine at hand: each figure
// beside the limit of what it stands on, measured in the same run, since only the
// ratio of the two says something about the program.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config says what is measured, on what, and for how long.
type Config struct {
	Names      []string       // of the measurements; all if empty
	Database   Database       // each measurement begins with an empty one
	Serve      Serve          // starts the whole of Annals
	Events     int            // in the log that a read model is rebuilt from
	Clients    int            // in the list of which first pages are read
	Lists      *regexp.Regexp // of which lists are measured, by who asks and for what; nil: all
	Activities int            // of the client with very many of them
	Duration   time.Duration  // of each part that is repeated for a while
	Profile    string         // folder for CPU profiles; empty for none
	Logger     *slog.Logger   // what is being done, and what the parts complain about
	App        string         // software version
}

// Database hands out an empty database and what removes it again.
type Database func(ctx context.Context) (url string, remove func(context.Context) error, err error)

// Serve starts Annals on a database, the log included, and signs in.
type Serve func(ctx context.Context, database string) (*Server, error)

// Server is a running Annals.
type Server struct {
	URL   string
	Token string // of an administrator
	Stop  func() error
}

// Figure is one line of the report.
type Figure struct {
	Name    string        `json:"name"`               // of the measurement
	What    string        `json:"what"`               // was measured
	Value   float64       `json:"value"`              // in Unit
	Unit    string        `json:"unit"`               //
	P50     time.Duration `json:"p50_ns,omitempty"`   // of how long each took
	P99     time.Duration `json:"p99_ns,omitempty"`   //
	Limit   float64       `json:"limit,omitempty"`    // in LimitUnit
	LimitIs string        `json:"limit_is,omitempty"` // what the limit is
	Ratio   float64       `json:"ratio,omitempty"`    // Value to Limit
	Target  string        `json:"target,omitempty"`   //
	Met     *bool         `json:"met,omitempty"`      // nil without a target
	Note    string        `json:"note,omitempty"`     //
}

// Report is the outcome of a run.
type Report struct {
	Machine  string    `json:"machine"`
	Figures  []Figure  `json:"figures"`
	Profiles []Profile `json:"profiles,omitempty"`
}

// measurement is one of those that can be asked for.
type measurement struct {
	name, short string
	run         func(*run, context.Context) error
}

// all are in the order in which they run.
var all = []measurement{
	{"append", "durable appends of single events through the official client", (*run).appends},
	{"subscribe", "catching up with the log through the official client", (*run).subscribes},
	{"commands", "mixed commands over HTTP", (*run).commands},
	{"rebuild", "a read model built anew from the log", (*run).rebuilds},
	{"access", "first pages of a large list, for people who see little and much of it", (*run).access},
	{"list", "lists of clients by sorts, filters, searches and counts, with many readers while clients change", (*run).list},
	{"audit", "the tree over the log, proofs, and bundles of events", (*run).audits},
	{"record", "the feed of a client with very many activities, against one with ten", (*run).record},
	{"events", "events delivered to webhooks, and pulled by who follows", (*run).events},
	{"fresh", "from a command acknowledged to the list showing it", (*run).fresh},
}

// Names lists the measurements, with what each is about.
func Names() [][2]string {
	var names [][2]string
	for _, m := range all {
		names = append(names, [2]string{m.name, m.short})
	}
	return names
}

// Check says which of the names is not that of a measurement.
func Check(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(m measurement) bool { return m.name == name }) {
			var known []string
			for _, m := range all {
				known = append(known, m.name)
			}
			return fmt.Errorf("there is no measurement %q, only %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// run is a run under way.
type run struct {
	Config
	report   *Report
	appended float64 // events a second, once measured
}

// Run measures. The report holds what was measured before an error.
func Run(ctx context.Context, cfg Config) (Report, error) {
	report := Report{Machine: machine()}
	if err := Check(cfg.Names); err != nil {
		return report, err
	}
	r := &run{Config: cfg, report: &report}
	for _, m := range all {
		if len(cfg.Names) > 0 && !slices.Contains(cfg.Names, m.name) {
			continue
		}
		if err := m.run(r, ctx); err != nil {
			return report, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if cfg.Profile == "" {
		report.telling()
	}
	return report, nil
}

// add notes a figure, with its ratio to the limit.
func (r *run) add(f Figure) {
	if f.Limit != 0 {
		f.Ratio = f.Value / f.Limit
	}
	r.report.Figures = append(r.report.Figures, f)
}

// with runs f on an empty database.
func (r *run) with(ctx context.Context, f func(url string) error) error {
	url, remove, err := r.Database(ctx)
	if err != nil {
		return err
	}
	err = f(url)
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, remove(removing))
}

// now is the clock of every measurement.
func now() time.Time { return time.Now() } //nolint:forbidigo // measuring is reading the clock
