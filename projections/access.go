package projections

import (
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/domain"
	"annals/domain/employee"
	"annals/domain/role"
	"annals/internal/eventlog"
)

var (
	//go:embed access.sql
	accessTables string
	//go:embed access.indexes.sql
	accessIndexes string
)

// access is who could see which clients, at any time. Where a client was, the
// history says.
var access = &Projector{
	Name: "access", Version: 1, Tables: accessTables + builtInPeriods(), Indexes: accessIndexes,
	Apply: applyAccess, Inserts: []*Insert{insertEmployeePeriod, insertRolePeriod},
}

var (
	insertEmployeePeriod = NewInsert("employee_periods", "employee_id", "revision", "valid_from", "active", "roles", "projects", "desks", "latest")
	insertRolePeriod     = NewInsert("role_periods", "role_id", "revision", "valid_from", "ref", "name", "reach")
)

// nextPeriod ends the last period of an employee and begins one that differs from it
// in what the parameters from $4 on say; null stays.
const nextPeriod = `with last as (
		update employee_periods set valid_to = greatest($3, latest) where employee_id = $1 and valid_to is null returning *)
	insert into employee_periods (employee_id, revision, valid_from, active, roles, projects, desks, latest)
	select employee_id, $2, valid_to, coalesce($4, active), coalesce($5, roles), coalesce($6, projects), coalesce($7, desks), valid_to from last`

const (
	laterInPeriod  = `update employee_periods set latest = greatest(latest, $2) where employee_id = $1 and valid_to is null`
	nextRolePeriod = `with last as (
		update role_periods set valid_to = greatest($3, valid_from) where role_id = $1 and valid_to is null returning *)
	insert into role_periods (role_id, revision, valid_from, ref, name, reach) select role_id, $2, valid_to, ref, $4, $5 from last`
	lastRolePeriod = `update role_periods set valid_to = greatest($2, valid_from) where role_id = $1 and valid_to is null`
)

func applyAccess(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case employee.Event:
		applyEmployeeAccess(b, r, e)
	case role.Event:
		applyRoleAccess(b, r, e)
	}
}

func applyEmployeeAccess(b *pgx.Batch, r *eventlog.Record, e employee.Event) {
	next := func(active *bool, roles []string, projects, desks []domain.ID) {
		b.Queue(nextPeriod, id(r), r.Revision, r.Meta.At, active, roles, projects, desks).Exec(exactlyOne("employee_periods"))
	}
	switch e := e.(type) {
	case employee.Registered:
		insertEmployeePeriod.Queue(b, id(r), r.Revision, r.Meta.At, true, list(e.Roles), []domain.ID{}, []domain.ID{}, r.Meta.At)
	case employee.Assigned:
		next(nil, nil, list(e.Projects), list(e.Desks))
	case employee.RolesChanged:
		next(nil, list(e.To), nil, nil)
	case employee.Deactivated:
		next(new(false), nil, nil, nil)
	case employee.Reactivated:
		next(new(true), nil, nil, nil)
	case employee.Edited, employee.CredentialChanged:
		b.Queue(laterInPeriod, id(r), r.Meta.At).Exec(exactlyOne("employee_periods"))
	}
}

func applyRoleAccess(b *pgx.Batch, r *eventlog.Record, e role.Event) {
	reach := func(d role.Definition) string { return domain.RightsOf(d.Permissions...)[domain.ClientsView].String() }
	switch e := e.(type) {
	case role.Created:
		insertRolePeriod.Queue(b, id(r), r.Revision, r.Meta.At, id(r).String(), e.Name, reach(e.Definition))
	case role.Changed:
		b.Queue(nextRolePeriod, id(r), r.Revision, r.Meta.At, e.To.Name, reach(e.To)).Exec(exactlyOne("role_periods"))
	case role.Deleted:
		b.Queue(lastRolePeriod, id(r), r.Meta.At).Exec(exactlyOne("role_periods"))
	}
}

// exactlyOne keeps an event of an aggregate that is not there from being lost quietly.
func exactlyOne(table string) func(pgconn.CommandTag) error {
	return func(ct pgconn.CommandTag) error {
		if n := ct.RowsAffected(); n != 1 {
			return fmt.Errorf("an event changed %d rows of %s", n, table)
		}
		return nil
	}
}
