package commands

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/internal/httpapi"
)

// attach takes command B, which makes something that belongs to the client whose id is
// in the path.
func attach[B, S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, attached.To[C], E]) {
	_ = any(*new(B)).(C) // B is one of the aggregate's commands, or we do not start
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
		Keyed
		Body B
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		at := route{r.method, strings.Replace(r.path, "{id}", in.ID.String(), 1), r.needs, r.summary}
		m, err := a.meta(ctx, at.method+" "+at.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		return a.create(Attach(ctx, a, d, in.ID, newID(m), any(in.Body).(C), m, AnyRevision))(at)
	})
}

// Item is the path of something that belongs to a client.
// It is exported for huma, see Keyed.
type Item struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
	Item uuid.UUID `path:"item" format:"uuid"`
}

// within takes command B for something that belongs to a client: the path has the ids
// of both.
func within[B, S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, attached.To[C], E]) {
	_ = any(*new(B)).(C)
	type input struct {
		Item
		Params
		Body B
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		return applyWithin(ctx, a, d, r, in.Item, in.Params, in.Body, any(in.Body).(C))
	})
}

// maybeWithin is [within] for a command that may be sent without a body.
func maybeWithin[B, S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, attached.To[C], E]) {
	_ = any(*new(B)).(C)
	type input struct {
		Item
		Params
		Body *B
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		var body B
		if in.Body != nil {
			body = *in.Body
		}
		return applyWithin(ctx, a, d, r, in.Item, in.Params, body, any(body).(C))
	})
}

// bareWithin takes a command that has nothing to say but what it is, for something that
// belongs to a client.
func bareWithin[S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, attached.To[C], E], c C) {
	type input struct {
		Item
		Params
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		return applyWithin(ctx, a, d, r, in.Item, in.Params, nil, c)
	})
}

func applyWithin[S, C, E any](ctx context.Context, a *API, d domain.Decider[S, attached.To[C], E], r route, at Item, p Params, body any, c C) (*answer, error) {
	r.path = strings.Replace(r.path, "{id}", at.ID.String(), 1)
	r.path = strings.Replace(r.path, "{item}", "{id}", 1)
	to, err := addressedTo(ctx, a, at.ID, c)
	if err != nil {
		return nil, err
	}
	return apply(ctx, a, d, r, at.Item, p, body, to)
}

// ofClient takes command B for what each client has one of, under the client's id.
func ofClient[B, S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, attached.To[C], E]) {
	_ = any(*new(B)).(C)
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body B
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		to, err := addressedTo(ctx, a, in.ID, any(in.Body).(C))
		if err != nil {
			return nil, err
		}
		return apply(ctx, a, d, r, in.ID, in.Params, in.Body, to)
	})
}
