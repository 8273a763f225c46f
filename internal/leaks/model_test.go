package leaks_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// id names anything; the zero id is none.
type id = uuid.UUID

var none id

// How far a permission goes.
const (
	nothing = iota
	own
	desk
	project
	all
)

var reachNames = []string{"", "own", "desk", "project", "all"}

// permissions are all that there are.
var permissions = strings.Fields(`clients.view clients.create clients.edit clients.assign clients.retag clients.status clients.deactivate
	clients.merge clients.import clients.export clients.message clients.erase clients.hold activities.write documents.write organisation.manage
	employees.view employees.manage roles.manage views.share webhooks.manage audit.view settings.manage`)

type rights map[string]int

// builtIn are the roles that everybody knows by name, in the words of the manual.
var builtIn = func() map[string]rights {
	work := strings.Fields("clients.create clients.edit clients.assign clients.retag clients.status clients.deactivate clients.message activities.write documents.write")
	more := strings.Fields("clients.merge clients.import clients.export views.share")
	within := func(reach int, lists ...[]string) rights {
		r := rights{}
		for _, p := range slices.Concat(lists...) {
			r[p] = reach
		}
		return r
	}
	m := map[string]rights{
		"agent":         within(own, work),
		"desk_manager":  within(desk, []string{"clients.view"}, work, more),
		"project_admin": within(project, []string{"clients.view"}, work, more, strings.Fields("clients.hold organisation.manage employees.view employees.manage audit.view")),
		"admin":         within(all, permissions),
		"auditor":       within(all, strings.Fields("clients.view employees.view audit.view")),
		"integration":   {},
	}
	m["agent"]["clients.view"], m["agent"]["employees.view"], m["desk_manager"]["employees.view"] = desk, project, project
	return m
}()

type set map[id]bool

func setOf(ids ...id) set {
	s := set{}
	for _, id := range ids {
		s[id] = true
	}
	return s
}

func (s set) within(t set) bool {
	for id := range s {
		if !t[id] {
			return false
		}
	}
	return true
}

func (s set) meets(t set) bool {
	for id := range s {
		if t[id] {
			return true
		}
	}
	return false
}

// state is an organisation at a moment.
type state struct {
	projects map[id]string // names
	desks    map[id]deskOf
	people   map[id]person
	roles    map[id]ownRole
	clients  map[id]client
	keys     map[id]apiKey
}

type deskOf struct {
	project id
	name    string
}

type person struct {
	name, email     string
	roles           []string // names of built-in ones, ids of others
	projects, desks set
	off             bool // deactivated
}

// covers says whether somebody can be the manager of a client that is there.
func (p person) covers(c place) bool {
	return p.projects[c.project] && (c.desk == none || p.desks[c.desk])
}

type ownRole struct {
	name   string
	grants rights
	gone   bool
}

type place struct{ project, desk, manager id }

type client struct {
	place
	first, last, email, status string
	tags                       []string
	off                        bool // deactivated
	held                       bool // under a legal hold
}

type apiKey struct {
	name            string
	owner           id
	grants          rights
	projects, desks set
	off             bool // revoked, or expired
}

func newState() *state {
	return &state{map[id]string{}, map[id]deskOf{}, map[id]person{}, map[id]ownRole{}, map[id]client{}, map[id]apiKey{}}
}

// clone is a copy. What is in the maps is replaced, never changed.
func (s *state) clone() *state {
	return &state{maps.Clone(s.projects), maps.Clone(s.desks), maps.Clone(s.people), maps.Clone(s.roles), maps.Clone(s.clients), maps.Clone(s.keys)}
}

// grants is what a role permits.
func (s *state) grants(role string) rights {
	if r, ok := builtIn[role]; ok {
		return r
	}
	if r := s.roles[uuid.MustParse(role)]; !r.gone {
		return r.grants
	}
	return nil
}

// union is the furthest reach of each permission in any of the roles.
func (s *state) union(roles []string) rights {
	out := rights{}
	for _, role := range roles {
		for p, reach := range s.grants(role) {
			out[p] = max(out[p], reach)
		}
	}
	return out
}

// viewer is somebody with what they may, and where.
type viewer struct {
	me              id // whose clients are their own; none for a key
	rights          rights
	projects, desks set
}

func (s *state) viewer(who id) viewer {
	if k, ok := s.keys[who]; ok {
		return s.keyViewer(k)
	}
	p := s.people[who]
	return viewer{who, s.union(p.roles), p.projects, p.desks}
}

// keyViewer is a key: what it was given, where it was given it, but only what and where
// its owner may do it too.
func (s *state) keyViewer(k apiKey) viewer {
	owner := s.viewer(k.owner)
	v := viewer{rights: rights{}, projects: owner.projects, desks: owner.desks}
	everywhere := true // may its owner do anywhere what it does?
	for p, reach := range k.grants {
		if reach = min(reach, owner.rights[p]); reach > nothing {
			v.rights[p] = reach
			everywhere = everywhere && owner.rights[p] == all
		}
	}
	if len(k.projects)+len(k.desks) > 0 {
		both := func(given, owners set) set {
			out := set{}
			for id := range given {
				if everywhere || owners[id] {
					out[id] = true
				}
			}
			return out
		}
		v.projects, v.desks = both(k.projects, owner.projects), both(k.desks, owner.desks)
	}
	return v
}

// reaches says whether a permission reaches a client that is there.
func (v viewer) reaches(permission string, c place) bool { return v.within(v.rights[permission], c) }

func (v viewer) within(reach int, c place) bool {
	assigned := v.projects[c.project] && (c.desk == none || v.desks[c.desk])
	mine := c.manager != none && c.manager == v.me && assigned
	switch reach {
	case own:
		return mine
	case desk:
		return mine || c.desk != none && assigned
	case project:
		return v.projects[c.project]
	}
	return reach == all
}

// sees says whether somebody sees a client.
func (v viewer) sees(c place) bool { return v.reaches("clients.view", c) }

// everyProject says whether somebody sees all projects and desks.
func (v viewer) everyProject() bool {
	return v.rights["clients.view"] == all || v.rights["organisation.manage"] == all || v.rights["employees.view"] == all
}

// seesProject says whether somebody sees a project, and its desks.
func (v viewer) seesProject(p id) bool { return v.everyProject() || v.projects[p] }

// knows says whether a permission on employees reaches one.
func (v viewer) knows(permission string, who id, p person) bool {
	switch v.rights[permission] {
	case own:
		return who == v.me
	case desk:
		return p.desks.meets(v.desks)
	case project:
		return p.projects.meets(v.projects)
	case all:
		return true
	}
	return false
}

// seesPerson says whether somebody sees an employee: themselves always.
func (v viewer) seesPerson(who id, p person) bool {
	return who == v.me || v.knows("employees.view", who, p)
}

// seesHistory says whether somebody sees what happened to an employee whom they see.
func (v viewer) seesHistory(who id, p person) bool {
	return v.knows("audit.view", who, p) || v.knows("employees.manage", who, p)
}

// seesKey says whether somebody sees an API key.
func (v viewer) seesKey(k apiKey) bool {
	return v.me != none && k.owner == v.me || v.rights["settings.manage"] == all
}
