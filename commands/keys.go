package commands

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/apikey"
	"annals/internal/httpapi"
)

// KeyReceipt is the answer to making a key.
type KeyReceipt struct {
	Receipt
	Key string `json:"key" doc:"What the program sends as Authorization: Bearer KEY. It is shown this once"`
}

// keys makes and revokes API keys: what one may do is in the log, its secret is not.
func (a *API) keys(api *httpapi.API) {
	type input struct {
		Keyed
		Body apikey.Create
	}
	type output struct {
		Location string `header:"Location"`
		ETag     string `header:"ETag"`
		Position string `header:"Annals-Position"`
		Replayed string `header:"Idempotency-Replayed" doc:"true when the request had been carried out before"`
		Body     KeyReceipt
	}
	r := route{"POST", "/api/v1/api-keys", "", "Make an API key with some of one's own permissions"}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*output, error) {
		if _, err := person(ctx); err != nil {
			return nil, err
		}
		m, err := a.meta(ctx, r.method+" "+r.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		o, key, err := a.MakeKey(ctx, newID(m), in.Body, m)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		return &output{r.path + "/" + o.ID.String(), out.ETag, out.Position, out.Replayed, KeyReceipt{out.Body, key}}, nil
	})
	type byID struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
	}
	revoke := route{"DELETE", "/api/v1/api-keys/{id}", "", "Revoke an API key"}
	httpapi.Handle(api, revoke.op(), func(ctx context.Context, in *byID) (*answer, error) {
		if _, err := person(ctx); err != nil {
			return nil, err
		}
		to, err := a.addressed(ctx, revoke, in.ID, in.Params, nil)
		if err != nil {
			return nil, err
		}
		o, err := Handle(ctx, a.Store, apikey.Aggregate, in.ID, apikey.Command(apikey.Revoke{}), to.meta, to.at)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		return &out, a.Credentials.RevokeKey(ctx, in.ID)
	})
}

// MakeKey makes a key. Cut off between the log and the credentials it leaves one that
// opens nothing; sent again, the request gives it its secret.
func (a *API) MakeKey(ctx context.Context, id domain.ID, c apikey.Create, m domain.Meta) (Outcome, string, error) {
	o, err := Handle(ctx, a.Store, apikey.Aggregate, id, apikey.Command(c), m, AnyRevision)
	if err != nil {
		return o, "", err
	}
	var expires time.Time
	if c.ExpiresAt != nil {
		expires = c.ExpiresAt.UTC().Truncate(time.Second)
	}
	key, err := a.Credentials.NewKey(ctx, id, m.By.ID, expires)
	return o, key, err
}

func (a *API) revokeKey(ctx context.Context, id domain.ID, m domain.Meta) error {
	if _, err := Handle(ctx, a.Store, apikey.Aggregate, id, apikey.Command(apikey.Revoke{}), m, AnyRevision); err != nil {
		return err
	}
	return a.Credentials.RevokeKey(ctx, id)
}
