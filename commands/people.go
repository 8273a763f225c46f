package commands

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/employee"
	"annals/internal/auth"
	"annals/internal/httpapi"
)

const employees = "/api/v1/employees"

// employees takes the commands to employees, most of which also concern what they
// sign in with or the clients that they manage.
func (a *API) employees(api *httpapi.API) {
	a.registerEmployee(api, route{"POST", employees, domain.EmployeesManage, "Register an employee"})
	handleEmployee(a, api, route{"PATCH", employees + "/{id}", domain.EmployeesManage, "Change what an employee is called or signs in with"}, a.EditEmployee)
	handleEmployee(a, api, route{"POST", employees + "/{id}/assign", domain.EmployeesManage, "Set the projects and desks that an employee works for"}, a.AssignEmployee)
	change[employee.SetRoles](a, api, route{"POST", employees + "/{id}/roles", domain.EmployeesManage, "Set the roles of an employee"}, employee.Aggregate)
	a.deactivateEmployee(api, route{"POST", employees + "/{id}/deactivate", domain.EmployeesManage, "Deactivate an employee: their sessions and keys end at once"})
	a.reactivateEmployee(api, route{"POST", employees + "/{id}/reactivate", domain.EmployeesManage, "Reactivate an employee, who signs in anew"})
}

// handleEmployee takes command B, which does more than append events.
func handleEmployee[B any](a *API, api *httpapi.API, r route, do func(context.Context, addressed, B) (Outcome, error)) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body B
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		to, err := a.addressed(ctx, r, in.ID, in.Params, in.Body)
		if err != nil {
			return nil, err
		}
		o, err := do(ctx, to, in.Body)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		return &out, nil
	})
}

// registerEmployee is a create with a step before it: the address has to be free,
// and the password goes to the credentials, never to the log.
func (a *API) registerEmployee(api *httpapi.API, r route) {
	type input struct {
		Keyed
		Body struct {
			employee.Register
			Password string `json:"password,omitempty" doc:"What they sign in with; left out, they cannot before they have set one by a mailed link" maxLength:"256"`
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
		f.Add(auth.CheckNewPassword("password", password, c.Email))
	}
	ctx, cancel := context.WithTimeout(ctx, registering)
	defer cancel()
	there, err := a.employeeExists(ctx, id)
	if err != nil {
		return Outcome{}, err
	}
	if !there {
		_, err := would(ctx, a.Store, employee.Aggregate, id, employee.Command(c), m)
		f.Add(err)
	}
	if err := f.Err(); err != nil {
		return Outcome{}, err
	}
	if !there {
		if err := a.Credentials.Claim(ctx, id, c.Email, password, a.employeeExists); err != nil {
			return Outcome{}, err
		}
	}
	out, err := Handle(ctx, a.Store, employee.Aggregate, id, employee.Command(c), m, AnyRevision)
	if err == nil && there && password != "" && m.Request != nil {
		// The fingerprint of the request knows nothing of the password: that must not get
		// into the log. Repeating a request must not be a way to guess what it is today.
		err = a.Credentials.ProvePassword(ctx, id, password)
		if errors.Is(err, auth.ErrPassword) {
			err = errReused
		}
		if err != nil {
			return Outcome{}, err
		}
	}
	return out, err
}

func (a *API) employeeExists(ctx context.Context, id domain.ID) (bool, error) {
	s, err := a.employee(ctx, id)
	return s.Exists(), err
}

func (a *API) employee(ctx context.Context, id domain.ID) (employee.State, error) {
	return Load[employee.State](ctx, a.Store, domain.Ref{Category: domain.Employee, ID: id})
}

// errSuperseded keeps an address out of the credentials that the log does not have.
var errSuperseded = errors.New("the employee has another address by now")

// EditEmployee changes who an employee is. A new address is given to them in the
// credentials together with the event: inside the transaction, which is committed
// when the event is in the log, and only if the log has no later address. Where that
// was cut off, the next request for the same address does what is left.
func (a *API) EditEmployee(ctx context.Context, to addressed, c employee.Edit) (Outcome, error) {
	edit := func(ctx context.Context) (out Outcome, err error) {
		return Handle(ctx, a.Store, employee.Aggregate, to.id, employee.Command(c), to.meta, to.at)
	}
	if !c.Email.Set {
		return edit(ctx)
	}
	e, err := a.Store.load(ctx, domain.Ref{Category: domain.Employee, ID: to.id})
	if err != nil {
		return Outcome{}, err
	}
	s, done := e.state.(employee.State), a.Store.did(e, to.meta.Command)
	if _, err := would(ctx, a.Store, employee.Aggregate, to.id, employee.Command(c), to.meta); err != nil && !done {
		return refuse(ctx, a.Store, employee.Aggregate, to.id, employee.Command(c), to.meta, to.at, err)
	}
	email := c.Over(s).Email
	if email != s.Email && done {
		return edit(ctx) // as it ended then; they have got another one since
	}
	if email == s.Email {
		owner, known, err := a.Credentials.ByEmail(ctx, email)
		if err != nil {
			return Outcome{}, err
		}
		if known && owner == to.id {
			c.Email = domain.Field[string]{} // or it would undo, in the log only, what changes it in between
			return edit(ctx)
		}
	}
	var out Outcome
	err = a.Credentials.ChangeEmail(ctx, to.id, email, a.employeeExists, func(ctx context.Context) (err error) {
		if out, err = edit(ctx); err != nil {
			return err
		}
		s, err := a.employee(ctx, to.id)
		if err == nil && s.Email != email {
			err = errSuperseded
		}
		return err
	})
	if errors.Is(err, errSuperseded) {
		err = nil
	}
	return out, err
}

// Deactivation is the answer to a deactivation: who still has no other manager.
type Deactivation struct {
	Receipt
	Clients []domain.ID `json:"clients" doc:"The clients that they still manage and you may see, to be reassigned: at most 100 of them; GET /api/v1/clients?manager=ID lists all"`
	Total   int         `json:"clients_total" doc:"How many those are, of at most 10,000"`
}

func (a *API) deactivateEmployee(api *httpapi.API, r route) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body *employee.Deactivate
	}
	type output struct {
		ETag     string `header:"ETag"`
		Position string `header:"Annals-Position"`
		Replayed string `header:"Idempotency-Replayed" doc:"true when the request had been carried out before"`
		Body     Deactivation
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*output, error) {
		var c employee.Deactivate
		if in.Body != nil {
			c = *in.Body
		}
		to, err := a.addressed(ctx, r, in.ID, in.Params, c)
		if err != nil {
			return nil, err
		}
		o, left, err := a.DeactivateEmployee(ctx, to, c)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		ids, n := seen(left, to.meta.By)
		return &output{out.ETag, out.Position, out.Replayed, Deactivation{out.Body, ids, n}}, nil
	})
}

// DeactivateEmployee ends an employee's access, and then has their clients taken over
// where somebody is named for it. It returns the clients that they still manage.
func (a *API) DeactivateEmployee(ctx context.Context, to addressed, c employee.Deactivate) (out Outcome, left []domain.Placed, err error) {
	command := employee.Command(c)
	if _, err := would(ctx, a.Store, employee.Aggregate, to.id, command, to.meta); err == nil && c.ReassignTo.Value != (domain.ID{}) {
		behind, err := a.managed(ctx, to.id, nobodys)
		if err == nil {
			err = a.checkHeir(ctx, to, behind, c.ReassignTo.Value)
		}
		if err != nil {
			return Outcome{}, nil, err
		}
	}
	if out, err = Handle(ctx, a.Store, employee.Aggregate, to.id, command, to.meta, to.at); err != nil {
		return out, nil, err
	}
	s, err := a.employee(ctx, to.id)
	if err != nil || s.Active() { // a request of before they were reactivated
		return out, nil, err
	}
	if err := a.endAccess(ctx, to); err != nil {
		return out, nil, err
	}
	if !c.ReassignTo.Set {
		left, _, err = a.stillManaged(ctx, to.id, mostAtOnce)
		return out, left, err
	}
	if left, err = a.managed(ctx, to.id, nobodys); err != nil {
		return out, nil, err
	}
	return out, nil, a.handOver(ctx, to, left, c.ReassignTo.Value)
}

func nobodys(domain.Place) bool { return false }

// endAccess removes what somebody signs in with but their password. That they cannot,
// follows from their being deactivated, whether we get here or not.
func (a *API) endAccess(ctx context.Context, to addressed) error {
	head, err := a.Store.log.Head(ctx)
	if err != nil {
		return err
	}
	keys, err := a.Directory.Keys(ctx, to.id, head)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := a.revokeKey(ctx, key, derived(to.meta)); err != nil {
			return err
		}
	}
	return a.Credentials.EndEverything(ctx, to.id)
}

func (a *API) reactivateEmployee(api *httpapi.API, r route) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		to, err := a.addressed(ctx, r, in.ID, in.Params, nil)
		if err != nil {
			return nil, err
		}
		command := employee.Command(employee.Reactivate{})
		s, err := a.employee(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		_, refused := would(ctx, a.Store, employee.Aggregate, in.ID, command, to.meta)
		if s.Exists() && !s.Active() && refused == nil {
			// What a deactivation that was cut off has left must not come to life.
			if err := a.endAccess(ctx, to); err != nil {
				return nil, err
			}
		}
		o, err := Handle(ctx, a.Store, employee.Aggregate, in.ID, command, to.meta, to.at)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		return &out, nil
	})
}
