// Package projections keeps the read models: each projector turns the events of
// the log into SQL on tables that only it writes.
//
// A run of events and the checkpoint past it are committed together, and moving
// the checkpoint is the first statement: its row is the lock, the fence that
// keeps a second process out, and the progress. Whatever is in a read model can
// be dropped and built again from the log, with the same result; TestRebuildEqualsLive
// holds that. To change a read model, change its SQL and raise its Version.
package projections

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"annals/internal/eventlog"
)

// A Projector is a read model: some tables and how they follow from events.
type Projector struct {
	Name    string
	Version int    // raise it to have the tables built anew, beside the old ones, from the start of the log
	Tables  string // SQL that creates the tables, each with a primary key
	Indexes string // SQL that creates the other indexes, run when the tables are filled: "create index if not exists name …;"
	// Apply queues what an event changes. It depends on the event alone, so that it
	// can be repeated anywhere: no clock, no randomness, no I/O. Tables need no
	// schema before their names. A statement that fails, a panic included, parks
	// the event's stream.
	Apply func(*pgx.Batch, *eventlog.Record)
	// Inserts are those of Apply's statements that add one row and do not mind
	// being run before the statements around them. A build copies their rows.
	Inserts []*Insert
}

// Schema is the PostgreSQL schema of the projector's version.
func (p *Projector) Schema() string { return fmt.Sprintf("%s_v%d", p.Name, p.Version) }

// copied finds the Insert that a queued statement came from.
func (p *Projector) copied() map[string]*Insert {
	m := make(map[string]*Insert, len(p.Inserts))
	for _, i := range p.Inserts {
		m[i.sql] = i
	}
	return m
}

// An Insert is a statement that adds one row.
type Insert struct {
	table   string
	columns []string
	sql     string
}

// NewInsert returns the statement that adds a row with values for the columns.
func NewInsert(table string, columns ...string) *Insert {
	params := make([]string, len(columns))
	for i := range columns {
		params[i] = fmt.Sprintf("$%d", i+1)
	}
	return &Insert{table, columns, fmt.Sprintf("insert into %s (%s) values (%s)", table, strings.Join(columns, ", "), strings.Join(params, ", "))}
}

// Queue adds a row with these values, in the order of the columns.
func (i *Insert) Queue(b *pgx.Batch, values ...any) {
	if len(values) != len(i.columns) {
		panic(fmt.Sprintf("%d values for the %d columns of %s", len(values), len(i.columns), i.table))
	}
	b.Queue(i.sql, values...)
}
