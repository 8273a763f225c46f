package readapi

import (
	"context"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
)

// actionSource is the actions of all clients, of which policies show those of the clients
// that the caller sees. The index of each assignee has the order by what is due next.
var actionSource = source{
	columns: `a.id, a.kind, a.at, a.actor_id, n.name as actor_name, a.position, a.revision, a.pinned, a.erased, a.data, a.personal,
		null::jsonb as changes, null::text as reason,
		a.assignee_id, s.name as assignee_name, a.due_at, a.open, a.client_id, c.name as client_name`,
	from: `annals_read.activities a
		left join annals_read.names n on n.id = a.actor_id
		left join annals_read.names s on s.id = a.assignee_id
		left join annals_read.clients c on c.id = a.client_id`,
	id:      "a.id",
	natural: "due_at",
	table:   "annals_read.activities a",
	indexed: map[string]bool{"a.due_at": true},
	sorts:   map[string]column{"due_at": {"a.due_at", "timestamptz"}, "at": {"a.at", "timestamptz"}},
}

type actionsRequest struct {
	Page
	Assignee []string `query:"assignee,explode" doc:"@me, which it is when left out, or ids of employees: of everybody you see the actions with the clients that you see, and no others" maxItems:"100"`
	State    string   `query:"state" doc:"open, which it is when left out; done; or overdue: open, and due before now" enum:"open,done,overdue"`
	DueFrom  string   `query:"due_from" doc:"A time or a date, included" maxLength:"40"`
	DueTo    string   `query:"due_to" doc:"A time, excluded, or a date, included" maxLength:"40"`
}

func (a *API) actions(ctx context.Context, in *actionsRequest) (*list[activityItem], error) {
	assignees, err := assignees(ctx, in.Assignee)
	if err != nil {
		return nil, err
	}
	cond := "a.kind = 'action' and a.open"
	if in.State == "done" {
		cond = "a.kind = 'action' and not a.open"
	}
	q := &query{arms: []arm{{"a.assignee_id", assignees, cond}}}
	if in.State == "overdue" {
		q.and("a.due_at < " + q.bind(a.Now()))
	}
	if err := span(q, "due", "a.due_at", in.DueFrom, in.DueTo); err != nil {
		return nil, err
	}
	out, err := fetch(ctx, a, actionSource, q, in.Page, a.activityItem())
	if err != nil {
		return nil, err
	}
	return out, a.shown(ctx, accesslog.Actions, clientsOf(out.Body.Items, func(i activityItem) *named { return i.Client })...)
}

// assignees are the employees who are meant: whoever asks, if nobody is named.
func assignees(ctx context.Context, values []string) ([]uuid.UUID, error) {
	who := access.Authority(ctx)
	me := who.ID
	if me == (domain.ID{}) {
		me = who.Behalf // of a key, whose owner
	}
	var named []string
	for _, v := range values {
		if v == "@me" {
			v = me.String()
		}
		named = append(named, v)
	}
	if len(named) == 0 {
		return []uuid.UUID{me}, nil
	}
	ids, none, err := parseIDs("assignee", named)
	if err == nil && none {
		err = domain.Fault("assignee", "malformed", "has to be @me or the id of an employee")
	}
	return ids, err
}
