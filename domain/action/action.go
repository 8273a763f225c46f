package action

import (
	"time"

	"annals/domain"
	"annals/domain/attached"
)

// State is an action, folded from its events.
type State struct {
	client domain.ID
	Details
	Done     bool
	Outcome  string
	Deleted  bool
	reminded time.Time   // of which time to be reminded at somebody was
	fellDue  time.Time   // of which time to be done by somebody was told
	told     []domain.ID // who has been mentioned, ever
}

// Exists says whether there is such an action, deleted ones included.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Aggregate is the action for the command side.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Action, Decide: decide, Evolve: evolve})

// Reasons to refuse a command.
var (
	ErrDone = domain.Errorf(domain.Conflict, "action.done", "the action is done already: reopen it first")
	ErrOpen = domain.Errorf(domain.Conflict, "action.open", "the action is not done")
)

const (
	mostTitle   = 200
	mostText    = 20_000
	mostOutcome = 5_000
	skew        = time.Minute                // by which clocks may differ
	furthest    = 100 * 366 * 24 * time.Hour // ahead, beyond which a date is a typing error
)

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	if s.Deleted {
		switch c.(type) {
		case Delete, Remind, FallDue:
			return nil, nil
		case Add, Change, Finish, Reopen:
		}
		return nil, attached.Absent(domain.Action)
	}
	switch c := c.(type) {
	case Add:
		return c.decide(in)
	case Change:
		return c.decide(s, in)
	case Finish:
		return c.decide(s)
	case Reopen:
		if !s.Done {
			return nil, nil
		}
		return []Event{Reopened{}}, nil
	case Delete:
		return []Event{Deleted{}}, nil
	case Remind:
		if s.Done || !s.RemindAt.Equal(c.At) || s.reminded.Equal(c.At) {
			return nil, nil
		}
		return []Event{Reminded{s.AssigneeID, s.RemindAt}}, nil
	case FallDue:
		if s.Done || !s.DueAt.Equal(c.At) || s.fellDue.Equal(c.At) {
			return nil, nil
		}
		return []Event{FellDue{s.AssigneeID, s.DueAt}}, nil
	}
	return nil, nil
}

func (c Add) decide(in attached.Context) ([]Event, error) {
	if c.Type == "" {
		c.Type = Task
	}
	to := normal(Details{c.Type, c.Title, c.Text, c.DueAt.Value, c.RemindAt.Value, c.AssigneeID.Value})
	var f domain.Faults
	f.Add(to.check(Details{}, in, true))
	mentions, err := in.Mentioned("text", "", nil)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Added{in.ClientID, to, mentions}}, nil
}

func (c Change) decide(s State, in attached.Context) ([]Event, error) {
	to := normal(Details{
		Type(c.Type.Or(string(s.Type))), c.Title.Or(s.Title), c.Text.Or(s.Text),
		c.DueAt.Or(s.DueAt), c.RemindAt.Or(s.RemindAt), c.AssigneeID.Or(s.AssigneeID),
	})
	was, is := domain.Differ(s.Details, to)
	if was == is {
		return nil, nil
	}
	if s.Done && (!was.DueAt.Equal(is.DueAt) || !was.RemindAt.Equal(is.RemindAt) || was.AssigneeID != is.AssigneeID) {
		return nil, ErrDone
	}
	var f domain.Faults
	f.Add(to.check(s.Details, in, c.RemindAt.Set))
	var mentions []domain.ID
	if to.Text != s.Text {
		var err error
		mentions, err = in.Mentioned("text", s.Text, s.told)
		f.Add(err)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Changed{was, is, mentions}}, nil
}

func normal(d Details) Details {
	d.Title, d.Text = domain.Text(d.Title), domain.LongText(d.Text)
	d.DueAt, d.RemindAt = moment(d.DueAt), moment(d.RemindAt)
	return d
}

// moment is a time as it is stored: in UTC, to the microsecond.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// check says what is wrong with those details that are not as they were.
func (d Details) check(was Details, in attached.Context, reminding bool) error {
	var f domain.Faults
	f.Add(domain.CheckWord("type", string(d.Type)))
	if d.Title != was.Title || d.Title == "" {
		f.Add(domain.CheckName("title", d.Title, mostTitle))
	}
	if d.Text != was.Text {
		f.Add(domain.CheckText("text", d.Text, mostText))
	}
	f.Add(checkTime("due_at", d.DueAt, was.DueAt, first, in.At)) // what one is late with already is written down as well
	f.Add(checkTime("remind_at", d.RemindAt, was.RemindAt, in.At.Add(-skew), in.At))
	moved := !d.DueAt.Equal(was.DueAt) || !d.RemindAt.Equal(was.RemindAt)
	if moved && !d.DueAt.IsZero() && d.RemindAt.After(d.DueAt) {
		field := "due_at"
		if reminding {
			field = "remind_at"
		}
		f.Add(domain.Fault(field, "order", "has the reminder come after the action is due"))
	}
	if d.AssigneeID != was.AssigneeID {
		f.Add(in.CheckAssignee("assignee_id", d.AssigneeID))
	}
	return f.Err()
}

// first is before any day by which somebody could have had to do something.
var first = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)

func checkTime(field string, t, was, earliest, now time.Time) error {
	switch {
	case t.IsZero() || t.Equal(was):
	case t.Before(earliest):
		return domain.Fault(field, "past", "lies too far in the past")
	case t.After(now.Add(furthest)):
		return domain.Fault(field, "too_far", "lies more than a hundred years ahead")
	}
	return nil
}

func (c Finish) decide(s State) ([]Event, error) {
	outcome := domain.LongText(c.Outcome)
	if err := domain.CheckText("outcome", outcome, mostOutcome); err != nil {
		return nil, err
	}
	switch {
	case !s.Done:
		return []Event{Done{outcome}}, nil
	case outcome == "" || outcome == s.Outcome:
		return nil, nil
	}
	return nil, ErrDone
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Added:
		s = State{client: e.ClientID, Details: e.Details, told: e.Mentions}
	case Changed:
		s.Details, s.told = domain.Amend(s.Details, e.From, e.To), attached.Told(s.told, e.Mentions)
	case Done:
		s.Done, s.Outcome = true, e.Outcome
	case Reopened:
		s.Done, s.Outcome = false, ""
	case Deleted:
		s.Deleted = true
	case Reminded:
		s.reminded = e.At
	case FellDue:
		s.fellDue = e.At
	}
	return s
}
