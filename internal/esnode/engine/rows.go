package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

const insertSQL = `
insert into annals_log.events (position, stream, revision, id, type, created, is_json, data, metadata)
select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::timestamptz[],
	$7::boolean[], $8::bytea[], $9::bytea[])`

// insertRows writes events with one statement: one round trip, and outside a transaction one commit.
func insertRows(ctx context.Context, db executor, rows []*Event) error {
	n := len(rows)
	var (
		positions = make([]int64, n)
		streams   = make([]string, n)
		revisions = make([]int64, n)
		ids       = make([][16]byte, n)
		types     = make([]string, n)
		created   = make([]time.Time, n)
		jsons     = make([]bool, n)
		data      = make([][]byte, n)
		metadata  = make([][]byte, n)
	)
	for i, r := range rows {
		positions[i], streams[i], revisions[i], ids[i] = fromPosition(r.Position), r.Stream, r.Revision, r.ID
		types[i], created[i], jsons[i] = r.Type, r.Created, r.JSON
		data[i], metadata[i] = notNil(r.Data), notNil(r.Metadata)
	}
	_, err := db.Exec(ctx, insertSQL, positions, streams, revisions, ids, types, created, jsons, data, metadata)
	if err != nil {
		return fmt.Errorf("insert %d events: %w", n, err)
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// InsertDirect writes events into the log's table with the statement that the engine uses, and commits. It is what
// a benchmark compares the engine with: no lock, no decision. Never use it on a log that an engine has open.
func InsertDirect(ctx context.Context, conn *pgx.Conn, events []*Event) error {
	return insertRows(ctx, conn, events)
}

const columns = `position, revision, stream, id, type, created, is_json, data, metadata`

// postgresEpoch is the zero of PostgreSQL's binary timestamps, in microseconds since that of Unix.
const postgresEpoch = 946684800000000

// collect reads events from rows of columns in binary form, up to about budget bytes. It tells whether it left some
// out, which are read and dropped, because a connection cannot be used again before.
func collect(rows pgx.Rows, budget int) (events []*Event, cut bool, err error) {
	defer rows.Close()
	var slab []Event
	var arena arena
	types := map[string]string{}
	for rows.Next() {
		raw := rows.RawValues()
		if len(slab) == cap(slab) {
			slab = make([]Event, 0, min(max(16, 2*len(events)), 1024))
		}
		slab = append(slab, Event{})
		e := &slab[len(slab)-1]
		if err := e.decode(raw, &arena, types); err != nil {
			return nil, false, err
		}
		events = append(events, e)
		if budget -= e.size(); budget <= 0 {
			cut = true
			break
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("read events: %w", err)
	}
	return events, cut, nil
}

func (e *Event) decode(raw [][]byte, a *arena, types map[string]string) error {
	if len(raw) != 9 || len(raw[0]) != 8 || len(raw[1]) != 8 || len(raw[3]) != 16 || len(raw[5]) != 8 || len(raw[6]) != 1 {
		return errors.New("read events: a row of an unknown form")
	}
	e.Position = binary.BigEndian.Uint64(raw[0])
	e.Revision = int64(binary.BigEndian.Uint64(raw[1])) //nolint:gosec // PostgreSQL's bigint
	e.Stream = a.string(raw[2])
	e.ID = uuid.UUID(raw[3])
	typ, ok := types[string(raw[4])]
	if !ok {
		typ = string(raw[4])
		types[typ] = typ
	}
	e.Type = typ
	e.Created = time.UnixMicro(int64(binary.BigEndian.Uint64(raw[5])) + postgresEpoch).UTC() //nolint:gosec // as above
	e.JSON = raw[6][0] != 0
	e.Data = a.bytes(raw[7])
	e.Metadata = a.bytes(raw[8])
	return nil
}

// arena copies the values of many rows into few allocations.
type arena struct{ free []byte }

const arenaBlock = 64 << 10

func (a *arena) bytes(b []byte) []byte {
	if len(b) > arenaBlock/4 {
		return append([]byte(nil), b...)
	}
	if len(b) > cap(a.free)-len(a.free) {
		a.free = make([]byte, 0, arenaBlock)
	}
	start := len(a.free)
	a.free = append(a.free, b...)
	return a.free[start:len(a.free):len(a.free)]
}

func (a *arena) string(b []byte) string { return string(b) }
