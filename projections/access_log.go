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
		seen := make(map[domain.ID]bool, len(l.Clients))
		for _, client := range l.Clients {
			if !seen[client] {
				seen[client] = true
				insertLookedAt.Queue(b, known(client), l.At, id, known(whose), known(l.Actor), string(l.Kind))
			}
		}
	}
}
