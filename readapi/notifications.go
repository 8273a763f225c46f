package readapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
)

// notificationItem is something that somebody was told of.
type notificationItem struct {
	ID       uuid.UUID  `json:"id" format:"uuid"`
	Kind     string     `json:"kind" enum:"assigned,mentioned,due,overdue,request,import_finished"`
	At       time.Time  `json:"at"`
	Position string     `json:"position" doc:"Of the event that it tells of" example:"1234"`
	Actor    named      `json:"actor" doc:"Who did it"`
	Client   *named     `json:"client,omitempty" doc:"Whom it is about; without a name if the person has been erased. Missing where it is about no client"`
	About    aboutItem  `json:"about"`
	ReadAt   *time.Time `json:"read_at,omitempty"`
}

// aboutItem is what a notification is about.
type aboutItem struct {
	Category string    `json:"category" doc:"client, note, action, request, call, message, import" example:"client"`
	ID       uuid.UUID `json:"id" format:"uuid"`
	Type     string    `json:"type" doc:"Of the event" example:"client.reassigned"`
}

type notificationRow struct {
	ID         uuid.UUID
	Kind       string
	At         time.Time
	Position   int64
	ActorID    uuid.UUID
	ActorName  *string
	ClientID   *uuid.UUID
	ClientName *string
	Category   string
	ItemID     uuid.UUID
	Type       string
	ReadAt     *time.Time
}

func (r notificationRow) item() notificationItem {
	item := notificationItem{
		ID: r.ID, Kind: r.Kind, At: r.At, Position: strconv.FormatInt(r.Position, 10), Actor: actor(r.ActorID, r.ActorName),
		About: aboutItem{r.Category, r.ItemID, r.Type}, ReadAt: r.ReadAt,
	}
	if r.ClientID != nil {
		item.Client = namedOrNil(r.ClientID, r.ClientName)
	}
	return item
}

// notificationsOf are somebody's notifications about what they see still. Which clients
// that are, is for the policy of clients to say.
const notificationsOf = ` from annals_read.notifications n
		left join annals_read.clients c on c.id = n.client_id
		where n.employee_id = $1 and (n.client_id is null or c.id is not null)`

// unreadMost is how many unread notifications are counted.
const unreadMost = 1000

type notificationsRequest struct {
	After
	Unread string   `query:"unread" doc:"true: only those that have not been read; false: only the others" enum:"true,false"`
	Kind   []string `query:"kind,explode" doc:"Only of these kinds" maxItems:"10" enum:"assigned,mentioned,due,overdue,request,import_finished"`
	Limit  int      `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string   `query:"cursor" doc:"next_cursor of the page before" maxLength:"100"`
}

type notificationList struct {
	Fresh
	Body struct {
		Items      []notificationItem `json:"items" doc:"The latest first"`
		NextCursor string             `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
		Unread     int                `json:"unread" doc:"How many have not been read, of all kinds; 1000 if there are more"`
		Position   string             `json:"position" doc:"The answer shows everything up to this position of the log: send it as Last-Event-ID to the stream"`
	}
}

// errNoInbox refuses programs.
var errNoInbox = domain.Errorf(domain.Forbidden, "no_inbox", "only employees who have signed in have an inbox")

func inboxOf(ctx context.Context) (domain.ID, error) {
	who := access.From(ctx).Actor
	if who == nil || who.IsKey() {
		return domain.ID{}, errNoInbox
	}
	return who.Who, nil
}

func (a *API) notifications(ctx context.Context, in *notificationsRequest) (*notificationList, error) {
	me, err := inboxOf(ctx)
	if err != nil {
		return nil, err
	}
	q := &query{}
	q.bind(me)
	switch in.Unread {
	case "true":
		q.and("n.read_at is null")
	case "false":
		q.and("n.read_at is not null")
	}
	if len(in.Kind) > 0 {
		q.and("n.kind = any(" + q.bind(in.Kind) + ")")
	}
	if in.Cursor != "" {
		before, err := strconv.ParseInt(in.Cursor, 36, 64)
		if err != nil || before < 0 {
			return nil, errCursor
		}
		q.and("n.position < " + q.bind(before))
	}
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	out := &notificationList{}
	var rows []notificationRow
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position = at.String()
		out.Body.Position = out.Position
		return err
	})
	b.Queue(fmt.Sprintf("select count(*) from (select%s and n.read_at is null limit %d) u", notificationsOf, unreadMost), me).
		QueryRow(func(r pgx.Row) error { return r.Scan(&out.Body.Unread) })
	b.Queue(notificationQuery(notificationsOf+" and "+q.all(), "desc", in.Limit+1), q.args...).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, pgx.RowToStructByName[notificationRow])
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, fmt.Errorf("notifications: %w", err)
	}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Body.NextCursor = strconv.FormatInt(rows[in.Limit-1].Position, 36)
	}
	out.Body.Items = make([]notificationItem, len(rows))
	for i, r := range rows {
		out.Body.Items[i] = r.item()
	}
	return out, a.notified(ctx, out.Body.Items)
}

// notified records that whoever asks is about to be shown notifications.
func (a *API) notified(ctx context.Context, items []notificationItem) error {
	clients := clientsOf(items, func(n notificationItem) *named { return n.Client })
	if len(clients) == 0 {
		return nil // of no client anything is shown
	}
	return a.shown(ctx, accesslog.Inbox, clients...)
}

// notificationQuery selects the notifications that there are by the condition, in the
// order of their positions, which is that of time and unique for an employee.
func notificationQuery(from, direction string, limit int) string {
	return fmt.Sprintf(`select n.*, a.name as actor_name from (select n.id, n.kind, n.at, n.position, n.actor_id, n.client_id, c.name as client_name,
			n.category, n.item_id, n.type, n.read_at%s order by n.position %s limit %d) n
		left join annals_read.names a on a.id = n.actor_id order by n.position %[2]s`, from, direction, limit)
}

// since are the notifications of somebody that came after a position, at most so many
// and the oldest first, and up to where that is all of them.
func (a *API) since(ctx context.Context, me domain.ID, after int64, limit int) (items []notificationItem, reached int64, err error) {
	var at position
	var rows []notificationRow
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error { return at.scan(r) })
	b.Queue(notificationQuery(notificationsOf+" and n.position > $2", "asc", limit), me, after).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, pgx.RowToStructByName[notificationRow])
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, after, fmt.Errorf("notifications: %w", err)
	}
	reached = max(after, int64(at.Commit)) //nolint:gosec // positions have 63 bits
	for _, r := range rows {
		items = append(items, r.item())
		reached = max(reached, r.Position)
	}
	if len(rows) == limit {
		reached = rows[limit-1].Position
	}
	return items, reached, nil
}

// notifyBy is how somebody wants to be told, by kind.
type notifyBy struct {
	Assigned       string `json:"assigned" enum:"page,email,none"`
	Mentioned      string `json:"mentioned" enum:"page,email,none"`
	Due            string `json:"due" enum:"page,email,none"`
	Overdue        string `json:"overdue" enum:"page,email,none"`
	Request        string `json:"request" enum:"page,email,none"`
	ImportFinished string `json:"import_finished" enum:"page,email,none"`
}

type preferencesAnswer struct {
	Fresh
	Body notifyBy
}

func (a *API) preferences(ctx context.Context, in *After) (*preferencesAnswer, error) {
	me, err := inboxOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.wait(ctx, *in); err != nil {
		return nil, err
	}
	const page = "page"
	out := &preferencesAnswer{Body: notifyBy{page, page, page, page, page, page}}
	kinds := map[string]*string{
		"assigned": &out.Body.Assigned, "mentioned": &out.Body.Mentioned, "due": &out.Body.Due,
		"overdue": &out.Body.Overdue, "request": &out.Body.Request, "import_finished": &out.Body.ImportFinished,
	}
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position = at.String()
		return err
	})
	b.Queue(`select kind, channel from annals_read.notification_preferences where employee_id = $1`, me).Query(func(rows pgx.Rows) error {
		var kind, channel string
		_, err := pgx.ForEachRow(rows, []any{&kind, &channel}, func() error {
			into, ok := kinds[kind]
			if !ok {
				return errors.New("a preference for a kind that there is not")
			}
			*into = channel
			return nil
		})
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, fmt.Errorf("preferences: %w", err)
	}
	return out, nil
}
