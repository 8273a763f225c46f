package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/webhook"
	"annals/internal/access"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

// API answers what webhooks there are, and what became of their deliveries.
type API struct {
	Store *Store
	// Webhook is a webhook as the log has it now.
	Webhook func(ctx context.Context, id domain.ID) (webhook.State, error)
}

const path = "/api/v1/webhooks"

// Routes registers them.
func (a *API) Routes(api *httpapi.API) {
	get := func(at, summary string) httpapi.Op {
		op := httpapi.GetOp(path+at, summary)
		op.Needs = domain.WebhooksManage
		return op
	}
	httpapi.Handle(api, get("", "List webhooks: one's own, and all for who manages all"), a.list)
	httpapi.Handle(api, get("/{id}", "Get a webhook, and how it fares"), a.get)
	httpapi.Handle(api, get("/{id}/deliveries", "List the deliveries of a webhook, those that something happened to last first"), a.deliveries)
	httpapi.Handle(api, get("/{id}/deliveries/{delivery}", "Get a delivery with its attempts"), a.delivery)
	op := httpapi.Op{
		ID: "post-webhooks-deliveries-resend", Method: http.MethodPost, Path: path + "/{id}/deliveries/{delivery}/resend", Tag: "webhooks",
		Summary: "Have a delivery sent now, or again; it waits for no other, and none for it", Needs: domain.WebhooksManage, Status: http.StatusAccepted,
	}
	httpapi.Handle(api, op, a.resend)
}

// Fresh is what a request wants to see.
type Fresh struct {
	After string `header:"Annals-After" doc:"A position of the log, as a command answered it: the answer shows at least everything up to there" maxLength:"50"`
}

var errBehind = domain.Errorf(domain.Unavailable, "behind", "what you have just done is not shown yet; try again")

// wait returns when what is known of webhooks is as new as is wanted.
func (a *API) wait(ctx context.Context, f Fresh) error {
	if f.After == "" {
		return nil
	}
	want, err := eventlog.ParsePosition(f.After)
	if err != nil {
		return domain.Fault("Annals-After", "malformed", "is not a position of the log, as in Annals-Position")
	}
	for range 100 {
		var reached bool
		err := a.Store.db.QueryRow(ctx, `select (commit, prepare) >= ($2, $3) from annals_process.checkpoints where handler = $1`,
			Handler, want.Commit, want.Prepare).Scan(&reached)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("webhooks: %w", err)
		}
		if reached {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errBehind
}

// Handler is what [Store.Follow] is called in package process.
const Handler = "webhooks"

// Item is a webhook as it is shown. It is exported for huma.
type Item struct {
	ID              uuid.UUID         `json:"id" format:"uuid"`
	OwnerID         uuid.UUID         `json:"owner_id" doc:"Who sees what is delivered"`
	KeyID           *uuid.UUID        `json:"key_id,omitempty" doc:"The API key that made it"`
	Name            string            `json:"name"`
	URL             string            `json:"url"`
	Types           []string          `json:"types"`
	Projects        []uuid.UUID       `json:"projects"`
	Desks           []uuid.UUID       `json:"desks"`
	Fields          []string          `json:"fields"`
	Payload         string            `json:"payload" enum:"thin,full"`
	Order           string            `json:"order" enum:"client,global"`
	Headers         map[string]string `json:"headers" doc:"Their values are not shown"`
	Status          string            `json:"status" enum:"active,paused,disabled"`
	Reason          string            `json:"reason,omitempty" doc:"Why it is disabled" enum:"gone,failing"`
	Position        string            `json:"position,omitempty" doc:"Everything up to here has been delivered, or waits"`
	Waiting         int               `json:"waiting" doc:"Deliveries that failed and are tried again, and those that wait for them"`
	LastDeliveredAt *time.Time        `json:"last_delivered_at"`
	FailingSince    *time.Time        `json:"failing_since" doc:"Nothing has been delivered since, and something has failed"`
	Replays         []ReplayItem      `json:"replays" doc:"The latest ones"`
}

// ReplayItem is a replay as it is shown.
type ReplayItem struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	Position  string     `json:"position" doc:"Everything up to here has been delivered, or waits"`
	To        string     `json:"to"`
	Waiting   int        `json:"waiting"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at" doc:"When it had come to its end"`
}

type listRequest struct{ Fresh }

type listAnswer struct {
	Body struct {
		Items []Item `json:"items"`
	}
}

func (a *API) list(ctx context.Context, in *listRequest) (*listAnswer, error) {
	if err := a.wait(ctx, in.Fresh); err != nil {
		return nil, err
	}
	who := access.From(ctx).Actor
	q := `select id from annals_webhooks.endpoints where status <> 'deleted' and ($1 or owner_id = $2) order by created_at, id limit 1000`
	rows, err := a.Store.db.Query(ctx, q, who.MayIn(domain.WebhooksManage, domain.ID{}), ownerOf(who))
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	out := &listAnswer{}
	out.Body.Items = []Item{}
	for _, id := range ids {
		s, err := a.Webhook(ctx, id)
		if err != nil {
			return nil, err
		}
		if !s.Visible(who.Authority, who.Who) {
			continue
		}
		item, err := a.item(ctx, id, s)
		if err != nil {
			return nil, err
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}

func ownerOf(who *access.Actor) domain.ID {
	if who.IsKey() {
		return who.Owner
	}
	return who.Who
}

// seen is a webhook that whoever asks may see.
func (a *API) seen(ctx context.Context, id domain.ID) (s webhook.State, owns bool, err error) {
	who := access.From(ctx).Actor
	s, err = a.Webhook(ctx, id)
	if err == nil && !s.Visible(who.Authority, who.Who) {
		err = webhook.ErrAbsent
	}
	return s, s.Owns(who.Authority, who.Who), err
}

type oneRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Fresh
}

type oneAnswer struct{ Body Item }

func (a *API) get(ctx context.Context, in *oneRequest) (*oneAnswer, error) {
	if err := a.wait(ctx, in.Fresh); err != nil {
		return nil, err
	}
	s, _, err := a.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	item, err := a.item(ctx, in.ID, s)
	return &oneAnswer{item}, err
}

func (a *API) item(ctx context.Context, id domain.ID, s webhook.State) (Item, error) {
	it := Item{
		ID: id, OwnerID: s.OwnerID, KeyID: orNull(s.KeyID), Name: s.Name, URL: s.URL, Types: s.Types,
		Projects: append([]uuid.UUID{}, s.Projects...), Desks: append([]uuid.UUID{}, s.Desks...), Fields: append([]string{}, s.Fields...),
		Payload: string(s.Payload), Order: string(s.Order), Headers: map[string]string{}, Status: string(s.Status), Reason: string(s.Reason), Replays: []ReplayItem{},
	}
	for name := range s.Headers {
		it.Headers[name] = "…"
	}
	err := a.Store.db.QueryRow(ctx, `select last_delivered_at, failing_since from annals_webhooks.endpoints where id = $1`, id).Scan(&it.LastDeliveredAt, &it.FailingSince)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return it, fmt.Errorf("webhook: %w", err)
	}
	rows, err := a.Store.db.Query(ctx, `select r.id, r.commit, r.prepare, r.until_commit, r.until_prepare, r.created_at, r.ended_at,
			(select count(*) from annals_webhooks.deliveries d where d.run_id = r.id and d.state = 'waiting')
		from annals_webhooks.runs r where r.webhook_id = $1 order by r.id = $1 desc, r.created_at desc limit 21`, id)
	if err != nil {
		return it, fmt.Errorf("webhook: %w", err)
	}
	var r ReplayItem
	var at eventlog.Position
	var commit, prepare *uint64
	_, err = pgx.ForEachRow(rows, []any{&r.ID, &at.Commit, &at.Prepare, &commit, &prepare, &r.CreatedAt, &r.EndedAt, &r.Waiting}, func() error {
		if r.ID == id {
			it.Position, it.Waiting = at.String(), r.Waiting
			return nil
		}
		one := r
		one.Position = at.String()
		if commit != nil && prepare != nil {
			one.To = eventlog.Position{Commit: *commit, Prepare: *prepare}.String()
		}
		it.Replays = append(it.Replays, one)
		return nil
	})
	if err != nil {
		return it, fmt.Errorf("webhook: %w", err)
	}
	return it, nil
}

// Delivery is a delivery as it is shown. It is exported for huma.
type Delivery struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	MessageID uuid.UUID  `json:"webhook_id" format:"uuid" doc:"What it is called in the header webhook-id"`
	EventID   uuid.UUID  `json:"event_id" format:"uuid"`
	Type      string     `json:"type"`
	Position  string     `json:"position"`
	ClientID  *uuid.UUID `json:"client_id,omitempty"`
	Replay    *uuid.UUID `json:"replay_id,omitempty" doc:"The replay that it is of"`
	State     string     `json:"state" enum:"waiting,delivered,failed,withheld" doc:"withheld: the owner may not see it any more"`
	Attempts  int        `json:"attempts"`
	Status    *int       `json:"status" doc:"That was answered last"`
	DueAt     *time.Time `json:"due_at" doc:"When it is tried again, if none before it fails"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// Attempt is an attempt at a delivery as it is shown. It is exported for huma.
type Attempt struct {
	At         time.Time `json:"at"`
	DurationMS int       `json:"duration_ms"`
	Status     *int      `json:"status" doc:"Null where there was no answer"`
	Error      string    `json:"error,omitempty" doc:"Why it failed"`
	Response   string    `json:"response,omitempty" doc:"How the answer begins, for the owner: up to 16 KiB"`
}

type deliveriesRequest struct {
	ID     uuid.UUID `path:"id" format:"uuid"`
	State  string    `query:"state" enum:"waiting,delivered,failed,withheld"`
	Type   string    `query:"type" maxLength:"100" doc:"Of the event" example:"client.edited"`
	Client string    `query:"client" format:"uuid" doc:"Only deliveries about this client"`
	Status int       `query:"status" minimum:"100" maximum:"599" doc:"That was answered last"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Cursor string    `query:"cursor" maxLength:"200" doc:"From next of the answer before"`
}

type deliveriesAnswer struct {
	Body struct {
		Items []Delivery `json:"items"`
		Next  string     `json:"next,omitempty" doc:"Send it as cursor for what comes after; missing at the end"`
	}
}

const deliveryColumns = `id, run_id, event_id, type, commit, prepare, client_id, state, attempts, status, due_at, updated_at`

func (a *API) deliveries(ctx context.Context, in *deliveriesRequest) (*deliveriesAnswer, error) {
	if _, _, err := a.seen(ctx, in.ID); err != nil {
		return nil, err
	}
	before, id, err := parseCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	var client *uuid.UUID
	if c, err := uuid.Parse(in.Client); err == nil {
		client = &c
	}
	rows, err := a.Store.db.Query(ctx, `select `+deliveryColumns+` from annals_webhooks.deliveries
		where webhook_id = $1 and ($2 = '' or state = $2) and ($3 = '' or type = $3) and ($4::uuid is null or client_id = $4) and ($5 = 0 or status = $5)
			and ($6::timestamptz is null or updated_at < $6 or updated_at = $6 and id > $7)
		order by updated_at desc, id limit $8`, in.ID, in.State, in.Type, client, in.Status, before, id, in.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	out := &deliveriesAnswer{}
	if out.Body.Items, err = scanDeliveries(rows, in.ID); err != nil {
		return nil, err
	}
	if len(out.Body.Items) > in.Limit {
		out.Body.Items = out.Body.Items[:in.Limit]
		last := out.Body.Items[in.Limit-1]
		out.Body.Next = base64.RawURLEncoding.EncodeToString([]byte(last.UpdatedAt.Format(time.RFC3339Nano) + " " + last.ID.String()))
	}
	return out, nil
}

func parseCursor(cursor string) (*time.Time, uuid.UUID, error) {
	if cursor == "" {
		return nil, uuid.UUID{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	first, second, ok := strings.Cut(string(raw), " ")
	at, err2 := time.Parse(time.RFC3339Nano, first)
	id, err3 := uuid.Parse(second)
	if errors.Join(err, err2, err3) != nil || !ok {
		return nil, uuid.UUID{}, domain.Fault("cursor", "malformed", "is none that an answer had")
	}
	return &at, id, nil
}

func scanDeliveries(rows pgx.Rows, webhook domain.ID) ([]Delivery, error) {
	out := []Delivery{}
	var d Delivery
	var run uuid.UUID
	var at eventlog.Position
	_, err := pgx.ForEachRow(rows, []any{&d.ID, &run, &d.EventID, &d.Type, &at.Commit, &at.Prepare, &d.ClientID, &d.State, &d.Attempts, &d.Status, &d.DueAt, &d.UpdatedAt}, func() error {
		one := d
		one.MessageID, one.Position, one.UpdatedAt = deliveryID(webhook, d.EventID), at.String(), d.UpdatedAt.UTC()
		if run != webhook {
			one.Replay = new(run)
		}
		out = append(out, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	return out, nil
}

type deliveryRequest struct {
	ID       uuid.UUID `path:"id" format:"uuid"`
	Delivery uuid.UUID `path:"delivery" format:"uuid"`
}

type deliveryAnswer struct {
	Body struct {
		Delivery
		Log []Attempt `json:"log" doc:"Each attempt"`
	}
}

var errNoDelivery = domain.Errorf(domain.NotFound, "delivery.absent", "there is no such delivery, or it is not kept any more")

func (a *API) delivery(ctx context.Context, in *deliveryRequest) (*deliveryAnswer, error) {
	_, owns, err := a.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	rows, err := a.Store.db.Query(ctx, `select `+deliveryColumns+` from annals_webhooks.deliveries where webhook_id = $1 and id = $2`, in.ID, in.Delivery)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	found, err := scanDeliveries(rows, in.ID)
	if err == nil && len(found) == 0 {
		err = errNoDelivery
	}
	if err != nil {
		return nil, err
	}
	out := &deliveryAnswer{}
	out.Body.Delivery, out.Body.Log = found[0], []Attempt{}
	rows, err = a.Store.db.Query(ctx, `select at, took_ms, status, error, case when $2 then response else '' end from annals_webhooks.attempts where delivery_id = $1 order by n`, in.Delivery, owns)
	if err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	log, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Attempt])
	if err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	out.Body.Log = append(out.Body.Log, log...)
	return out, nil
}

type resendAnswer struct{ Body struct{} }

// resend has the holder send a delivery. One that waits keeps its place, and is tried at
// once if it is its turn.
func (a *API) resend(ctx context.Context, in *deliveryRequest) (*resendAnswer, error) {
	s, _, err := a.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if s.Status != webhook.Active {
		return nil, webhook.ErrInactive
	}
	tag, err := a.Store.db.Exec(ctx, `update annals_webhooks.deliveries set asked = true,
			lane = case when state = 'waiting' then lane else id end, tries = case when state = 'waiting' then tries else 0 end,
			first_at = case when state = 'waiting' then first_at end, state = 'waiting', due_at = $3, updated_at = $3
		where webhook_id = $1 and id = $2`, in.ID, in.Delivery, a.Store.now())
	if err != nil {
		return nil, fmt.Errorf("resend: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil, errNoDelivery
	}
	return &resendAnswer{}, nil
}
