package readapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/domain"
)

// byID is a request for one of something.
type byID struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	After
}

// one is the answer to it.
type one[T any] struct {
	Fresh
	ETag string `header:"ETag" doc:"The revision: send it as If-Match with a command"`
	Body T
}

// fetchOne returns the row with the id, if the query's conditions let it be seen.
func fetchOne[R interface{ at() int64 }, T any](ctx context.Context, a *API, s source, q *query, in byID, noun string, item func(R) T) (*one[T], error) {
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	q.and(s.id + " = " + q.bind(in.ID))
	out := &one[T]{}
	var b pgx.Batch
	if q.before != nil {
		q.before(&b)
	}
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position = at.String()
		return err
	})
	var row R
	b.Queue(fmt.Sprintf("select %s, null::text[] as cursor from %s where %s", s.columns, s.from, q.all()), q.args...).Query(func(r pgx.Rows) (err error) {
		row, err = pgx.CollectExactlyOneRow(r, pgx.RowToStructByName[R])
		return err
	})
	err := a.DB.Ask(ctx, &b)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, domain.Errorf(domain.NotFound, noun+".absent", "there is no such %s", noun)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", noun, err)
	}
	out.Body = item(row)
	out.ETag = strconv.Quote(strconv.FormatInt(row.at(), 10))
	return out, nil
}

var errClientAbsent = domain.Errorf(domain.NotFound, "client.absent", "there is no such client")

// badCursor tells a cursor that somebody made up, whose values do not fit their
// columns, from what is our fault: PostgreSQL's class 22, data exception.
func badCursor(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(e.Code, "22") {
		return errCursor
	}
	return fmt.Errorf("list: %w", err)
}
