// Package imported is what became of a file of clients: how many of its rows were
// registered. Each client has its own history; here are counts only.
package imported

import "annals/domain"

// Event is the closed set of facts about an import. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Finished says that an import has come to its end.
type Finished struct {
	EmployeeID domain.ID `json:"employee_id"` // who imported, in person or with a key of theirs
	Registered int       `json:"registered"`
	Skipped    int       `json:"skipped"`  // had been registered before
	Rejected   int       `json:"rejected"` // could not be read, or were refused
}

func (Finished) event() {}

// Command is the closed set of requests to an import.
//
//sumtype:decl
type Command interface{ command() }

// Finish records that an import has come to its end.
type Finish struct {
	Registered int `json:"registered" doc:"How many clients were registered" minimum:"0" maximum:"1000000000" example:"67"`
	Skipped    int `json:"skipped,omitempty" doc:"How many rows had been registered before" minimum:"0" maximum:"1000000000" example:"3"`
	Rejected   int `json:"rejected,omitempty" doc:"How many rows could not be read, or were refused" minimum:"0" maximum:"1000000000" example:"24"`
}

func (Finish) command() {}

// State is what decisions need to know about an import.
type State struct{ finished bool }

// Exists says whether there was such an import.
func (s State) Exists() bool { return s.finished }

// ErrExists refuses to end an import twice.
var ErrExists = domain.Errorf(domain.Conflict, "import.exists", "the import has ended already")

// most is how many rows an import may have of each fate.
const most = 1_000_000_000

// Aggregate is the import for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Import,
	Decide: func(s State, c Command, _ domain.World, m domain.Meta) ([]Event, error) {
		switch c := c.(type) {
		case Finish:
			return c.decide(s, m.By)
		}
		return nil, nil
	},
	Evolve: func(s State, e Event) State {
		switch e.(type) {
		case Finished:
			s.finished = true
		}
		return s
	},
}

func (c Finish) decide(s State, by domain.Authority) ([]Event, error) {
	if by.Rights[domain.ClientsImport] == domain.Nothing {
		return nil, domain.ErrForbidden
	}
	if s.finished {
		return nil, ErrExists
	}
	var f domain.Faults
	for _, n := range []struct {
		field string
		count int
	}{{"registered", c.Registered}, {"skipped", c.Skipped}, {"rejected", c.Rejected}} {
		if n.count < 0 || n.count > most {
			f.Add(domain.Fault(n.field, "out_of_range", "is %d, and has to be 0 to %d", n.count, most))
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	who := by.ID
	if by.Behalf != (domain.ID{}) {
		who = by.Behalf
	}
	return []Event{Finished{who, c.Registered, c.Skipped, c.Rejected}}, nil
}
