package rotation

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/eventschema"
)

// table is where the database has wrapped keys.
type table struct {
	name   string
	page   string // the rows after $1 and $2, which are owner and id, at most $3
	update string // of owner $1 and id $2 what is $3 becomes $4, under the master key $5
	again  func(context.Context, eventschema.Master, row) ([]byte, error)
	count  func(*Summary) *int64
}

// row is a wrapped key and where it is.
type row struct {
	Owner, ID domain.ID
	Bytes     []byte
	Master    string
}

// pageSize is how many rows are in memory.
const pageSize = 500

// rewrap wraps what is in the table anew, row by row: who changes one at the same time is
// not overtaken, and what they write is the master key's of now.
func (t table) rewrap(ctx context.Context, db *pgxpool.Pool, m eventschema.Master) (n int64, err error) {
	for last := (row{}); ; {
		rows, _ := db.Query(ctx, t.page, last.Owner, last.ID, pageSize) // the error comes again
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && (refused.Code == "42P01" || refused.Code == "3F000") {
			return n, nil // there is no such table: nobody has served this database yet
		}
		if err != nil {
			return n, err
		}
		for _, r := range all {
			wrapped, err := t.again(ctx, m, r)
			if err != nil {
				return n, fmt.Errorf("%s: %w", r.ID, err)
			}
			if wrapped == nil {
				continue
			}
			tag, err := db.Exec(ctx, t.update, r.Owner, r.ID, r.Bytes, wrapped, m.ID())
			if err != nil {
				return n, err
			}
			n += tag.RowsAffected()
		}
		if len(all) < pageSize {
			return n, nil
		}
		last = all[len(all)-1]
	}
}
