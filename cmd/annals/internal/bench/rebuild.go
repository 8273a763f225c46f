package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/projections"
)

const rebuilt = "clients"

// rebuilds measures how long it takes to build the clients' read model anew from
// the log, against loading the rows that it ends up with.
func (r *run) rebuilds(ctx context.Context) error {
	return r.with(ctx, func(url string) (err error) {
		h, log, done, err := r.madeUp(ctx, url)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		r.Logger.InfoContext(ctx, "rebuilding")
		var took time.Duration
		err = r.profiled(ctx, "rebuild", url, func() error {
			start := now()
			err := projections.Rebuild(ctx, projections.Config{Database: url, Log: log, Logger: r.Logger}, rebuilt)
			took = now().Sub(start)
			return err
		})
		if err != nil {
			return err
		}
		r.Logger.InfoContext(ctx, "copying the same rows")
		var limit time.Duration
		err = r.profiled(ctx, "rebuild-copy", url, func() (err error) {
			limit, err = copied(ctx, url, len(h.clients))
			return err
		})
		if err != nil {
			return fmt.Errorf("copy of the rows: %w", err)
		}
		r.add(Figure{
			Name: "rebuild", What: fmt.Sprintf("%s events into %s clients", number(float64(r.Events)), number(float64(len(h.clients)))),
			Value: took.Seconds(), Unit: "s", Limit: limit.Seconds(), LimitIs: "COPY of the same rows, and the same indexes",
			Note: h.mix(),
		}.atMostRatio(3))
		r.add(Figure{
			Name: "rebuild", What: "events folded", Value: float64(r.Events) / took.Seconds(), Unit: "events/s",
		})
		return nil
	})
}

// mix is what the history consists of.
func (h *history) mix() string {
	var parts []string
	for name, n := range h.counts {
		parts = append(parts, fmt.Sprintf("%s %s", number(float64(n)), strings.TrimPrefix(name, "client.")))
	}
	slices.SortFunc(parts, func(a, b string) int {
		return strings.Compare(a[strings.IndexByte(a, ' '):], b[strings.IndexByte(b, ' '):])
	})
	return strings.Join(parts, ", ")
}

// copied is how long it takes to load the rows of the read model into an empty
// copy of its table and to index them as a rebuild does: two indexes at a time,
// none of it flushed before the end.
func copied(ctx context.Context, url string, want int) (time.Duration, error) {
	i := slices.IndexFunc(projections.All, func(p *projections.Projector) bool { return p.Name == rebuilt })
	model := projections.All[i]
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return 0, err
	}
	defer done()
	var from, trigrams, columns string
	err = conn.QueryRow(ctx, `select a.schema, n.nspname, (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
			where attrelid = format('%I.%I', a.schema, $1::text)::regclass and attnum > 0 and not attisdropped and attgenerated = '')
		from annals_projections.active a, pg_extension e join pg_namespace n on n.oid = e.extnamespace
		where a.projector = $1 and e.extname = 'pg_trgm'`, rebuilt).Scan(&from, &trigrams, &columns)
	if err != nil {
		return 0, err
	}
	rows, err := os.CreateTemp("", "annals-bench-rows-")
	if err != nil {
		return 0, fmt.Errorf("temporary file: %w", err)
	}
	defer func() { _, _ = rows.Close(), os.Remove(rows.Name()) }()
	tag, err := conn.PgConn().CopyTo(ctx, rows, fmt.Sprintf("copy (select %s from %s) to stdout binary", columns, pgx.Identifier{from, rebuilt}.Sanitize()))
	if err != nil {
		return 0, err
	}
	if int(tag.RowsAffected()) != want {
		return 0, fmt.Errorf("the read model has %d rows, and there are %d clients", tag.RowsAffected(), want)
	}
	if _, err := rows.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("temporary file: %w", err)
	}
	path := "annals_bench, " + pgx.Identifier{trigrams}.Sanitize()
	if _, err := conn.Exec(ctx, "create schema annals_bench; set search_path = "+path+"; "+model.Tables); err != nil {
		return 0, err
	}
	start := now()
	if _, err := conn.PgConn().CopyFrom(ctx, rows, fmt.Sprintf("copy annals_bench.%s (%s) from stdin binary", rebuilt, columns)); err != nil {
		return 0, err
	}
	if err := indexes(ctx, url, path, model.Indexes); err != nil {
		return 0, err
	}
	if _, err := conn.Exec(ctx, "analyze annals_bench."+rebuilt); err != nil {
		return 0, err
	}
	return now().Sub(start), nil
}
