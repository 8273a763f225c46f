package readapi

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/httpapi"
	"annals/internal/refusals"
)

type refusalItem struct {
	ID        uuid.UUID   `json:"id" format:"uuid"`
	At        time.Time   `json:"at" doc:"When the first of them was refused"`
	Last      time.Time   `json:"last_at"`
	Count     int64       `json:"count" doc:"How many of the same there were within a minute"`
	ActorID   *uuid.UUID  `json:"actor_id" nullable:"true" doc:"Null for nobody who is known"`
	Kind      string      `json:"kind" enum:"employee,key,nobody,dropped" doc:"Who asked; dropped counts refusals for which there was no room"`
	Method    string      `json:"method"`
	Route     string      `json:"route" doc:"The path with names for what differs"`
	Subjects  []uuid.UUID `json:"subjects" doc:"The first few ids that were asked for"`
	Status    int         `json:"status"`
	Code      string      `json:"code"`
	IP        string      `json:"ip"`
	UserAgent string      `json:"user_agent"`
	RequestID *uuid.UUID  `json:"request_id" nullable:"true" doc:"Of the first of them"`
}

type refusalsRequest struct {
	Actor  uuid.UUID `query:"actor" format:"uuid" doc:"An employee or API key"`
	IP     string    `query:"ip" maxLength:"50" doc:"An address; one of IPv6 stands for its network of 64 bits"`
	From   time.Time `query:"from" doc:"A time, included"`
	To     time.Time `query:"to" doc:"A time, excluded"`
	Status []int     `query:"status,explode" maxItems:"10"`
	Code   string    `query:"code" maxLength:"100"`
	Limit  int       `query:"limit" default:"50" minimum:"1" maximum:"500"`
	Cursor string    `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before"`
}

type refusalList struct {
	Body struct {
		Items      []refusalItem `json:"items"`
		NextCursor string        `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
	}
}

// refused shows what the API refused, and to whom, newest first.
func (a *API) refused(api *httpapi.API) {
	op := httpapi.GetOp("/api/v1/audit/refusals", "Requests that were refused: who asked for what, when, from where")
	op.Needs = domain.AuditView
	httpapi.Handle(api, op, a.listRefusals)
}

func (a *API) listRefusals(ctx context.Context, in *refusalsRequest) (*refusalList, error) {
	if !access.Authority(ctx).MayIn(domain.AuditView, domain.ID{}) {
		return nil, domain.ErrForbidden // they are of no project
	}
	f := refusals.Filter{Actor: in.Actor, From: in.From, To: in.To, Status: in.Status, Code: in.Code, Before: in.Cursor, Limit: in.Limit}
	if in.IP != "" {
		var err error
		if f.IP, err = netip.ParseAddr(in.IP); err != nil {
			return nil, domain.Fault("ip", "malformed", "is not an address")
		}
	}
	rows, next, err := a.Refusals.List(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &refusalList{}
	out.Body.NextCursor, out.Body.Items = next, []refusalItem{}
	for _, r := range rows {
		item := refusalItem{
			ID: r.ID, At: r.At, Last: r.Last, Count: r.Count, Kind: r.Kind, Method: r.Method, Route: r.Route,
			Subjects: append([]uuid.UUID{}, r.Subjects...), Status: r.Status, Code: r.Code, UserAgent: r.UserAgent,
			ActorID: orNil(r.Actor), RequestID: orNil(r.Request),
		}
		if r.IP.IsValid() {
			item.IP = r.IP.String()
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}

func orNil(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
