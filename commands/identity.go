package commands

import (
	"context"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/employee"
	"annals/domain/role"
	"annals/internal/access"
	"annals/internal/auth"
)

// Authenticate finds who a token belongs to, with the rights that they have at this
// moment: an employee's session, or an API key.
func (a *API) Authenticate(ctx context.Context, token string) (*access.Actor, error) {
	if auth.IsKey(token) {
		return a.authenticateKey(ctx, token)
	}
	session, err := a.Credentials.Who(ctx, token)
	if err != nil {
		return nil, err
	}
	s, may, err := a.authority(ctx, session.Employee)
	if err != nil {
		return nil, err
	}
	if !s.Active() {
		return nil, auth.ErrToken
	}
	return &access.Actor{Authority: may, Who: session.Employee, Roles: s.Roles, Session: session.ID, Token: token}, nil
}

// authenticateKey has a key live no longer than its owner may sign in.
func (a *API) authenticateKey(ctx context.Context, token string) (*access.Actor, error) {
	use, err := a.Credentials.Key(ctx, token)
	if err != nil {
		return nil, err
	}
	key, err := Load[apikey.State](ctx, a.Store, domain.Ref{Category: domain.APIKey, ID: use.ID})
	if err != nil {
		return nil, err
	}
	owner, may, err := a.authority(ctx, use.Owner)
	if err != nil {
		return nil, err
	}
	if !key.Live(a.Now()) || key.OwnerID != use.Owner || !owner.Active() {
		return nil, auth.ErrKey
	}
	return &access.Actor{Authority: key.Authority(may), Who: use.ID, Owner: use.Owner, Roles: []string{role.Integration}, Token: token}, nil
}

// authority is what an employee may do now, by their roles as they are now.
func (a *API) authority(ctx context.Context, id domain.ID) (employee.State, domain.Authority, error) {
	s, err := a.employee(ctx, id)
	if err != nil {
		return s, domain.Authority{}, err
	}
	var w domain.World
	if refs := role.Refs(s.Roles); len(refs) > 0 {
		if w, err = a.Store.world(ctx, refs); err != nil {
			return s, domain.Authority{}, err
		}
	}
	return s, s.Authority(id, w), nil
}

// isActive says whether somebody may sign in.
func (a *API) isActive(ctx context.Context, id domain.ID) (bool, error) {
	s, err := a.employee(ctx, id)
	return s.Active(), err
}

// Somebody is whoever asks, as they are told about themselves.
type Somebody struct {
	ID          domain.ID      `json:"id" format:"uuid"`
	Kind        string         `json:"kind" enum:"employee,api_key"`
	Name        string         `json:"name"`
	Email       string         `json:"email,omitempty"`
	Roles       []string       `json:"roles" doc:"Names of built-in roles, and ids of others"`
	Permissions []domain.Grant `json:"permissions" doc:"What all roles together permit, and how far"`
	Projects    []domain.ID    `json:"projects" doc:"The projects that desk and project reach into"`
	Desks       []domain.ID    `json:"desks" doc:"The desks that desk reaches into"`
	OwnerID     *domain.ID     `json:"owner_id,omitempty" doc:"Whose API key it is"`
}

func (a *API) somebody(ctx context.Context, who *access.Actor) (Somebody, error) {
	projects, desks := access.Assigned(who.Scope)
	out := Somebody{
		ID: who.Who, Kind: "employee", Roles: append([]string{}, who.Roles...), Permissions: who.Rights.Grants(), Projects: projects, Desks: desks,
	}
	if who.IsKey() {
		key, err := Load[apikey.State](ctx, a.Store, domain.Ref{Category: domain.APIKey, ID: who.Who})
		out.Kind, out.Name, out.OwnerID = "api_key", key.Name, &who.Owner
		return out, err
	}
	s, err := a.employee(ctx, who.Who)
	out.Name, out.Email = s.Name, s.Email
	return out, err
}

// person is the employee who asks: what concerns what somebody signs in with is
// refused to keys.
func person(ctx context.Context) (*access.Actor, error) {
	who := access.From(ctx).Actor
	if who.IsKey() {
		return nil, domain.Errorf(domain.Forbidden, "people_only", "only employees who have signed in may do this, no API keys")
	}
	return who, nil
}
