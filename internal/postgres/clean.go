package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rewriteBelow is the size, indexes included, below which a table is rewritten rather than
// vacuumed: nobody can read it meanwhile, which at that size takes a few seconds.
const rewriteBelow = 256 << 20

// How long cleaning waits for others.
const (
	seenMost  = 5 * time.Minute // for transactions that still see what was deleted
	lockWait  = "2s"            // for who uses the table, while others wait behind us
	lockTries = 30
)

// Cleaned is what [CleanTables] did.
type Cleaned struct {
	Rewritten []string // tables of which new files were made, and the old ones deleted
	Freed     []string // larger ones: their space is free, and holds what it held until something else is written there
}

// ErrSeen means that a transaction, a backup say, still sees what was deleted, so that it
// has to stay.
var ErrSeen = errors.New("a transaction still sees what was deleted")

// CleanTables has the files of the database's tables hold nothing any more of rows that
// were deleted or changed before it was called. PostgreSQL only marks them: vacuuming gives
// their space free, and their bytes stay until something else is written there. So tables
// are rewritten, with their indexes and statistics, which hold values of columns too; those
// that are too large for that are vacuumed. Tables in the schemas except are left alone.
func CleanTables(ctx context.Context, url string, except ...string) (out Cleaned, err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return out, errors.New("clean tables: the URL is not valid") // err may quote the password
	}
	cfg.RuntimeParams["application_name"] = "annals cleaning"
	cfg.RuntimeParams["lock_timeout"] = lockWait
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // a vacuum is no statement of a transaction
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return out, fmt.Errorf("clean tables: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on how it ends
	if err := untilUnseen(ctx, conn); err != nil {
		return out, err
	}
	rows, _ := conn.Query(ctx, `select format('%I.%I', n.nspname, c.relname), pg_total_relation_size(c.oid)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm') and c.relpersistence <> 't' and n.nspname <> all ($1::text[])
			and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and pg_has_role(c.relowner, 'usage')
		order by 1`, append([]string{}, except...)) // the error comes back from the rows
	type table struct {
		Name string
		Size int64
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return out, fmt.Errorf("clean tables: %w", err)
	}
	for _, t := range tables {
		sql, list := "vacuum (full, analyze) ", &out.Rewritten
		if t.Size >= rewriteBelow {
			sql, list = "vacuum (analyze) ", &out.Freed
		}
		there, err := vacuum(ctx, conn, sql+t.Name)
		if err != nil {
			return out, fmt.Errorf("clean %s: %w", t.Name, err)
		}
		if there {
			*list = append(*list, t.Name)
		}
	}
	// The statistics of columns are rows as well, which have just been replaced.
	if err := untilUnseen(ctx, conn); err != nil {
		return out, err
	}
	if _, err := vacuum(ctx, conn, "vacuum full pg_catalog.pg_statistic"); err != nil {
		return out, fmt.Errorf("clean statistics: %w", err)
	}
	return out, nil
}

// vacuum runs the statement; there is false where there is no such table any more.
func vacuum(ctx context.Context, conn *pgx.Conn, sql string) (there bool, err error) {
	for try := 1; ; try++ {
		_, err := conn.Exec(ctx, sql)
		e, refused := errors.AsType[*pgconn.PgError](err)
		switch {
		case err == nil:
			return true, nil
		case refused && (e.Code == "42P01" || e.Code == "3F000"): // undefined table, or schema
			return false, nil
		case !refused || (e.Code != "55P03" && e.Code != "40P01") || try == lockTries: // lock not available, deadlock
			return false, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// untilUnseen waits until nobody sees any more what has been deleted by now.
func untilUnseen(ctx context.Context, conn *pgx.Conn) error {
	var xid string
	if err := conn.QueryRow(ctx, `select pg_current_xact_id()::xid::text`).Scan(&xid); err != nil {
		return fmt.Errorf("clean tables: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, seenMost)
	defer cancel()
	for {
		var seen bool
		err := conn.QueryRow(ctx, `
			select age(pg_snapshot_xmin(pg_current_snapshot())::xid) >= age($1::text::xid)
				or exists (select from pg_stat_activity where datname = current_database()
					and pid <> pg_backend_pid() and age(backend_xmin) >= age($1::text::xid))`, xid).Scan(&seen)
		if err != nil {
			return fmt.Errorf("clean tables: %w", err)
		}
		if !seen {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-within.Done():
			return errors.Join(ErrSeen, ctx.Err())
		}
	}
}

// CleanWAL deletes the write-ahead log up to now: of what has been written to tables
// before, nothing is left in it. PostgreSQL would keep its files for later, with what is
// in them.
func (s *Server) CleanWAL(ctx context.Context) (err error) {
	conn, err := s.superuser(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on how it ends
	exec := func(ctx context.Context, statements ...string) {
		for _, sql := range statements {
			if err == nil {
				_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
			}
		}
	}
	defer func() {
		was := err
		err = nil
		exec(context.WithoutCancel(ctx), `alter system reset wal_recycle`, `select pg_reload_conf()`)
		if err = errors.Join(was, err); err != nil {
			err = fmt.Errorf("clean the write-ahead log: %w", err)
		}
	}()
	exec(ctx, `alter system set wal_recycle = off`, `select pg_reload_conf()`)
	for range walRounds {
		exec(ctx, `select pg_logical_emit_message(false, 'annals', '')`, `select pg_switch_wal()`, `checkpoint`)
		if err != nil {
			return err
		}
		// Files that wait to be written to are not deleted, but used up.
		var later int
		if err = conn.QueryRow(ctx, `select count(*) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$' and name > pg_walfile_name(pg_current_wal_insert_lsn())`).Scan(&later); err != nil {
			return err
		}
		if later == 0 {
			return nil
		}
		for range later {
			exec(ctx, `select pg_logical_emit_message(false, 'annals', '')`, `select pg_switch_wal()`)
		}
	}
	return errors.New("the server goes on keeping files for later")
}

// walRounds bounds how often files that were kept for later are used up: the server may
// take its time to learn that it is not to keep any.
const walRounds = 20
