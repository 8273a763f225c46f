package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"

	"annals/domain/apikey"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/textfold"
)

var (
	//go:embed organisation.sql
	organisationTables string
	//go:embed organisation.indexes.sql
	organisationIndexes string
)

// organisation is projects, desks, employees, their roles and API keys.
var organisation = &Projector{
	Name: "organisation", Version: 5, Tables: organisationTables + builtInRoles(), Indexes: organisationIndexes,
	Found:   []string{"projects", "desks", "names"},
	Apply:   applyOrganisation,
	Inserts: []*Insert{insertProject, insertDesk, insertEmployee, insertName, insertRole, insertKey},
	Updates: []*Update{
		touchProject, touchEmployee, editEmployee, setRoles, deactivateEmployee, eraseEmployee, rename, eraseName, changeRole, deleteRole, revokeKey,
	},
}

var (
	insertProject  = NewInsert("projects", "id", "name", "name_key", "default_desk_id", "created_at", "revision")
	insertDesk     = NewInsert("desks", "id", "project_id", "name", "name_key", "is_default", "created_at", "revision")
	insertEmployee = NewInsert("employees", "id", "name", "email", "roles", "created_at", "updated_at", "revision", "erased")
	insertName     = NewInsert("names", "id", "name", "name_key")
	insertRole     = NewInsert("roles", "id", "ref", "name", "permissions", "created_at", "updated_at", "revision")
	insertKey      = NewInsert("api_keys", "id", "name", "owner_id", "permissions", "projects", "desks", "expires_at", "created_at", "revision")

	touchProject       = NewUpdate("projects", "id", `revision = $2`)
	touchEmployee      = NewUpdate("employees", "id", `updated_at = $2, revision = $3`)
	editEmployee       = NewUpdate("employees", "id", `updated_at = $2, revision = $3, name = $4, email = $5`)
	setRoles           = NewUpdate("employees", "id", `updated_at = $2, revision = $3, roles = $4`)
	deactivateEmployee = NewUpdate("employees", "id", `updated_at = $2, revision = $3, deactivated_at = $4`)
	eraseEmployee      = NewUpdate("employees", "id", `name = '', email = '', erased = true`).Maybe()
	rename             = NewUpdate("names", "id", `name = $2, name_key = $3`)
	eraseName          = NewUpdate("names", "id", `name = '', name_key = ''`).Maybe()
	changeRole         = NewUpdate("roles", "id", `updated_at = $2, revision = $3, name = $4, permissions = $5`)
	deleteRole         = NewUpdate("roles", "id", `updated_at = $2, revision = $3, deleted_at = $2`)
	revokeKey          = NewUpdate("api_keys", "id", `revoked_at = $2, revision = $3`)
)

func applyOrganisation(b *pgx.Batch, r *eventlog.Record) {
	id, at := id(r), r.Meta.At
	switch e := r.Event.(type) {
	case project.Created:
		insertProject.Queue(b, id, e.Name, textfold.Fold(e.Name), orNull(e.DefaultDeskID), at, r.Revision)
	case project.TransitionsChanged:
		touchProject.Queue(b, id, r.Revision)
	case desk.Created:
		insertDesk.Queue(b, id, orNull(e.ProjectID), e.Name, textfold.Fold(e.Name), e.Default, at, r.Revision)
	case apikey.Created:
		insertKey.Queue(b, id, e.Name, orNull(e.OwnerID), grants(e.Permissions), list(e.Projects), list(e.Desks), e.ExpiresAt, at, r.Revision)
		insertName.Queue(b, id, e.Name, textfold.Fold(e.Name))
	case apikey.Revoked:
		revokeKey.Queue(b, id, at, r.Revision)
	case role.Event:
		applyRole(b, r, e)
	case employee.Event:
		applyEmployee(b, r, e)
	case eventschema.KeyDestroyed:
		eraseEmployee.Queue(b, id)
		eraseName.Queue(b, id)
	}
}

func applyRole(b *pgx.Batch, r *eventlog.Record, e role.Event) {
	id, at := id(r), r.Meta.At
	switch e := e.(type) {
	case role.Created:
		insertRole.Queue(b, id, id.String(), e.Name, grants(e.Permissions), at, at, r.Revision)
	case role.Changed:
		changeRole.Queue(b, id, at, r.Revision, e.To.Name, grants(e.To.Permissions))
	case role.Deleted:
		deleteRole.Queue(b, id, at, r.Revision)
	}
}

func applyEmployee(b *pgx.Batch, r *eventlog.Record, e employee.Event) {
	id, at := id(r), r.Meta.At
	switch e := e.(type) {
	case employee.Registered:
		insertEmployee.Queue(b, id, e.Name, e.Email, list(e.Roles), at, at, r.Revision, len(r.Erased) > 0)
		insertName.Queue(b, id, e.Name, textfold.Fold(e.Name))
	case employee.Edited:
		editEmployee.Queue(b, id, at, r.Revision, e.To.Name, e.To.Email)
		rename.Queue(b, id, e.To.Name, textfold.Fold(e.To.Name))
	case employee.Assigned:
		touchEmployee.Queue(b, id, at, r.Revision)
		b.Queue(`delete from employee_projects where employee_id = $1`, id)
		b.Queue(`delete from employee_desks where employee_id = $1`, id)
		b.Queue(`insert into employee_projects select $1, unnest($2::uuid[])`, id, list(e.Projects))
		b.Queue(`insert into employee_desks select $1, unnest($2::uuid[])`, id, list(e.Desks))
	case employee.RolesChanged:
		setRoles.Queue(b, id, at, r.Revision, list(e.To))
	case employee.Deactivated:
		deactivateEmployee.Queue(b, id, at, r.Revision, at)
	case employee.Reactivated:
		deactivateEmployee.Queue(b, id, at, r.Revision, nil)
	case employee.CredentialChanged:
		touchEmployee.Queue(b, id, at, r.Revision)
	}
}
