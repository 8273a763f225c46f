package readapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// column is something to sort by. SQL never comes from a request: only the key
// of a column in its list does.
type column struct {
	sql  string // null where empty
	cast string // the PostgreSQL type that a cursor's text is read back as
}

func textColumn(sql string) column {
	return column{`nullif(lower(` + sql + `), '') collate "C"`, "text"}
}

// source is what a list selects from.
type source struct {
	columns string // of the SELECT
	from    string // FROM and JOINs
	id      string // unique; breaks ties
	idCast  string // its PostgreSQL type; uuid if empty
	sorts   map[string]column
	natural string // the sort when none is asked for

	// Of a list that may be long:
	table   string          // of from, what conditions and arms are about
	indexed map[string]bool // the sorts, by SQL, for which the table has an index of each arm; true: it may be null
	ordinal string          // numbers the rows of an arm from 0 on, without a gap, by an index: the last one tells how many there are
}

func (s source) idType() string { return cmp.Or(s.idCast, "uuid") }

// key is one level of a sort.
type key struct {
	column
	down bool
}

// after is the operator between a value and the one that it comes after.
func (k key) after() string {
	if k.down {
		return "<"
	}
	return ">"
}

func (k key) direction() string {
	if k.down {
		return " desc"
	}
	return " asc"
}

// keys are the levels of a sort. Rows that are equal in all that was asked for are
// sorted by their ids, in the last one's direction, so that one index has the order.
func (s source) keys(sort string) ([]key, error) {
	if sort == "" {
		sort = s.natural
	}
	var keys []key
	for name := range strings.SplitSeq(sort, ",") {
		bare, down := strings.CutPrefix(strings.TrimSpace(name), "-")
		c, ok := s.sorts[bare]
		if !ok || len(keys) == 8 {
			return nil, domain.Fault("sort", "unknown", "%q is none of the columns to sort by: %s", bare, strings.Join(sortedKeys(s.sorts), ", "))
		}
		keys = append(keys, key{c, down})
	}
	return append(keys, key{column{s.id, s.idType()}, keys[len(keys)-1].down}), nil
}

// cursor is where a page ended: the sort, and the last row's values of it.
type cursor struct {
	Sort   string    `json:"s"`
	Values []*string `json:"v"`
	Level  int       `json:"l,omitempty"` // of a search
	Back   bool      `json:"b,omitempty"` // where a page began, for the one before
}

func (c cursor) String() string {
	b, _ := json.Marshal(c) // strings always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

var errCursor = domain.Fault("cursor", "malformed", "is no cursor of this list with this sort: start again without one")

func parseCursor(s, sort string, n int) (c cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(b, &c) != nil || c.Sort != sort || len(c.Values) != n || c.Values[n-1] == nil {
		return c, errCursor
	}
	return c, nil
}

// check queues the reading of the values as what they have to be: the page itself
// may get along without one, and then would not tell that it is made up.
func (c cursor) check(b *pgx.Batch, keys []key) {
	read, values := make([]string, len(keys)), make([]any, len(keys))
	for i, k := range keys {
		read[i], values[i] = fmt.Sprintf("$%d::text::%s", i+1, k.cast), c.Values[i]
	}
	b.Queue("select "+strings.Join(read, ", "), values...)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
