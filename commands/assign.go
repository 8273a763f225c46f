package commands

import (
	"context"

	"annals/domain"
	"annals/domain/employee"
)

// AssignEmployee sets where an employee works. Whoever leaves a project or desk leaves
// no clients behind there.
func (a *API) AssignEmployee(ctx context.Context, to addressed, c employee.Assign) (Outcome, error) {
	for range attempts {
		out, err := a.assignEmployee(ctx, to, c)
		if to.at != AnyRevision || domain.KindOf(err) != domain.Precondition {
			return out, err
		}
	}
	return Outcome{}, errBusy
}

// assignEmployee assigns an employee who is at the revision from which it was found
// out what they leave behind.
func (a *API) assignEmployee(ctx context.Context, to addressed, c employee.Assign) (Outcome, error) {
	e, err := a.Store.load(ctx, domain.Ref{Category: domain.Employee, ID: to.id})
	if err != nil {
		return Outcome{}, err
	}
	at := to.at
	if at == AnyRevision {
		at = e.revision
	}
	done := a.Store.did(e, to.meta.Command)
	events, err := would(ctx, a.Store, employee.Aggregate, to.id, employee.Command(c), to.meta)
	if err == nil && c.ReassignTo.Value != (domain.ID{}) {
		err = a.checkHeir(ctx, to, nil, c.ReassignTo.Value)
	}
	if err != nil && !done {
		return refuse(ctx, a.Store, employee.Aggregate, to.id, employee.Command(c), to.meta, at, err)
	}
	before := e.state.(employee.State).Scope()
	after := before
	for _, e := range events {
		if e, ok := e.(employee.Assigned); ok {
			after = domain.ScopeOf(e.Projects, e.Desks)
		}
	}
	stays := func(p domain.Place) bool { return after.Covers(p.Project, p.Desk) }
	assign := func() (Outcome, error) {
		return Handle(ctx, a.Store, employee.Aggregate, to.id, employee.Command(c), to.meta, at)
	}
	if done || at != e.revision || after.Holds(before) {
		return assign()
	}
	behind, err := a.managed(ctx, to.id, stays)
	if err != nil {
		return Outcome{}, err
	}
	if len(behind) > 0 && !c.ReassignTo.Set {
		return Outcome{}, inTheWay(behind, to.meta.By)
	}
	if err := a.handOver(ctx, to, behind, c.ReassignTo.Value); err != nil {
		return Outcome{}, err
	}
	out, err := assign()
	if err != nil {
		return out, err
	}
	// Clients that were given to them while they left.
	late, err := a.managed(ctx, to.id, stays)
	if err == nil {
		err = a.handOver(ctx, to, late, c.ReassignTo.Value)
	}
	return out, err
}
