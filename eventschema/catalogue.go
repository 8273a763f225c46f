package eventschema

import (
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/note"
	"annals/domain/project"
	"annals/domain/role"
)

// catalogue is every event type, and every version it was ever stored in. The
// n-th entry reads version n; the last is today's. A name is its stream's
// category, a dot, and what happened.
var catalogue = map[string][]version{
	"apikey.created":              {now[apikey.Created]()},
	"apikey.revoked":              {now[apikey.Revoked]()},
	"client.deactivated":          {now[client.Deactivated]()},
	"client.edited":               {now[client.Edited]()},
	"client.reactivated":          {now[client.Reactivated]()},
	"client.reassigned":           {now[client.Reassigned]()},
	"client.registered":           {now[client.Registered]()},
	"client.retagged":             {now[client.Retagged]()},
	"client.status_changed":       {now[client.StatusChanged]()},
	"desk.created":                {now[desk.Created]()},
	"employee.assigned":           {now[employee.Assigned]()},
	"employee.credential_changed": {now[employee.CredentialChanged]()},
	"employee.deactivated":        {now[employee.Deactivated]()},
	"employee.edited":             {now[employee.Edited]()},
	"employee.reactivated":        {now[employee.Reactivated]()},
	"employee.registered":         {now[employee.Registered]()},
	"employee.roles_changed":      {now[employee.RolesChanged]()},
	"key.created":                 {now[KeyCreated]()},
	"note.added":                  {now[note.Added]()},
	"note.deleted":                {now[note.Deleted]()},
	"note.edited":                 {now[note.Edited]()},
	"note.pinned":                 {now[note.Pinned]()},
	"note.unpinned":               {now[note.Unpinned]()},
	"project.created":             {now[project.Created]()},
	"role.changed":                {now[role.Changed]()},
	"role.created":                {now[role.Created]()},
	"role.deleted":                {now[role.Deleted]()},
}
