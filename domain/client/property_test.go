package client

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/role"
)

var everyID = []domain.ID{retail, wholesale, north, south, harbour, ann, bob, cem, root, nothing, nobody}

func someField(t *rapid.T, label string) domain.Field[domain.ID] {
	if rapid.Bool().Draw(t, label+" left out") {
		return domain.Field[domain.ID]{}
	}
	return set(rapid.SampledFrom(everyID).Draw(t, label))
}

var someTags = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b ", " c", "C", "", "x\x00", "d", "e"}), 0, 4)

func someCommand(t *rapid.T) Command {
	status := rapid.SampledFrom([]Status{"", Lead, Active, Inactive, "bogus"})
	reason := rapid.SampledFrom([]string{"", " ", "moved", "a\x00"})
	switch rapid.IntRange(0, 7).Draw(t, "command") {
	case 0:
		return Register{
			Details: rapid.OneOf(storedButCustom, someDetails).Draw(t, "details"), ProjectID: rapid.SampledFrom(everyID[:3]).Draw(t, "project"),
			DeskID: someField(t, "desk"), ManagerID: someField(t, "manager"), Status: status.Draw(t, "status"), Tags: someTags.Draw(t, "tags"),
		}
	case 1:
		return Edit{patches.Draw(t, "patch")}
	case 2:
		return Assign{someField(t, "project"), someField(t, "desk"), someField(t, "manager"), reason.Draw(t, "reason")}
	case 3:
		return Retag{someTags.Draw(t, "add"), someTags.Draw(t, "remove")}
	case 4:
		return ChangeStatus{status.Draw(t, "status"), reason.Draw(t, "reason")}
	case 5:
		return Deactivate{reason.Draw(t, "reason")}
	case 6:
		return HandOver{rapid.SampledFrom(everyID).Draw(t, "from"), rapid.SampledFrom(everyID).Draw(t, "to")}
	default:
		return Reactivate{}
	}
}

// actors are those who act in these tests.
var actors = []domain.Authority{
	domain.Root, as(root, role.Admin, nil, nil), retailHead, bobManager, bobAgent, as(cem, role.ProjectAdmin, ids(wholesale), ids(harbour)),
	as(ann, role.Auditor, ids(retail), ids(north)), as(nobody, role.DeskManager, ids(retail), ids(north)), idle,
	{},
}

// TestInvariants: whatever is asked for, by whomever, a client is always in order;
// and asking again for what has been done does nothing.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		if rapid.IntRange(0, 9).Draw(t, "registered") > 0 {
			s = Aggregate.Evolve(s, Registered{stored.Draw(t, "details"), Assignment{retail, north, bob}, Lead, []string{"a"}})
		}
		for range rapid.IntRange(1, 12).Draw(t, "commands") {
			c, by := someCommand(t), rapid.SampledFrom(actors).Draw(t, "by")
			w := domain.World{} // nothing but what was asked for
			for _, r := range Aggregate.Refs(s, c) {
				if there, ok := world[r]; ok {
					w[r] = there
				}
			}
			m := domain.Meta{By: by, At: today}
			before, was := fmt.Sprint(s), s
			events, err := Aggregate.Decide(s, c, w, m)
			if after := fmt.Sprint(s); after != before {
				t.Fatalf("deciding changed the state: %s, was %s", after, before)
			}
			if err != nil {
				if len(events) > 0 || len(domain.All(err)) == 0 {
					t.Fatalf("%v with %v", err, events)
				}
				continue
			}
			for _, e := range events {
				s = Aggregate.Evolve(s, e)
			}
			if after := fmt.Sprint(was); after != before {
				t.Fatalf("folding changed the state before: %s, was %s", after, before)
			}
			inOrder(t, s, c, events, w, by)
			_, registered := c.(Register)
			if again, err := Aggregate.Decide(s, c, w, domain.Meta{By: domain.Root, At: today}); !registered && (err != nil || len(again) > 0) {
				t.Fatalf("again: %v, %v", again, err)
			}
		}
	})
}

func inOrder(t *rapid.T, s State, c Command, events []Event, w domain.World, by domain.Authority) {
	a := s.Assignment
	switch {
	case !s.exists || a.ProjectID == nobody:
		t.Fatalf("%+v belongs nowhere", s)
	case s.Details.Name() == "":
		t.Fatalf("%+v has no name", s)
	case s.Details.Type != Person && s.Details.Type != Company:
		t.Fatalf("type %q", s.Details.Type)
	case !slices.Contains(Statuses, s.Status):
		t.Fatalf("status %q", s.Status)
	case !slices.IsSorted(s.Tags) || len(slices.Compact(slices.Clone(s.Tags))) != len(s.Tags) || len(s.Tags) > maxTags || slices.Contains(s.Tags, ""):
		t.Fatalf("tags %q", s.Tags)
	}
	for _, e := range events {
		switch e := e.(type) {
		case Held, Released, Erased: // are no matter of where it is
		case Registered, Reassigned:
			if d := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: a.DeskID}); a.DeskID != nobody && d.ProjectID != a.ProjectID {
				t.Fatalf("desk %v of project %v, the client is in %v", a.DeskID, d.ProjectID, a.ProjectID)
			}
			if m := domain.Look[employee.State](w, domain.Ref{Category: domain.Employee, ID: a.ManagerID}); a.ManagerID != nobody && !m.Eligible(a.ProjectID, a.DeskID) && (a.ManagerID != by.ID || !by.Scope.Covers(a.ProjectID, a.DeskID)) {
				t.Fatalf("manager %v is not of %v", a.ManagerID, a)
			}
			if reach := by.Rights[c.Needs()]; reach < domain.InProjects && !by.Scope.Covers(a.ProjectID, a.DeskID) ||
				reach == domain.InProjects && !by.Scope.Projects[a.ProjectID] || reach == domain.Nothing {
				t.Fatalf("put where the actor does not work: %v", a)
			}
		case Retagged:
			for _, tag := range e.Added {
				if slices.Contains(e.Removed, tag) {
					t.Fatalf("%q both added and removed", tag)
				}
			}
		case StatusChanged:
			if e.From == e.To {
				t.Fatalf("status changed from %q to itself", e.From)
			}
		case Edited:
			if e.From.same(e.To) {
				t.Fatal("an edit that changes nothing")
			}
		case Deactivated, Reactivated:
		}
	}
	if _, back := c.(Reactivate); back && s.Deactivated {
		t.Fatal("still deactivated")
	}
}

// TestEveryFoldIsTotal: any event folds onto any state, since a log may hold what
// an older program decided.
func TestEveryFoldIsTotal(t *testing.T) {
	events := []Event{
		Registered{},
		Edited{},
		Reassigned{},
		Retagged{},
		Retagged{Added: []string{"a"}, Removed: []string{"a", "z"}},
		StatusChanged{},
		Deactivated{},
		Reactivated{},
		Edited{From: Details{Email: "x"}},
		Edited{From: Details{Meta: map[string]string{"a": "b"}, OtherEmails: []Email{{}}}},
		Edited{To: Details{Meta: map[string]string{"a": "b"}, Consents: map[Channel]Consent{"": {}}}},
	}
	rapid.Check(t, func(t *rapid.T) {
		var s State
		for _, e := range rapid.SliceOfN(rapid.SampledFrom(events), 0, 10).Draw(t, "events") {
			s = Aggregate.Evolve(s, e)
		}
	})
}
