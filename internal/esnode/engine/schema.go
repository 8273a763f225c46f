package engine

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// schemaVersion is the layout that this package reads and writes.
const schemaVersion = 1

// The collation is C because names are compared byte by byte, and a locale's collation costs several times as much.
const ddl = `
create schema if not exists annals_log;
create table if not exists annals_log.schema (
	version integer primary key,
	created timestamptz not null default now()
);
create table if not exists annals_log.events (
	position bigint primary key,
	stream   text collate "C" not null,
	revision bigint not null,
	id       uuid not null,
	type     text collate "C" not null,
	created  timestamptz not null,
	is_json  boolean not null,
	data     bytea not null,
	metadata bytea not null,
	unique (stream, revision)
);
create index if not exists events_ended on annals_log.events (stream) where revision = 9223372036854775807;
comment on table annals_log.events is
	'The event log: the truth of everything. Written by one process at a time; never change a row.';
insert into annals_log.schema (version) values (1) on conflict do nothing`

// CreateSchema creates the log's table in conn's database when there is none, and refuses one that a later version
// of this package has made. Two processes may call it at once.
func CreateSchema(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var exists bool
		err := tx.QueryRow(ctx, `select to_regclass('annals_log.schema') is not null`).Scan(&exists)
		if err != nil {
			return err
		}
		if exists {
			var version int
			if err := tx.QueryRow(ctx, `select max(version) from annals_log.schema`).Scan(&version); err != nil {
				return err
			}
			if version > schemaVersion {
				return fmt.Errorf("it has layout %d, and this program knows up to %d", version, schemaVersion)
			}
			return nil
		}
		// "if not exists" alone can collide with another creator in the catalogue.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, lockKey+1); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, ddl, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		return fmt.Errorf("schema of the log: %w", err)
	}
	return nil
}
