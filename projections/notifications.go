package projections

import (
	_ "embed"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/inbox"
	"annals/internal/eventlog"
)

var (
	//go:embed notifications.sql
	notificationsTables string
	//go:embed notifications.indexes.sql
	notificationsIndexes string
)

// notifications is the inbox of each employee.
var notifications = &Projector{
	Name: "notifications", Version: 1, Tables: notificationsTables, Indexes: notificationsIndexes, Apply: applyNotifications,
}

const (
	// Who does not want to be told of a kind is not, from then on.
	notify = `insert into notifications (id, employee_id, client_id, kind, at, position, actor_id, category, item_id, type)
		select $1::uuid, $2::uuid, $3::uuid, $4::text, $5::timestamptz, $6::bigint, $7::uuid, $8::text, $9::uuid, $10::text
		where not exists (select from notification_preferences where employee_id = $2 and kind = $4 and channel = 'none')`
	markRead = `update notifications set read_at = $2 where employee_id = $1 and read_at is null and position < $5 and (id = any($3) or position <= $4)`
	unprefer = `delete from notification_preferences where employee_id = $1`
	prefer   = `insert into notification_preferences (employee_id, kind, channel) select $1::uuid, * from unnest($2::text[], $3::text[])`
)

func applyNotifications(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case inbox.Read:
		b.Queue(markRead, id(r), r.Meta.At, list(e.Notifications), e.Through, r.Position.Commit)
		return
	case inbox.PreferencesChanged:
		var kinds, channels []string
		for _, kind := range slices.Sorted(maps.Keys(e.Preferences)) {
			kinds, channels = append(kinds, string(kind)), append(channels, string(e.Preferences[kind]))
		}
		b.Queue(unprefer, id(r))
		b.Queue(prefer, id(r), list(kinds), list(channels))
		return
	}
	for _, n := range inbox.Notices(r.Event, r.Meta.Actor) {
		ref, err := r.Ref()
		if err != nil {
			panic(err) // a record that was decoded has one
		}
		client := orNull(domain.ID{})
		if ref.Category == domain.Client || r.Meta.Subject != (domain.ID{}) {
			client = subject(r)
		}
		b.Queue(notify, known(n.ID(r.ID)), known(n.Employee), client, string(n.Kind), r.Meta.At, r.Position.Commit,
			known(r.Meta.Actor), ref.Category, known(ref.ID), r.Type)
	}
}
