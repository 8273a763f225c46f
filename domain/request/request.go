// Package request is what a client asks for, from being taken down to being resolved
// or rejected.
package request

import (
	"slices"

	"annals/domain"
	"annals/domain/attached"
)

// Status is how far a request has come.
type Status string

// The statuses of a request.
const (
	Open       Status = "open"
	InProgress Status = "in_progress"
	Resolved   Status = "resolved"
	Rejected   Status = "rejected"
)

// Statuses are all statuses, in the order of a request's life.
var Statuses = []Status{Open, InProgress, Resolved, Rejected}

// Closed says whether there is nothing more to do.
func (s Status) Closed() bool { return s == Resolved || s == Rejected }

// next are the statuses that may follow each: what is closed is reopened before it
// ends in another way.
var next = map[Status][]Status{
	Open:       {InProgress, Resolved, Rejected},
	InProgress: {Open, Resolved, Rejected},
	Resolved:   {Open, InProgress},
	Rejected:   {Open, InProgress},
}

// Event is the closed set of facts about a request. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Opened is a new request.
	Opened struct {
		ClientID   domain.ID `json:"client_id"`
		AssigneeID domain.ID `json:"assignee_id,omitzero"`
		ManagerID  domain.ID `json:"manager_id,omitzero"` // of the client, at that time
		Subject    string    `json:"subject" personal:"yes"`
		Text       string    `json:"text" personal:"yes"`
	}
	// StatusChanged moves the request along, with the answer or the reason.
	StatusChanged struct {
		From     Status      `json:"from"`
		To       Status      `json:"to"`
		Text     string      `json:"text,omitempty" personal:"yes"`
		Mentions []domain.ID `json:"mentions,omitempty"` // the colleagues whom its texts mention now and did not before
	}
	// Assigned says who takes care of it from now on; the zero ID is nobody.
	Assigned struct {
		From domain.ID `json:"from,omitzero"`
		To   domain.ID `json:"to,omitzero"`
	}
)

func (Opened) event()        {}
func (StatusChanged) event() {}
func (Assigned) event()      {}

// Command is the closed set of requests to a request.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Take takes down what a client asks for.
	Take struct {
		Subject    string                  `json:"subject" example:"Copy of the invoice" maxLength:"200"`
		Text       string                  `json:"text" doc:"What the client asks for, in their words" example:"Please send the invoice of March again" maxLength:"20000"`
		AssigneeID domain.Field[domain.ID] `json:"assignee_id,omitzero" doc:"The employee who takes care of it, who has to see the client; nobody unless given"`
	}
	// ChangeStatus moves the request along.
	ChangeStatus struct {
		Status Status `json:"status" doc:"What is resolved or rejected goes back to open or in_progress before it ends in another way" enum:"open,in_progress,resolved,rejected"`
		Text   string `json:"text,omitempty" doc:"The answer, or why it is rejected, which has to be said; in Markdown, colleagues can be mentioned as in notes" maxLength:"20000"`
	}
	// Assign says who takes care of it.
	Assign struct {
		AssigneeID domain.Field[domain.ID] `json:"assignee_id" doc:"An employee who sees the client, or null for nobody"`
	}
)

func (Take) command()         {}
func (ChangeStatus) command() {}
func (Assign) command()       {}

// Needs implements [attached.Command].
func (Take) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (ChangeStatus) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Assign) Needs() domain.Permission { return domain.ActivitiesWrite }

// Creates implements [attached.Command].
func (Take) Creates() bool { return true }

// Creates implements [attached.Command].
func (ChangeStatus) Creates() bool { return false }

// Creates implements [attached.Command].
func (Assign) Creates() bool { return false }

// Markdown implements [attached.Mentioning].
func (c ChangeStatus) Markdown() string { return c.Text }

// Assignee implements [attached.Assigning].
func (c Take) Assignee() domain.ID { return c.AssigneeID.Value }

// Assignee implements [attached.Assigning].
func (c Assign) Assignee() domain.ID { return c.AssigneeID.Value }

// State is a request, folded from its events.
type State struct {
	client     domain.ID
	Status     Status
	AssigneeID domain.ID
	Text       string      // the last answer or reason
	told       []domain.ID // who has been mentioned, ever
}

// Exists says whether there is such a request.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Aggregate is the request for the command side.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Request, Decide: decide, Evolve: evolve})

// ErrClosed refuses to give somebody what is resolved or rejected.
var ErrClosed = domain.Errorf(domain.Conflict, "request.closed", "the request is resolved or rejected: reopen it first")

const (
	mostSubject = 200
	mostText    = 20_000
)

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	switch c := c.(type) {
	case Take:
		return c.decide(in)
	case ChangeStatus:
		return c.decide(s, in)
	case Assign:
		switch to := c.AssigneeID.Value; {
		case to == s.AssigneeID:
			return nil, nil
		case s.Status.Closed():
			return nil, ErrClosed
		default:
			if err := in.CheckAssignee("assignee_id", to); err != nil {
				return nil, err
			}
			return []Event{Assigned{s.AssigneeID, to}}, nil
		}
	}
	return nil, nil
}

func (c Take) decide(in attached.Context) ([]Event, error) {
	e := Opened{in.ClientID, c.AssigneeID.Value, in.Client.Place().Manager, domain.Text(c.Subject), domain.LongText(c.Text)}
	var f domain.Faults
	f.Add(domain.CheckName("subject", e.Subject, mostSubject))
	f.Add(domain.CheckName("text", e.Text, mostText))
	f.Add(in.CheckAssignee("assignee_id", e.AssigneeID))
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

func (c ChangeStatus) decide(s State, in attached.Context) ([]Event, error) {
	text := domain.LongText(c.Text)
	var f domain.Faults
	switch {
	case !slices.Contains(Statuses, c.Status):
		return nil, domain.Fault("status", "unknown", "is none of open, in_progress, resolved, rejected")
	case c.Status == s.Status && (text == "" || text == s.Text):
		return nil, nil
	case !slices.Contains(next[s.Status], c.Status):
		return nil, domain.Errorf(domain.Conflict, "request.status", "the request is %s, and cannot become %s", s.Status, c.Status)
	case c.Status == Rejected && text == "":
		f.Add(domain.Fault("text", "required", "is required: it says why"))
	}
	f.Add(domain.CheckText("text", text, mostText))
	mentions, err := in.Mentioned("text", "", s.told)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{StatusChanged{s.Status, c.Status, text, mentions}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Opened:
		s = State{client: e.ClientID, Status: Open, AssigneeID: e.AssigneeID}
	case StatusChanged:
		s.Status, s.Text, s.told = e.To, e.Text, attached.Told(s.told, e.Mentions)
	case Assigned:
		s.AssigneeID = e.To
	}
	return s
}
