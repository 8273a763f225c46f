package inbox

import (
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/imported"
	"annals/domain/note"
	"annals/domain/request"
)

// Notice is that an employee is told of an event.
type Notice struct {
	Employee domain.ID
	Kind     Kind
}

// Notices are who is told of an event, and of what kind that is, by the event alone:
// each employee once, by the first kind that fits. The actor knows what they do
// themselves, and is only told what they wait for.
func Notices(event any, actor domain.ID) []Notice {
	var n notices
	switch e := event.(type) {
	case client.Registered:
		n.tell(Assigned, e.ManagerID)
	case client.Reassigned:
		if e.To.ManagerID != e.From.ManagerID {
			n.tell(Assigned, e.To.ManagerID)
		}
	case action.Added:
		n.tell(Assigned, e.AssigneeID)
		n.tell(Mentioned, e.Mentions...)
	case action.Changed:
		n.tell(Assigned, e.To.AssigneeID)
		n.tell(Mentioned, e.Mentions...)
	case action.Reminded:
		n.tell(Due, e.AssigneeID)
	case action.FellDue:
		n.tell(Overdue, e.AssigneeID)
	case request.Opened:
		n.tell(Request, e.AssigneeID, e.ManagerID)
	case request.Assigned:
		n.tell(Assigned, e.To)
	case request.StatusChanged:
		n.tell(Mentioned, e.Mentions...)
	case note.Added:
		n.tell(Mentioned, e.Mentions...)
	case note.Edited:
		n.tell(Mentioned, e.Mentions...)
	case call.Logged:
		n.tell(Mentioned, e.Mentions...)
	case call.Edited:
		n.tell(Mentioned, e.Mentions...)
	case imported.Finished:
		return notices{{e.EmployeeID, ImportFinished}}
	}
	return n.without(actor)
}

type notices []Notice

func (n *notices) tell(k Kind, employees ...domain.ID) {
	for _, id := range employees {
		if id != (domain.ID{}) && !n.told(id) {
			*n = append(*n, Notice{id, k})
		}
	}
}

func (n notices) told(id domain.ID) bool {
	for _, one := range n {
		if one.Employee == id {
			return true
		}
	}
	return false
}

func (n notices) without(actor domain.ID) []Notice {
	var out []Notice
	for _, one := range n {
		if one.Employee != actor {
			out = append(out, one)
		}
	}
	return out
}

// ID is that of the notification by which the employee is told of an event: the same
// whenever it is derived.
func (n Notice) ID(event domain.ID) domain.ID {
	return uuid.NewSHA1(event, append(n.Employee[:], n.Kind...))
}
