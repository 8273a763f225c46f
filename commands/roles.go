package commands

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/role"
	"annals/internal/httpapi"
)

// roles takes the commands to roles that people have made.
func (a *API) roles(api *httpapi.API) {
	type clone struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"The role to take the permissions of, built in or not"`
		Keyed
		Body role.Clone
	}
	r := route{"POST", "/api/v1/roles/{id}/clone", domain.RolesManage, "Make a role with the permissions of another"}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *clone) (*created, error) {
		m, err := a.meta(ctx, r.method+" /api/v1/roles/"+in.ID.String()+"/clone", in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		c := in.Body
		c.Of = in.ID
		return a.create(Handle(ctx, a.Store, role.Aggregate, newID(m), role.Command(c), m, AnyRevision))(route{path: "/api/v1/roles"})
	})
	type changed struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body role.Change
	}
	change := route{"PATCH", "/api/v1/roles/{id}", domain.RolesManage, "Rename a role, or replace its permissions: for all who hold it, at once"}
	httpapi.Handle(api, change.op(), func(ctx context.Context, in *changed) (*answer, error) {
		return a.onRole(ctx, change, in.ID, in.Params, in.Body, in.Body)
	})
	type deleted struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
	}
	remove := route{"DELETE", "/api/v1/roles/{id}", domain.RolesManage, "Delete a role that nobody holds"}
	httpapi.Handle(api, remove.op(), func(ctx context.Context, in *deleted) (*answer, error) {
		to, err := a.addressed(ctx, remove, in.ID, in.Params, nil)
		if err != nil {
			return nil, err
		}
		// Who holds it is told to those only who may delete it.
		if _, err := would(ctx, a.Store, role.Aggregate, in.ID, role.Command(role.Delete{}), to.meta); err == nil {
			if err := a.unused(ctx, in.ID); err != nil {
				return nil, err
			}
		}
		return a.onRole(ctx, remove, in.ID, in.Params, nil, role.Delete{})
	})
}

func (a *API) onRole(ctx context.Context, r route, id domain.ID, p Params, body any, c role.Command) (*answer, error) {
	out, err := apply(ctx, a, role.Aggregate, r, id, p, body, c)
	if domain.KindOf(err) == domain.NotFound && role.IsBuiltIn(id) {
		return nil, role.ErrBuiltIn
	}
	return out, err
}

// unused refuses to delete a role that somebody holds. Whoever is given it in the same
// moment has nothing from it.
func (a *API) unused(ctx context.Context, id domain.ID) error {
	head, err := a.Store.log.Head(ctx)
	if err != nil {
		return err
	}
	ids, n, err := a.Directory.Holders(ctx, id, head)
	if err != nil || n == 0 {
		return err
	}
	e := domain.Errorf(domain.Conflict, "role.in_use", "%d employees hold the role: give them others first", n)
	e.Items = ids
	return e
}
