package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"

	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/eventschema"
	"annals/internal/eventlog"
)

var (
	//go:embed organisation.sql
	organisationTables string
	//go:embed organisation.indexes.sql
	organisationIndexes string
)

// organisation is projects, desks and employees.
var organisation = &Projector{
	Name: "organisation", Version: 1, Tables: organisationTables, Indexes: organisationIndexes,
	Apply: applyOrganisation, Inserts: []*Insert{insertProject, insertDesk, insertEmployee},
	Updates: []*Update{touchEmployee, eraseEmployee},
}

var (
	insertProject  = NewInsert("projects", "id", "name", "default_desk_id", "created_at", "revision")
	insertDesk     = NewInsert("desks", "id", "project_id", "name", "is_default", "created_at", "revision")
	insertEmployee = NewInsert("employees", "id", "name", "email", "roles", "created_at", "updated_at", "revision", "erased")
	touchEmployee  = NewUpdate("employees", "id", `updated_at = $2, revision = $3`)
	eraseEmployee  = NewUpdate("employees", "id", `name = '', email = '', erased = true`).Maybe()
)

func applyOrganisation(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case project.Created:
		insertProject.Queue(b, id(r), e.Name, orNull(e.DefaultDeskID), r.Meta.At, r.Revision)
	case desk.Created:
		insertDesk.Queue(b, id(r), orNull(e.ProjectID), e.Name, e.Default, r.Meta.At, r.Revision)
	case employee.Registered:
		insertEmployee.Queue(b, id(r), e.Name, e.Email, list(e.Roles), r.Meta.At, r.Meta.At, r.Revision, len(r.Erased) > 0)
	case employee.Assigned:
		touchEmployee.Queue(b, id(r), r.Meta.At, r.Revision)
		b.Queue(`delete from employee_projects where employee_id = $1`, id(r))
		b.Queue(`delete from employee_desks where employee_id = $1`, id(r))
		b.Queue(`insert into employee_projects select $1, unnest($2::uuid[])`, id(r), list(e.Projects))
		b.Queue(`insert into employee_desks select $1, unnest($2::uuid[])`, id(r), list(e.Desks))
	case eventschema.KeyDestroyed:
		eraseEmployee.Queue(b, id(r))
	}
}
