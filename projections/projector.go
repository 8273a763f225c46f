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
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/internal/eventlog"
)

// A Projector is a read model: some tables and how they follow from events.
type Projector struct {
	Name    string
	Version int // raise it to have the tables built anew, beside the old ones, from the start of the log
	// SQL that creates the tables, each with a primary key, and with policies of
	// row-level security that say who sees which rows: by the settings of package
	// access, and without a policy nobody.
	Tables string
	Found  []string // of the tables, those in which clients are found by who says what they may see; see package reader
	// Looks has the projector given the access log too, which others are spared.
	Looks bool
	// SQL that derives from tables that are filled what others of them hold, and creates the
	// triggers that keep those up from then on.
	Derive  string
	Indexes string // SQL that creates the other indexes, run when the tables are filled: "create index if not exists name …;"
	// Apply queues what an event changes. It depends on the event alone, so that it
	// can be repeated anywhere: no clock, no randomness, no I/O. Tables need no
	// schema before their names. A statement that fails, a panic included, parks
	// the event's stream.
	Apply func(*pgx.Batch, *eventlog.Record)
	// Inserts and Updates are those of Apply's statements that a build may take
	// together for many events, which is what makes it fast.
	Inserts []*Insert
	Updates []*Update
}

// Schema is the PostgreSQL schema of the projector's version.
func (p *Projector) Schema() string { return fmt.Sprintf("%s_v%d", p.Name, p.Version) }

// An Insert is a statement that adds one row, and does not mind being run before
// the updates around it.
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

// An Update is a statement that changes one row, by its key, and nothing else.
type Update struct {
	table, key, set string
	sql             string
	maybe           bool // there need not be such a row
}

// NewUpdate returns the statement that sets columns, as in "name = $2", of the row
// whose key is $1. There has to be one: an event of an aggregate that is not there
// must not be lost quietly.
func NewUpdate(table, key, set string) *Update {
	return &Update{table: table, key: key, set: set, sql: fmt.Sprintf("update %s set %s where %s = $1", table, set, key)}
}

// Maybe returns the update for when there need not be such a row.
func (u *Update) Maybe() *Update {
	u.maybe = true
	return u
}

// Queue changes the row with the key.
func (u *Update) Queue(b *pgx.Batch, key pgtype.UUID, values ...any) {
	q := b.Queue(u.sql, append([]any{key}, values...)...)
	if !u.maybe {
		q.Exec(func(ct pgconn.CommandTag) error { return u.changed(ct, 1) })
	}
}

func (u *Update) changed(ct pgconn.CommandTag, want int64) error {
	if n := ct.RowsAffected(); n != want && !u.maybe {
		return fmt.Errorf("%d events changed %d rows of %s", want, n, u.table)
	}
	return nil
}
