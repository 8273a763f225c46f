package readapi

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
)

// ListedClient is a client as in lists, under a name that huma looks into.
type ListedClient = clientItem

// recentItem is a client that somebody has opened.
type recentItem struct {
	ListedClient
	OpenedAt time.Time `json:"opened_at" doc:"When you opened it last"`
}

type recentRequest struct {
	After
	Limit int `query:"limit" doc:"How many clients at most" minimum:"1" maximum:"50" default:"20"`
}

type recentList struct {
	Fresh
	Body struct {
		Items    []recentItem `json:"items" doc:"The one that was opened last first; of the last 50 those that you still see"`
		Position string       `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

var errNothingOpened = domain.Errorf(domain.Forbidden, "people_only", "only employees who have signed in have opened anything")

// opened notes that whoever asks was shown all of a client: an employee, since a program
// that reads the record has opened nothing (ADR 8: what is one's own means nothing for a
// key). It waits for nothing, and cannot fail.
func (a *API) opened(ctx context.Context, client domain.ID) {
	if who := access.From(ctx).Actor; a.Recent != nil && who != nil && !who.IsKey() {
		a.Recent.Add(who.Who, client, a.Now())
	}
}

func (a *API) recent(ctx context.Context, in *recentRequest) (*recentList, error) {
	who := access.From(ctx).Actor
	if who == nil || who.IsKey() {
		return nil, errNothingOpened
	}
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	out := &recentList{}
	q := visibleClients(ctx)
	at, ids := map[uuid.UUID]time.Time{}, []uuid.UUID{}
	if a.Recent != nil {
		latest, err := a.Recent.Latest(ctx, who.Who)
		if err != nil {
			return nil, err
		}
		for _, o := range latest {
			at[o.Client], ids = o.At, append(ids, o.Client)
		}
	}
	q.and("c.id = any(" + q.bind(ids) + "::uuid[])")
	var rows []clientRow
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var to position
		err := to.scan(r)
		out.Position = to.String()
		out.Body.Position = out.Position
		return err
	})
	b.Queue(fmt.Sprintf("select %s, null::text[] as cursor from %s where %s order by array_position(%s::uuid[], c.id) limit %d",
		clientSource.columns, clientSource.from, q.all(), q.bind(ids), in.Limit), q.args...).Query(func(r pgx.Rows) (err error) {
		rows, err = collect[clientRow](r, in.Limit)
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, fmt.Errorf("clients opened last: %w", err)
	}
	out.Body.Items = make([]recentItem, len(rows))
	for i, r := range rows {
		out.Body.Items[i] = recentItem{r.item(), at[r.ID]}
	}
	return out, a.shown(ctx, accesslog.List, clientsOf(rows, func(r clientRow) *named { return &named{ID: r.ID} })...)
}
