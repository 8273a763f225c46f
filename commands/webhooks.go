package commands

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/webhook"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/mail"
	webhooks "annals/internal/webhook"
)

// Webhooks is what commands to webhooks need.
type Webhooks struct {
	Keys    *webhooks.Store
	Private bool // they may lead into private networks
}

// WebhookReceipt is the answer to what gives a webhook its secrets.
type WebhookReceipt struct {
	Receipt
	Secret    string `json:"secret" doc:"What deliveries are signed with, v1 of Standard Webhooks: whsec_ and a secret that is shown this once"`
	PublicKey string `json:"public_key" doc:"The same for v1a, Ed25519: whpk_ and a key that is no secret"`
}

type secretAnswer struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Position string `header:"Annals-Position"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when the request had been carried out before"`
	Body     WebhookReceipt
}

const webhooksPath = "/api/v1/webhooks"

// webhooks takes the commands to webhooks.
func (a *API) webhooks(api *httpapi.API) {
	on := func(method, path, summary string) route {
		return route{method, webhooksPath + path, domain.WebhooksManage, summary}
	}
	d := a.webhookAggregate()
	a.createWebhook(api, on("POST", "", "Have events delivered to a URL, on one's own behalf: never what one may not see"), d)
	patch(a, api, on("PATCH", "/{id}", "Change a webhook of one's own: what is left out stays, and null empties"), d,
		webhook.Definition{}, func(p map[string]any) webhook.Command { return webhook.Edit{Patch: p} })
	bare(a, api, on("DELETE", "/{id}", "Delete a webhook"), d, webhook.Command(webhook.Delete{}))
	bare(a, api, on("POST", "/{id}/pause", "Hold the deliveries of a webhook back"), d, webhook.Command(webhook.Pause{}))
	bare(a, api, on("POST", "/{id}/resume", "Have the deliveries of a webhook go on where they stopped"), d, webhook.Command(webhook.Resume{}))
	bare(a, api, on("POST", "/{id}/test", "Have a delivery made that tells of nothing else: webhook.tested"), d, webhook.Command(webhook.Test{}))
	change[webhook.Replay](a, api, on("POST", "/{id}/replay", "Have events delivered again, or for the first time, under the same webhook-id as then"), d)
	a.rotateWebhook(api, on("POST", "/{id}/rotate", "Give a webhook other secrets; those before sign along for a day"), d)
}

// webhookAggregate is the webhook with what the domain cannot know: which types of events
// there are, and which addresses are nobody's business.
func (a *API) webhookAggregate() domain.Decider[webhook.State, webhook.Command, webhook.Event] {
	d := webhook.Aggregate
	decide := d.Decide
	d.Decide = func(s webhook.State, c webhook.Command, w domain.World, m domain.Meta) ([]webhook.Event, error) {
		events, err := decide(s, c, w, m)
		if err != nil {
			return nil, err
		}
		var f domain.Faults
		for _, e := range events {
			switch e := e.(type) {
			case webhook.Created:
				f.Add(a.checkWebhook(e.Definition))
			case webhook.Changed:
				f.Add(a.checkWebhook(e.To))
			case webhook.Replayed:
				f.Add(checkPosition("from.position", e.From.Position))
				f.Add(checkPosition("to.position", e.To.Position))
			case webhook.Paused, webhook.Resumed, webhook.Disabled, webhook.Rotated, webhook.Tested, webhook.Deleted:
			}
		}
		return events, f.Err()
	}
	return d
}

func (a *API) checkWebhook(d webhook.Definition) error {
	var f domain.Faults
	f.Add(webhooks.CheckURL("url", d.URL, d.Payload == webhook.Full, a.Webhooks.Private))
	for i, pattern := range d.Types {
		if !slices.ContainsFunc(eventschema.Types(), func(t string) bool { return webhook.Matches(pattern, t) }) {
			f.Add(domain.Fault(domain.At("types", i), "unknown", "%s is no type of event", pattern))
		}
	}
	return f.Err()
}

func checkPosition(field, text string) error {
	if text == "" {
		return nil
	}
	if _, err := eventlog.ParsePosition(text); err != nil {
		return domain.Fault(field, "malformed", "is not a position of the log")
	}
	return nil
}

func (a *API) createWebhook(api *httpapi.API, r route, d domain.Decider[webhook.State, webhook.Command, webhook.Event]) {
	type input struct {
		Keyed
		Body webhook.Create
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*secretAnswer, error) {
		m, err := a.meta(ctx, r.method+" "+r.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		o, err := Handle(ctx, a.Store, d, newID(m), webhook.Command(in.Body), m, AnyRevision)
		if err != nil {
			return nil, err
		}
		out, err := a.withSecret(ctx, o, m.Command)
		if err == nil {
			out.Location = r.path + "/" + o.ID.String()
		}
		return out, err
	})
}

// withSecret gives the webhook its secrets. Cut off between the log and these, nothing is
// delivered, or signed as before; sent again, the request gives and answers them.
func (a *API) withSecret(ctx context.Context, o Outcome, command domain.ID) (*secretAnswer, error) {
	s, err := Load[webhook.State](ctx, a.Store, domain.Ref{Category: domain.Webhook, ID: o.ID})
	if err != nil {
		return nil, err
	}
	if !s.Exists() {
		return nil, webhook.ErrAbsent // deleted since, with its secrets
	}
	key, err := a.Webhooks.Keys.MakeKey(ctx, o.ID, command)
	if err != nil {
		return nil, err
	}
	out := answerTo(o)
	return &secretAnswer{ETag: out.ETag, Position: out.Position, Replayed: out.Replayed, Body: WebhookReceipt{out.Body, key.Secret(), key.Public()}}, nil
}

func (a *API) rotateWebhook(api *httpapi.API, r route, d domain.Decider[webhook.State, webhook.Command, webhook.Event]) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*secretAnswer, error) {
		to, err := a.addressed(ctx, r, in.ID, in.Params, nil)
		if err != nil {
			return nil, err
		}
		if _, err := would(ctx, a.Store, d, in.ID, webhook.Command(webhook.Rotate{}), to.meta); err == nil {
			if err := a.Webhooks.Keys.CheckRotation(ctx, in.ID, to.meta.Command); err != nil {
				return nil, err
			}
		}
		o, err := Handle(ctx, a.Store, d, in.ID, webhook.Command(webhook.Rotate{}), to.meta, to.at)
		if err != nil {
			return nil, err
		}
		return a.withSecret(ctx, o, to.meta.Command)
	})
}

// Webhook is a webhook as the log has it now.
func (a *API) Webhook(ctx context.Context, id domain.ID) (webhook.State, error) {
	return Load[webhook.State](ctx, a.Store, domain.Ref{Category: domain.Webhook, ID: id})
}

// WebhookAuthority is what the owner of a webhook may see at this moment: an employee, or
// with a key of theirs what that may. Nothing, where either is not active.
func (a *API) WebhookAuthority(ctx context.Context, employee, key domain.ID) (domain.Authority, error) {
	s, may, err := a.authority(ctx, employee)
	if err != nil || !s.Active() {
		return domain.Authority{}, err
	}
	if key == (domain.ID{}) {
		return may, nil
	}
	k, err := Load[apikey.State](ctx, a.Store, domain.Ref{Category: domain.APIKey, ID: key})
	if err != nil || !k.Live(a.Now()) || k.OwnerID != employee {
		return domain.Authority{}, err
	}
	return k.Authority(may), nil
}

// DisableWebhook disables a webhook on behalf of the system, once for what happened at a
// time.
func (a *API) DisableWebhook(ctx context.Context, id domain.ID, why webhook.Reason, since time.Time) error {
	command := uuid.NewSHA1(id, fmt.Appendf(nil, "disable/%s/%d", why, since.UnixMicro()))
	_, err := Handle(ctx, a.Store, webhook.Aggregate, id, webhook.Command(webhook.Disable{Reason: why}), domain.Meta{
		Actor: domain.System, By: domain.Root, Command: command, Correlation: command, Causation: command,
		At: a.Now().UTC().Truncate(time.Microsecond), App: a.App,
	}, AnyRevision)
	if domain.KindOf(err) == domain.NotFound {
		return nil // it has been deleted
	}
	return err
}

// WebhookWarning tells the owner of a webhook, by mail, that nothing has been delivered
// for a while.
func (a *API) WebhookWarning(mailer Sender) func(ctx context.Context, tx pgx.Tx, id, owner domain.ID, since time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, id, owner domain.ID, since time.Time) error {
		who, err := a.employee(ctx, owner)
		if err != nil || who.Email == "" {
			return err
		}
		s, err := a.Webhook(ctx, id)
		if err != nil {
			return err
		}
		name := s.Name
		if name == "" {
			name = id.String()
		}
		_, err = mailer.Send(ctx, tx, mail.Message{
			To: who.Email, ToName: who.Name, Subject: "A webhook of yours fails",
			Text: fmt.Sprintf("Nothing has been delivered to your webhook %s since %s, as its endpoint does not take it.\n\n"+
				"It will be disabled after five days of that. Nothing is lost: once the endpoint works again, deliveries go on where they stopped.\n\n"+
				"What it answers: %s%s/%s/deliveries\n", name, since.UTC().Format("2006-01-02 15:04 MST"), a.Public, webhooksPath, id),
		})
		return err
	}
}

// ClientPlace is where a client belongs now; known is false for one that there is not.
func (a *API) ClientPlace(ctx context.Context, id domain.ID) (at domain.Place, known bool, err error) {
	s, err := Load[client.State](ctx, a.Store, domain.Ref{Category: domain.Client, ID: id})
	if domain.KindOf(err) == domain.NotFound {
		return at, false, nil
	}
	return s.Place(), s.Exists(), err
}
