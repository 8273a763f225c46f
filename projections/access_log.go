package projections

import (
	_ "embed"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/accessed"
	"annals/internal/eventlog"
)

var (
	//go:embed access_log.sql
	accessLogTables string
	//go:embed access_log.indexes.sql
	accessLogIndexes string
)

// accessLog is who was shown what of clients.
var accessLog = &Projector{
	Name: "access_log", Version: 1, Tables: accessLogTables, Indexes: accessLogIndexes, Looks: true,
	Apply: applyAccessLog, Inserts: []*Insert{insertLook, insertLookedAt},
}

var (
	insertLook = NewInsert("access_log", "id", "at", "employee_id", "actor_id", "kind", "clients", "count", "item", "as_of", "filters", "searched",
		"request_id", "ip", "user_agent")
	insertLookedAt = NewInsert("access_log_clients", "client_id", "at", "id", "employee_id", "actor_id", "kind")
)

// insertAllLookedAt is insertLookedAt for all clients of an entry at once.
const insertAllLookedAt = `insert into access_log_clients (client_id, at, id, employee_id, actor_id, kind)
	select distinct c, $2::timestamptz, $3::uuid, $4::uuid, $5::uuid, $6 from unnest($1::uuid[]) c`

func applyAccessLog(b *pgx.Batch, r *eventlog.Record) {
	e, ok := r.Event.(accessed.Recorded)
	if !ok {
		return
	}
	for n, l := range e.Entries {
		id, whose := known(uuid.NewSHA1(r.ID, []byte{byte(n >> 8), byte(n)})), l.Actor
		if l.Owner != (domain.ID{}) {
			whose = l.Owner
		}
		insertLook.Queue(b, id, l.At, known(whose), known(l.Actor), string(l.Kind), list(l.Clients), l.Count, orNull(l.Item), l.AsOf, l.Filters, l.Searched,
			known(l.Request), l.IP, l.UserAgent)
		switch len(l.Clients) {
		case 0:
		case 1:
			insertLookedAt.Queue(b, known(l.Clients[0]), l.At, id, known(whose), known(l.Actor), string(l.Kind))
		default:
			b.Queue(insertAllLookedAt, l.Clients, l.At, id, known(whose), known(l.Actor), string(l.Kind))
		}
	}
}
