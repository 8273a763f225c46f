package commands

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/httpapi"
)

// registry is an aggregate that holds many definitions, each with an id of its own.
// Requests name the definition, and so do their answers; revisions are the registry's.
type registry[S, C, E any] struct {
	domain.Decider[S, C, E]
	ref domain.Ref
}

func (g registry[S, C, E]) handle(ctx context.Context, a *API, to addressed, c C) (Outcome, error) {
	o, err := Handle(ctx, a.Store, g.Decider, g.ref.ID, c, to.meta, to.at)
	o.ID = to.id
	return o, err
}

func (g registry[S, C, E]) apply(ctx context.Context, a *API, r route, id domain.ID, p Params, body any, c C) (*answer, error) {
	to, err := a.addressed(ctx, r, id, p, body)
	if err != nil {
		return nil, err
	}
	o, err := g.handle(ctx, a, to, c)
	if err != nil {
		return nil, err
	}
	out := answerTo(o)
	return &out, nil
}

// define takes a command with the body B that makes a definition. Command is given its id.
func define[B, S, C, E any](a *API, api *httpapi.API, r route, g registry[S, C, E], command func(domain.ID, B) C) {
	type input struct {
		Params
		Body B
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		to, err := a.addressed(ctx, r, domain.ID{}, in.Params, in.Body)
		if err != nil {
			return nil, err
		}
		to.id = newID(to.meta)
		return a.create(g.handle(ctx, a, to, command(to.id, in.Body)))(r)
	})
}

// redefine takes a command with the body B for a definition that there is. With an
// example, the body is a merge patch of what that is one of.
func redefine[B, S, C, E any](a *API, api *httpapi.API, r route, g registry[S, C, E], example any, command func(domain.ID, B) C) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body B
	}
	op := r.op()
	op.Body = example
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*answer, error) {
		return g.apply(ctx, a, r, in.ID, in.Params, in.Body, command(in.ID, in.Body))
	})
}

// bareRedefine takes a command for a definition that has nothing to say but what it is.
func bareRedefine[S, C, E any](a *API, api *httpapi.API, r route, g registry[S, C, E], command func(domain.ID) C) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		return g.apply(ctx, a, r, in.ID, in.Params, nil, command(in.ID))
	})
}
