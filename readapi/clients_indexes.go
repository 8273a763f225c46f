package readapi

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain/filter"
)

// indexes are what is known of those that come into being when they are asked for.
type indexes struct {
	mu    sync.Mutex
	read  time.Time
	there map[string]string    // expressions, by the names of fields
	asked map[string]time.Time // when that was noted
}

const (
	indexesKnown = 2 * time.Second // for how long it is
	indexesNoted = time.Hour
)

// index finds out which of the list's fields have an index, and asks for it again, lest it
// goes, or comes into being. That it is not known keeps no list from being answered.
func (a *API) index(ctx context.Context, l *clientList) {
	l.indexed = map[string]walk{}
	there := a.knownIndexes(ctx)
	for _, name := range append(slices.Clone(l.sorts[:1]), indexable(l.filter)...) {
		f, ok := l.fieldOf(name)
		if !ok || !f.index {
			continue
		}
		expression := strings.ReplaceAll(f.sort.sql, "c.", "")
		if there[f.Name] == expression {
			l.indexed[f.Name] = walk{from: "annals_read.clients c", alias: "c", id: "c.id", key: f.sort.sql, nullable: true}
		}
		a.want(ctx, f.Name, expression)
	}
}

// indexable are the fields whose index a filter can be answered by.
func indexable(n filter.Node) []string {
	switch {
	case n.Field.Name != "" && slices.Contains([]string{
		filter.Is, filter.OneOf, filter.BeginsWith, filter.Greater, filter.AtLeast, filter.Less, filter.AtMost, filter.Between, filter.Before, filter.OnOrBefore,
		filter.After, filter.OnOrAfter, filter.InLast, filter.InNext,
	}, n.Op) && n.Field.Type != filter.Boolean && n.Field.Name != "status" && n.Field.Name != "type":
		return []string{n.Field.Name}
	case n.Not != nil:
		return nil
	}
	var names []string
	for _, part := range slices.Concat(n.And, n.Or) {
		names = append(names, indexable(part)...)
	}
	return names
}

// knownIndexes are the expressions that have an index, by the names of fields. One request
// looks at a time, and meanwhile the others go by what was known.
func (a *API) knownIndexes(ctx context.Context) map[string]string {
	a.indexes.mu.Lock()
	known, fresh := a.indexes.there, a.now().Sub(a.indexes.read) < indexesKnown
	if !fresh {
		a.indexes.read = a.now()
	}
	a.indexes.mu.Unlock()
	if fresh {
		return known
	}
	there := map[string]string{}
	var b pgx.Batch
	b.Queue(`select name, expression from annals_read.sorts`).Query(func(r pgx.Rows) error {
		var name, expression string
		_, err := pgx.ForEachRow(r, []any{&name, &expression}, func() error {
			there[name] = expression
			return nil
		})
		return err
	})
	if a.DB.Ask(ctx, &b) != nil {
		return known
	}
	a.indexes.mu.Lock()
	defer a.indexes.mu.Unlock()
	a.indexes.there = there
	return there
}

// want asks for an index, once in a while.
func (a *API) want(ctx context.Context, name, expression string) {
	if a.Want == nil {
		return
	}
	a.indexes.mu.Lock()
	recent := a.now().Sub(a.indexes.asked[name]) < indexesNoted
	a.indexes.mu.Unlock()
	if recent || a.Want(ctx, name, expression) != nil {
		return
	}
	a.indexes.mu.Lock()
	defer a.indexes.mu.Unlock()
	if a.indexes.asked == nil {
		a.indexes.asked = map[string]time.Time{}
	}
	a.indexes.asked[name] = a.now()
}
