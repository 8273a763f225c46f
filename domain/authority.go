package domain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Permission is something that people may be allowed to do.
type Permission string

// The permissions. Those on clients, and on what belongs to one, are held within a
// [Reach]; for the others see [Reach] as well.
const (
	ClientsView        Permission = "clients.view"
	ClientsCreate      Permission = "clients.create"
	ClientsEdit        Permission = "clients.edit"
	ClientsAssign      Permission = "clients.assign"
	ClientsRetag       Permission = "clients.retag"
	ClientsStatus      Permission = "clients.status"
	ClientsDeactivate  Permission = "clients.deactivate"
	ClientsMerge       Permission = "clients.merge"
	ClientsImport      Permission = "clients.import"
	ClientsExport      Permission = "clients.export"
	ClientsMessage     Permission = "clients.message"
	ClientsErase       Permission = "clients.erase"
	ClientsHold        Permission = "clients.hold"
	ActivitiesWrite    Permission = "activities.write"
	DocumentsWrite     Permission = "documents.write"
	OrganisationManage Permission = "organisation.manage"
	EmployeesView      Permission = "employees.view"
	EmployeesManage    Permission = "employees.manage"
	RolesManage        Permission = "roles.manage"
	ViewsShare         Permission = "views.share"
	WebhooksManage     Permission = "webhooks.manage"
	AuditView          Permission = "audit.view"
	SettingsManage     Permission = "settings.manage"
)

// Permissions are all that there are, in the order in which they are shown.
var Permissions = []Permission{
	ClientsView, ClientsCreate, ClientsEdit, ClientsAssign, ClientsRetag, ClientsStatus, ClientsDeactivate, ClientsMerge,
	ClientsImport, ClientsExport, ClientsMessage, ClientsErase, ClientsHold, ActivitiesWrite, DocumentsWrite,
	OrganisationManage, EmployeesView, EmployeesManage, RolesManage, ViewsShare, WebhooksManage, AuditView, SettingsManage,
}

// Reach is how far a permission goes. Each one includes those before it: who may
// see a desk's clients also sees their own.
type Reach uint8

// The reaches. For what is no client: own is oneself, desk and project are what
// belongs to an assigned one, and what belongs to none needs all.
const (
	Nothing    Reach = iota
	Own              // clients that one manages
	OnDesks          // clients on assigned desks
	InProjects       // clients of assigned projects
	Everywhere
)

var reaches = [...]string{"", "own", "desk", "project", "all"}

func (r Reach) String() string { return reaches[r] }

// MarshalText writes the name of r.
func (r Reach) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads one of own, desk, project, all.
func (r *Reach) UnmarshalText(b []byte) error {
	i := slices.Index(reaches[1:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is none of the reaches own, desk, project, all", b)
	}
	*r = Reach(i + 1) //nolint:gosec // there are five
	return nil
}

// Grant is a permission within a reach.
type Grant struct {
	Permission Permission `json:"permission"`
	Reach      Reach      `json:"reach"`
}

// Rights are how far each permission goes; what is not among them is not permitted.
type Rights map[Permission]Reach

// RightsOf are the rights that grants give together: the furthest reach of each.
func RightsOf(grants ...Grant) Rights {
	r := Rights{}
	for _, g := range grants {
		r[g.Permission] = max(r[g.Permission], g.Reach)
	}
	return r
}

// Grants are the rights as a list, in the order of [Permissions].
func (r Rights) Grants() []Grant {
	grants := make([]Grant, 0, len(r))
	for p, reach := range r {
		if reach > Nothing {
			grants = append(grants, Grant{p, reach})
		}
	}
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Compare(slices.Index(Permissions, a.Permission), slices.Index(Permissions, b.Permission))
	})
	return grants
}

// Lacks is the first grant of others, in the order of [Permissions], that goes
// further than r, if there is one.
func (r Rights) Lacks(others Rights) (Grant, bool) {
	for _, g := range others.Grants() {
		if r[g.Permission] < g.Reach {
			return g, true
		}
	}
	return Grant{}, false
}

// Within is what both r and others permit.
func (r Rights) Within(others Rights) Rights {
	both := Rights{}
	for p, reach := range r {
		if m := min(reach, others[p]); m > Nothing {
			both[p] = m
		}
	}
	return both
}

// AllRights permit everything, everywhere.
func AllRights() Rights {
	r := Rights{}
	for _, p := range Permissions {
		r[p] = Everywhere
	}
	return r
}

// Scope is the projects and desks that somebody is assigned to. The zero Scope is none.
type Scope struct {
	Projects map[ID]bool
	Desks    map[ID]bool
}

// ScopeOf is the scope of these projects and desks.
func ScopeOf(projects, desks []ID) Scope { return Scope{set(projects), set(desks)} }

func set(ids []ID) map[ID]bool {
	m := make(map[ID]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// Covers says whether somebody who is assigned to the scope can be the manager of a
// client of the project and desk (the zero ID for none): its project is assigned,
// and its desk where it has one.
func (s Scope) Covers(project, desk ID) bool {
	return s.Projects[project] && (desk == ID{} || s.Desks[desk])
}

// Within is what both s and others hold.
func (s Scope) Within(others Scope) Scope {
	both := func(a, b map[ID]bool) map[ID]bool {
		m := maps.Clone(a)
		maps.DeleteFunc(m, func(id ID, _ bool) bool { return !b[id] })
		return m
	}
	return Scope{both(s.Projects, others.Projects), both(s.Desks, others.Desks)}
}

// Holds says whether all of others is assigned here as well.
func (s Scope) Holds(others Scope) bool {
	return holds(s.Projects, others.Projects) && holds(s.Desks, others.Desks)
}

func holds(all, some map[ID]bool) bool {
	for id := range some {
		if !all[id] {
			return false
		}
	}
	return true
}

// Place is where a client belongs: to a project, a desk and a manager, the latter two
// the zero ID for none.
type Place struct{ Project, Desk, Manager ID }

// Placed is a client, and where it belongs.
type Placed struct {
	ID ID
	Place
}

// Authority is who acts, what they may do, and where. The zero Authority may
// nothing.
type Authority struct {
	ID     ID // whose clients are their own; the zero ID for an API key
	Behalf ID // whose key it is; the zero ID for an employee
	Rights Rights
	Scope  Scope
}

// Root is the authority of the system itself.
var Root = Authority{ID: System, Rights: AllRights()}

// Is says whether who acts is the employee, or acts for them.
func (a Authority) Is(employee ID) bool {
	return employee != ID{} && (a.ID == employee || a.Behalf == employee)
}

// May says whether the permission reaches a client that belongs to the place. It is
// the one rule of visibility; package access has it as SQL.
func (a Authority) May(p Permission, at Place) bool {
	return a.Rights[p].covers(a.ID, a.Scope, at)
}

func (r Reach) covers(who ID, s Scope, at Place) bool {
	own := at.Manager != ID{} && at.Manager == who && s.Covers(at.Project, at.Desk)
	onDesk := at.Desk != ID{} && s.Covers(at.Project, at.Desk)
	switch r {
	case Everywhere:
		return true
	case InProjects:
		return s.Projects[at.Project]
	case OnDesks:
		return onDesk || own
	case Own:
		return own
	case Nothing:
	}
	return false
}

// MayIn says whether the permission reaches what belongs to a project as such, and
// with the zero ID what belongs to none.
func (a Authority) MayIn(p Permission, project ID) bool {
	return a.Rights[p] == Everywhere || a.Rights[p] == InProjects && a.Scope.Projects[project]
}

// ErrForbidden refuses what somebody may not do to something that they may see.
var ErrForbidden = Errorf(Forbidden, "forbidden", "you may not do this")

// OutOfReach refuses a project or desk in which somebody may not do something. Whether
// it exists does not matter.
func OutOfReach(field, noun string) *Error {
	return &Error{Kind: Forbidden, Code: "not_assigned", Field: field, Msg: "is not a " + noun + " in which you may do this"}
}

// CheckGrants faults a list of grants that is not well-formed, or goes further than
// the rights of whoever gives it: nobody grants what they do not have.
func CheckGrants(field string, grants []Grant, by Authority) error {
	var f Faults
	seen := Rights{}
	for i, g := range grants {
		at := At(field, i)
		switch {
		case !slices.Contains(Permissions, g.Permission):
			f.Add(Fault(at+".permission", "unknown", "%q is none of the permissions", g.Permission))
		case g.Reach == Nothing || g.Reach > Everywhere:
			f.Add(Fault(at+".reach", "required", "is required: own, desk, project or all"))
		case seen[g.Permission] != Nothing:
			f.Add(Fault(at+".permission", "repeated", "is there twice"))
		case by.Rights[g.Permission] < g.Reach:
			f.Add(beyond(at, g))
		}
		seen[g.Permission] = g.Reach
	}
	return f.Err()
}

// CheckRights refuses to give rights that go further than those of whoever gives them.
func CheckRights(field string, rights Rights, by Authority) error {
	if g, ok := by.Rights.Lacks(rights); ok {
		return beyond(field, g)
	}
	return nil
}

// CheckRightsIn refuses to give rights to somebody who is assigned to the scope, or
// these assignments to somebody with the rights, unless whoever does it may do
// all of that there themselves: the same reach goes elsewhere for everybody. With each
// desk its project has to be in the scope.
func CheckRightsIn(field string, rights Rights, in Scope, by Authority) error {
	for _, g := range rights.Grants() {
		ok := false
		switch reach := by.Rights[g.Permission]; {
		case reach < g.Reach:
		case reach == Everywhere:
			ok = true
		case reach == InProjects:
			ok = holds(by.Scope.Projects, in.Projects)
		default:
			ok = by.Scope.Holds(in)
		}
		if !ok {
			return beyond(field, g)
		}
	}
	return nil
}

func beyond(field string, g Grant) error {
	return &Error{Kind: Forbidden, Code: "not_yours", Field: field, Msg: fmt.Sprintf("includes %s within %s, which you do not have there yourself", g.Permission, g.Reach)}
}
