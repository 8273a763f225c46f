// Package retention is rules by which clients are erased when what is known of them is
// needed no longer: which clients, how long after what, and whether somebody decides or
// nobody. All rules are in one aggregate, as tags are.
package retention

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/registry"
)

// Event is the closed set of facts about rules. A shipped event never changes shape: add
// a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Defined is a new rule.
	Defined struct {
		RuleID    domain.ID `json:"rule_id"`
		ProjectID domain.ID `json:"project_id,omitzero"` // the zero ID: for clients of all projects
		Settings
	}
	// Changed is what is different about a rule from now on.
	Changed struct {
		RuleID    domain.ID `json:"rule_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
		From      Settings  `json:"from"`
		To        Settings  `json:"to"`
	}
	// Deleted is the end of a rule.
	Deleted struct {
		RuleID    domain.ID `json:"rule_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
	}
)

func (Defined) event() {}
func (Changed) event() {}
func (Deleted) event() {}

// Settings are what can change about a rule.
type Settings struct {
	Name     string          `json:"name" doc:"What people call the rule: no other one of the project, or for all, is called that. Certificates of erasure say it, so it must hold nothing of a person" maxLength:"100" example:"Old leads"`
	Statuses []client.Status `json:"statuses,omitempty" doc:"Only clients of these statuses; none: of all" maxItems:"3"`
	Since    Since           `json:"since" doc:"From when the days count. last_contacted: of a client with whom nobody was in contact, from created; deactivated: clients that are not are not due" enum:"created,last_contacted,status_changed,deactivated"`
	Days     int             `json:"days" doc:"After how many days of 24 hours clients are due" minimum:"1" maximum:"36500" example:"730"`
	Action   Action          `json:"action" doc:"propose: clients that are due are listed; erase: they are erased as well, within an hour" enum:"propose,erase"`
}

// Since is what the days of a rule count from.
type Since string

// What they count from.
const (
	Created       Since = "created"
	LastContacted Since = "last_contacted" // of one who never was: created
	StatusChanged Since = "status_changed" // of one whose never did: created
	Deactivated   Since = "deactivated"
)

// Sinces are all of them.
var Sinces = []Since{Created, LastContacted, StatusChanged, Deactivated}

// Action is what is done with clients that are due.
type Action string

// The actions.
const (
	Propose Action = "propose" // they are listed
	Erase   Action = "erase"   // and nobody is asked
)

const (
	mostDays = 36500
	most     = 100 // rules for a project, or for all: each looks at all clients, every hour
)

// needs is what it takes to have clients of a project erased by a rule, or to see that
// they are not: to be able to erase each of them.
var needs = []domain.Permission{domain.ClientsErase, domain.ClientsView}

// Command is the closed set of requests to the registry of rules.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Define makes a rule.
	Define struct {
		ID        domain.ID               `json:"-"`
		ProjectID domain.Field[domain.ID] `json:"project_id,omitzero" doc:"The project whose clients are meant; null or left out: those of all projects"`
		Settings
	}
	// Change changes settings by a JSON merge patch of them.
	Change struct {
		ID    domain.ID
		Patch map[string]any
	}
	// Delete ends a rule.
	Delete struct{ ID domain.ID }
)

func (Define) command() {}
func (Change) command() {}
func (Delete) command() {}

// ErrAbsent refuses a command to a rule that there is not.
var ErrAbsent = domain.Errorf(domain.NotFound, "retention_rule.absent", "there is no such retention rule")

// Aggregate is the registry for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Retention,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

// Ref names the registry.
func Ref() domain.Ref { return registry.Ref(domain.Retention) }

// Rule is a rule that there is.
type Rule struct {
	ID, ProjectID domain.ID // the zero project: clients of all
	Settings
}

// State is the rules that there are, in the order in which they were made. Its list never
// changes: whatever changes it makes a new one.
type State struct{ Rules []Rule }

// Rule is the one with the id, if there is one.
func (s State) Rule(id domain.ID) (Rule, bool) {
	i := slices.IndexFunc(s.Rules, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return Rule{}, false
	}
	return s.Rules[i], true
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
		r, err := s.admit(c.ID, m.By)
		if err != nil {
			return nil, err
		}
		return c.decide(s, r)
	case Delete:
		r, err := s.admit(c.ID, m.By)
		if err != nil {
			return nil, err
		}
		return []Event{Deleted{r.ID, r.ProjectID}}, nil
	}
	return nil, nil
}

func (s State) admit(id domain.ID, by domain.Authority) (Rule, error) {
	r, ok := s.Rule(id)
	if !ok {
		return r, ErrAbsent
	}
	return r, registry.Admits(by, r.ProjectID, ErrAbsent, needs...)
}

func (c Define) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	r := Rule{c.ID, c.ProjectID.Value, c.Settings}
	var f domain.Faults
	switch err := registry.CheckScope("project_id", r.ProjectID, w, by, needs...); {
	case domain.KindOf(err) == domain.Forbidden:
		return nil, err
	default:
		f.Add(err)
	}
	if _, there := s.Rule(c.ID); there {
		return nil, domain.Errorf(domain.Conflict, "retention_rule.exists", "the retention rule exists already")
	}
	to, err := s.normal(r)
	f.Add(err)
	if s.count(r.ProjectID) >= most {
		f.Add(domain.Fault("name", "too_many", "would be one of more than %d rules", most))
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Defined{c.ID, r.ProjectID, to}}, nil
}

func (c Change) decide(s State, r Rule) ([]Event, error) {
	from := r.Settings
	var err error
	if r.Settings, err = registry.Patched(from, c.Patch, "is no part of a retention rule that can be changed"); err != nil {
		return nil, err
	}
	to, err := s.normal(r)
	if err != nil || reflect.DeepEqual(from, to) {
		return nil, err
	}
	return []Event{Changed{r.ID, r.ProjectID, from, to}}, nil
}

func (s State) count(project domain.ID) (n int) {
	for _, r := range s.Rules {
		if r.ProjectID == project {
			n++
		}
	}
	return n
}

// normal brings what a rule is to be into the form in which it is stored, and says what
// is wrong with it.
func (s State) normal(r Rule) (Settings, error) {
	to := r.Settings
	var f domain.Faults
	to.Name = domain.Text(to.Name)
	f.Add(domain.CheckName("name", to.Name, 100))
	if strings.Contains(to.Name, "@") {
		f.Add(domain.Fault("name", "personal", "holds what looks like an e-mail address, and certificates of erasure say it"))
	}
	for _, other := range s.Rules {
		if other.ID != r.ID && other.ProjectID == r.ProjectID && domain.Fold(other.Name) == domain.Fold(to.Name) {
			e := domain.Fault("name", "taken", "is the name of another rule")
			e.Items = []domain.ID{other.ID}
			f.Add(e)
		}
	}
	to.Statuses = nil
	for _, status := range client.Statuses { // in the order of the lifecycle, each once
		if slices.Contains(r.Statuses, status) {
			to.Statuses = append(to.Statuses, status)
		}
	}
	for i, status := range r.Statuses {
		if !slices.Contains(client.Statuses, status) {
			f.Add(domain.Fault(domain.At("statuses", i), "unknown", "is %q, and has to be lead, active or inactive", status))
		}
	}
	if !slices.Contains(Sinces, to.Since) {
		f.Add(domain.Fault("since", "unknown", "is %q, and has to be created, last_contacted, status_changed or deactivated", to.Since))
	}
	if to.Days < 1 || to.Days > mostDays {
		f.Add(domain.Fault("days", "out_of_range", "is %d, and has to be from 1 to %d", to.Days, mostDays))
	}
	if to.Action != Propose && to.Action != Erase {
		f.Add(domain.Fault("action", "unknown", "is %q, and has to be propose or erase", to.Action))
	}
	return to, f.Err()
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Defined:
		s.Rules = append(slices.Clone(s.Rules), Rule{e.RuleID, e.ProjectID, e.Settings})
	case Changed:
		if i := slices.IndexFunc(s.Rules, func(r Rule) bool { return r.ID == e.RuleID }); i >= 0 {
			s.Rules = slices.Clone(s.Rules)
			s.Rules[i].Settings = e.To
		}
	case Deleted:
		s.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r Rule) bool { return r.ID == e.RuleID })
	}
	return s
}

// Reason is why a client is erased by the rule, for the certificate.
func (r Rule) Reason() string {
	return fmt.Sprintf("Retention rule %q: %d days since %s (%s)", r.Name, r.Days, strings.ReplaceAll(string(r.Since), "_", " "), r.ID)
}

// Bare is [Rule.Reason] for a client who is called as the rule is, say: it names the rule
// by nothing but its id.
func (r Rule) Bare() string { return r.ID.String() }

// Client is as much of a client as rules go by, folded from the client's events.
type Client struct {
	Project                                  domain.ID
	Status                                   client.Status
	Created, Contacted, Changed, Deactivated time.Time // the zero time: never
	Held, Erased                             bool
}

// After is the client after an event at that time. When somebody was in contact with it,
// its events do not tell.
func (c Client) After(e client.Event, at time.Time) Client {
	switch e := e.(type) {
	case client.Registered:
		c = Client{Project: e.ProjectID, Status: e.Status, Created: at, Changed: at, Contacted: c.Contacted}
	case client.Reassigned:
		c.Project = e.To.ProjectID
	case client.StatusChanged:
		c.Status, c.Changed = e.To, at
	case client.Deactivated:
		c.Deactivated = at
	case client.Reactivated:
		c.Deactivated = time.Time{}
	case client.Held:
		c.Held = true
	case client.Released:
		c.Held = false
	case client.Erased:
		c.Erased = true
	case client.Edited, client.Retagged:
	}
	return c
}

// Due says since when a client is due by the rule, and whether it is at that time; one that
// has been erased never is. Package readapi has it as SQL, and TestRetentionDue holds the
// two together.
func (r Rule) Due(c Client, now time.Time) (since time.Time, due bool) {
	var from time.Time
	switch r.Since {
	case Created:
		from = c.Created
	case LastContacted:
		if from = c.Contacted; from.IsZero() {
			from = c.Created
		}
	case StatusChanged:
		from = c.Changed
	case Deactivated:
		from = c.Deactivated
	}
	if from.IsZero() || c.Erased || r.ProjectID != (domain.ID{}) && r.ProjectID != c.Project || len(r.Statuses) > 0 && !slices.Contains(r.Statuses, c.Status) {
		return time.Time{}, false
	}
	since = from.Add(time.Duration(r.Days) * 24 * time.Hour)
	return since, !since.After(now)
}
