package commands

import (
	"context"
	"net/http"
	"time"

	"annals/domain"
	"annals/domain/employee"
	"annals/internal/access"
	"annals/internal/auth"
	"annals/internal/httpapi"
)

// Credentials is the part of [auth.Store] that commands need.
type Credentials interface {
	Claim(ctx context.Context, id domain.ID, email, password string, exists func(context.Context, domain.ID) (bool, error)) error
	SignIn(ctx context.Context, email, password string) (auth.Session, error)
	End(ctx context.Context, token string) error
	Who(ctx context.Context, token string) (auth.Session, error)
	HasPassword(ctx context.Context, id domain.ID, password string) (bool, error)
}

// registerEmployee is a create with a step before it: the address has to be free,
// and the password goes to the credentials, never to the log.
func (a *API) registerEmployee(api *httpapi.API, r route) {
	type input struct {
		Keyed
		Body struct {
			employee.Register
			Password string `json:"password,omitempty" doc:"What they sign in with; left out, they cannot yet" maxLength:"256"`
		}
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		m, err := a.meta(ctx, r.method+" "+r.path, in.Key, in.Body.Register)
		if err != nil {
			return nil, err
		}
		return a.create(a.RegisterEmployee(ctx, newID(m), in.Body.Register, in.Body.Password, m))(r)
	})
}

// registering bounds how long registering an employee takes: less than an address
// is kept for one who is not there yet.
const registering = time.Minute

// RegisterEmployee makes an employee who can sign in. The address is claimed
// first: a crash in between leaves a claim for somebody who does not exist, which
// does not sign in and gives way after a while, never two employees with one address.
func (a *API) RegisterEmployee(ctx context.Context, id domain.ID, c employee.Register, password string, m domain.Meta) (Outcome, error) {
	var f domain.Faults
	if password != "" {
		f.Add(auth.CheckNewPassword("password", password))
	}
	_, err := employee.Aggregate.Decide(employee.State{}, c, nil, m)
	f.Add(err)
	if err := f.Err(); err != nil {
		return Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, registering)
	defer cancel()
	there, err := a.employeeExists(ctx, id)
	if err != nil {
		return Outcome{}, err
	}
	if !there {
		if err := a.Credentials.Claim(ctx, id, c.Email, password, a.employeeExists); err != nil {
			return Outcome{}, err
		}
	}
	out, err := Handle(ctx, a.Store, employee.Aggregate, id, employee.Command(c), m, AnyRevision)
	if err == nil && there && password != "" && m.Request != nil {
		// The fingerprint of the request knows nothing of the password: that must not get into the log.
		same, err := a.Credentials.HasPassword(ctx, id, password)
		if err != nil {
			return Outcome{}, err
		}
		if !same {
			return Outcome{}, errReused
		}
	}
	return out, err
}

func (a *API) employeeExists(ctx context.Context, id domain.ID) (bool, error) {
	s, err := Load[employee.State](ctx, a.Store, domain.Ref{Category: domain.Employee, ID: id})
	return s.Exists(), err
}

// Authenticate finds who a bearer token belongs to, with the rights that they
// have at this moment.
func (a *API) Authenticate(ctx context.Context, token string) (*access.Actor, error) {
	session, err := a.Credentials.Who(ctx, token)
	if err != nil {
		return nil, err
	}
	e, err := Load[employee.State](ctx, a.Store, domain.Ref{Category: domain.Employee, ID: session.Employee})
	if err != nil {
		return nil, err
	}
	if !e.Exists() {
		return nil, auth.ErrToken
	}
	return &access.Actor{ID: session.Employee, Admin: e.Admin(), Scope: e.Scope(), Token: token}, nil
}

// whoIsIn is an employee as they are told about themselves.
type whoIsIn struct {
	ID       domain.ID   `json:"id" format:"uuid"`
	Name     string      `json:"name"`
	Email    string      `json:"email"`
	Roles    []string    `json:"roles"`
	Projects []domain.ID `json:"projects"`
	Desks    []domain.ID `json:"desks"`
}

func (a *API) whoIsIn(ctx context.Context, id domain.ID) (whoIsIn, error) {
	e, err := Load[employee.State](ctx, a.Store, domain.Ref{Category: domain.Employee, ID: id})
	if err != nil {
		return whoIsIn{}, err
	}
	if !e.Exists() {
		return whoIsIn{}, auth.ErrSignIn
	}
	projects, desks := access.Assigned(e.Assigned())
	return whoIsIn{id, e.Name, e.Email, append([]string{}, e.Roles...), projects, desks}, nil
}

// Sessions is signing in and out.
func (a *API) Sessions(api *httpapi.API) {
	type signIn struct {
		Body struct {
			Email    string `json:"email" maxLength:"254"`
			Password string `json:"password" maxLength:"256"`
		}
	}
	type session struct {
		Body struct {
			Token    string    `json:"token" doc:"Send it as Authorization: Bearer TOKEN"`
			Expires  time.Time `json:"expires_at"`
			Employee whoIsIn   `json:"employee"`
		}
	}
	httpapi.Handle(api, httpapi.Op{ID: "sign-in", Method: "POST", Path: "/api/v1/session", Summary: "Sign in", Who: httpapi.Anyone, Tag: "session"},
		func(ctx context.Context, in *signIn) (*session, error) {
			s, err := a.Credentials.SignIn(ctx, in.Body.Email, in.Body.Password)
			if err != nil {
				return nil, err
			}
			out := &session{}
			out.Body.Token, out.Body.Expires = s.Token, s.Expires
			out.Body.Employee, err = a.whoIsIn(ctx, s.Employee)
			if err != nil {
				return nil, err
			}
			return out, nil
		})
	type me struct{ Body whoIsIn }
	httpapi.Handle(api, httpapi.Op{ID: "who-am-i", Method: "GET", Path: "/api/v1/session", Summary: "Who is signed in", Tag: "session"},
		func(ctx context.Context, _ *struct{}) (*me, error) {
			e, err := a.whoIsIn(ctx, access.From(ctx).Actor.ID)
			if err != nil {
				return nil, err
			}
			return &me{e}, nil
		})
	httpapi.Handle(api, httpapi.Op{ID: "sign-out", Method: "DELETE", Path: "/api/v1/session", Summary: "Sign out", Tag: "session", Status: http.StatusNoContent},
		func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			return nil, a.Credentials.End(ctx, access.From(ctx).Actor.Token)
		})
}
