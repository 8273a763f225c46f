package field

import (
	"cmp"
	"maps"
	"reflect"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/registry"
)

// Command is the closed set of requests to the registry of custom fields.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Define makes a field.
	Define struct {
		ID        domain.ID               `json:"-"`
		ProjectID domain.Field[domain.ID] `json:"project_id,omitzero" doc:"The project whose clients have the field; null or left out: those of all projects"`
		Key       string                  `json:"key" doc:"What the field is called in the API, for good: lower-case letters, digits and _" maxLength:"50" pattern:"^[a-z][a-z0-9_]*$" example:"customer_number"`
		Type      Type                    `json:"type" doc:"What it holds, for good" enum:"text,long_text,number,money,date,datetime,boolean,one_of,several_of,email,phone,url,employee,client"`
		Settings
	}
	// Change changes settings by a JSON merge patch of them.
	Change struct {
		ID    domain.ID
		Patch map[string]any
	}
	// Retire takes a field out of use.
	Retire struct{ ID domain.ID }
	// Restore takes a retired field back into use.
	Restore struct{ ID domain.ID }
)

func (Define) command()  {}
func (Change) command()  {}
func (Retire) command()  {}
func (Restore) command() {}

// ErrAbsent refuses what is asked of a field that there is not.
var ErrAbsent = domain.Errorf(domain.NotFound, "field.absent", "there is no such custom field")

// Definition is a field as it is now.
type Definition struct {
	ID        domain.ID
	ProjectID domain.ID // the zero ID: of clients of all projects
	Key       string
	Type      Type
	Settings
	Retired bool
}

// State is all definitions. Its maps and lists never change: whatever changes them
// makes new ones.
type State struct {
	of map[domain.ID][]*Definition // by project, sorted
}

// Ref names the registry.
func Ref() domain.Ref { return registry.Ref(domain.CustomField) }

// Aggregate is the registry for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.CustomField,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

// For returns the definitions in effect for clients of a project, sorted: those for
// all and its own, without the retired ones.
func (s State) For(project domain.ID) []Definition {
	var all []Definition
	for _, d := range s.visible(project) {
		if !d.Retired {
			all = append(all, *d)
		}
	}
	return all
}

// visible are the definitions for a project, the retired ones among them.
func (s State) visible(project domain.ID) []*Definition {
	if project == (domain.ID{}) {
		return s.of[project]
	}
	all := slices.Concat(s.of[domain.ID{}], s.of[project])
	slices.SortFunc(all, byOrder)
	return all
}

func byOrder(a, b *Definition) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Key, b.Key), domain.CompareIDs(a.ID, b.ID))
}

func (s State) find(id domain.ID) *Definition {
	for _, list := range s.of {
		for _, d := range list {
			if d.ID == id {
				return d
			}
		}
	}
	return nil
}

func refs(_ State, c Command) []domain.Ref {
	if c, ok := c.(Define); ok {
		return registry.Project(c.ProjectID.Value)
	}
	return nil
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Define:
		return c.decide(s, w, m.By)
	case Change:
		d, err := s.admit(c.ID, m.By)
		if err != nil {
			return nil, err
		}
		return c.decide(d)
	case Retire:
		d, err := s.admit(c.ID, m.By)
		if err != nil || d.Retired {
			return nil, err
		}
		return []Event{Retired{d.ID, d.ProjectID}}, nil
	case Restore:
		d, err := s.admit(c.ID, m.By)
		if err != nil || !d.Retired {
			return nil, err
		}
		return []Event{Restored{d.ID, d.ProjectID}}, nil
	}
	return nil, nil
}

func (s State) admit(id domain.ID, by domain.Authority) (*Definition, error) {
	d := s.find(id)
	if d == nil {
		return nil, ErrAbsent
	}
	return d, registry.Admits(by, d.ProjectID, ErrAbsent, domain.OrganisationManage)
}

var keyPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,49}$`)

func (c Define) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	project := c.ProjectID.Value
	var f domain.Faults
	switch err := registry.CheckScope("project_id", project, w, by, domain.OrganisationManage); {
	case domain.KindOf(err) == domain.Forbidden:
		return nil, err
	case s.find(c.ID) != nil:
		return nil, domain.Errorf(domain.Conflict, "field.exists", "the custom field exists already")
	default:
		f.Add(err)
	}
	if !keyPattern.MatchString(c.Key) {
		f.Add(domain.Fault("key", "malformed", "has to be 1 to 50 lower-case letters, digits and _, beginning with a letter"))
	} else if d := s.holder(project, c.Key); d != nil {
		e := domain.Fault("key", "taken", "is the key of another field: keys are never used twice, not even those of retired fields")
		e.Items = []domain.ID{d.ID}
		f.Add(e)
	}
	if len(s.of[project]) >= registry.Most {
		f.Add(domain.Fault("key", "too_many", "would be one of more than %d fields", registry.Most))
	}
	d := Definition{ID: c.ID, ProjectID: project, Key: c.Key, Type: c.Type, Settings: c.Settings}
	if !slices.Contains(Types, c.Type) {
		f.Add(domain.Fault("type", "unknown", "%q is none of the types", c.Type))
	} else {
		f.Add(d.check(Settings{}))
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Defined{c.ID, project, c.Key, c.Type, d.Settings}}, nil
}

// holder is the definition whose key a new one for the project would repeat. Clients
// move between projects with all that they have, but a key for all means one thing.
func (s State) holder(project domain.ID, key string) *Definition {
	for scope, list := range s.of {
		if scope != project && scope != (domain.ID{}) && project != (domain.ID{}) {
			continue
		}
		for _, d := range list {
			if d.Key == key {
				return d
			}
		}
	}
	return nil
}

func (c Change) decide(was *Definition) ([]Event, error) {
	d := *was
	err := registry.Merge(c.Patch, map[string]any{
		"label": &d.Label, "help": &d.Help, "group": &d.Group, "order": &d.Order,
		"required": &d.Required, "unique": &d.Unique, "default": &d.Default, "options": &d.Options,
	})
	if err != nil {
		return nil, err
	}
	if err := d.check(was.Settings); err != nil {
		return nil, err
	}
	if reflect.DeepEqual(d.Settings, was.Settings) {
		return nil, nil
	}
	return []Event{Changed{was.ID, was.ProjectID, was.Settings, d.Settings}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Defined:
		list := append(slices.Clone(s.of[e.ProjectID]), &Definition{e.FieldID, e.ProjectID, e.Key, e.Type, e.Settings, false})
		return s.with(e.ProjectID, list)
	case Changed:
		return s.replace(e.ProjectID, e.FieldID, func(d *Definition) { d.Settings = e.To })
	case Retired:
		return s.replace(e.ProjectID, e.FieldID, func(d *Definition) { d.Retired = true })
	case Restored:
		return s.replace(e.ProjectID, e.FieldID, func(d *Definition) { d.Retired = false })
	}
	return s
}

func (s State) replace(project, id domain.ID, change func(*Definition)) State {
	list := slices.Clone(s.of[project])
	i := slices.IndexFunc(list, func(d *Definition) bool { return d.ID == id })
	if i < 0 {
		return s
	}
	to := *list[i]
	change(&to)
	list[i] = &to
	return s.with(project, list)
}

func (s State) with(project domain.ID, list []*Definition) State {
	slices.SortFunc(list, byOrder)
	of := maps.Clone(s.of)
	if of == nil {
		of = map[domain.ID][]*Definition{}
	}
	of[project] = list
	return State{of}
}

// Refs names the aggregates that values of the types employee and client could mean:
// of the first of them only that are ids, see [State.Merge].
func Refs(values map[string]any) []domain.Ref {
	var refs []domain.Ref
	for _, id := range mentioned(values) {
		refs = append(refs, domain.Ref{Category: domain.Employee, ID: id}, domain.Ref{Category: domain.Client, ID: id})
	}
	return refs
}

// mostMentioned bounds how much has to be read to decide about one client.
const mostMentioned = 50

func mentioned(values map[string]any) []domain.ID {
	var ids []domain.ID
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if id, ok := parseID(values[key]); ok && !slices.Contains(ids, id) && len(ids) < mostMentioned {
			ids = append(ids, id)
		}
	}
	return ids
}

func parseID(v any) (domain.ID, bool) {
	s, ok := v.(string)
	if !ok || len(s) != 36 {
		return domain.ID{}, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil && id != domain.ID{}
}
