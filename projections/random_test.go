package projections

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/message"
	"annals/domain/portal"
	"annals/domain/project"
)

var words = []string{"", "", "Anna", "Åsa", "Müller", "O’Brien", "ﬁ", "Łukasz Ø", "x'y\"z\\", "日本", "ß", "%_", "{a,b}", "NULL", "\u0301"}

func drawDetails(t *rapid.T) (d client.Details) {
	word := rapid.SampledFrom(words)
	d.Type = rapid.SampledFrom([]client.Type{client.Person, client.Company}).Draw(t, "type")
	for _, s := range []*string{
		&d.FirstName, &d.MiddleName, &d.LastName, &d.Company, &d.Email, &d.Phone, &d.Website,
		&d.Address.Street, &d.Address.City, &d.Address.Region, &d.Address.PostalCode, &d.Address.Country,
	} {
		*s = word.Draw(t, "word")
	}
	if rapid.Bool().Draw(t, "more") {
		for _, s := range []*string{&d.Title, &d.DisplayName, &d.PhoneE164, &d.Address.CountryCode, &d.BillingAddress.City, &d.Billing.IBAN, &d.Affiliation.Source} {
			*s = word.Draw(t, "word")
		}
		d.OtherEmails = drawList(t, func(s string) client.Email { return client.Email{Email: s, Kind: s} })
		d.OtherPhones = drawList(t, func(s string) client.Phone { return client.Phone{Number: s, E164: "+49"} })
		keys := rapid.SampledFrom([]string{"a", "b.c", "ä"})
		if m := rapid.MapOfN(keys, word, 0, 2).Draw(t, "meta"); len(m) > 0 {
			d.Meta = m
		}
		if m := rapid.MapOfN(keys, rapid.SampledFrom([]any{"x", 1.5, true, []any{"y", 2.0}, map[string]any{"amount": "1"}}), 0, 2).Draw(t, "custom"); len(m) > 0 {
			d.Custom = m
		}
		if rapid.Bool().Draw(t, "consent") {
			d.Consents = map[client.Channel]client.Consent{client.ByChat: {Granted: rapid.Bool().Draw(t, "granted"), At: time.Date(2026, 3, 14, 15, 9, 26, 535897000, time.UTC), Source: word.Draw(t, "source")}}
		}
	}
	return d
}

func drawList[T any](t *rapid.T, of func(string) T) []T {
	var out []T
	for _, word := range rapid.SliceOfN(rapid.SampledFrom(words[2:]), 0, 2).Draw(t, "list") {
		out = append(out, of(word))
	}
	return out
}

// random appends one event, anything that may happen to somebody, and keeps what
// the client is by its own fold.
type random struct {
	w       *world
	c       company
	clients []uuid.UUID
	states  map[uuid.UUID]client.State
	portals map[uuid.UUID]portal.State
	erased  map[uuid.UUID]bool

	people     *people
	things     *things
	related    *relatedWorld
	registries *registries

	contacts map[uuid.UUID]map[uuid.UUID]time.Time // of each client, by what it was
	calls    map[uuid.UUID]bool                    // those of them that are calls
}

func newRandom(w *world) *random {
	r := &random{
		w: w, c: w.company(), states: map[uuid.UUID]client.State{}, portals: map[uuid.UUID]portal.State{}, erased: map[uuid.UUID]bool{},
		contacts: map[uuid.UUID]map[uuid.UUID]time.Time{}, calls: map[uuid.UUID]bool{},
	}
	r.people, r.things, r.related, r.registries = newPeople(w, r.c), newThings(w, r.c), newRelatedWorld(w), newRegistries(w)
	return r
}

func (r *random) event(t *rapid.T) {
	alive := slices.DeleteFunc(slices.Clone(r.clients), func(id uuid.UUID) bool { return r.erased[id] })
	kind := drawKind(t, 35)
	if len(alive) == 0 && kind < 20 {
		kind = 0
	}
	where := func() client.Assignment {
		pick := func(ids ...uuid.UUID) uuid.UUID { return rapid.SampledFrom(ids).Draw(t, "id") }
		return client.Assignment{ProjectID: r.c.project, DeskID: pick(r.c.desk, r.c.other, uuid.Nil), ManagerID: pick(r.c.manager, uuid.Nil)}
	}
	tags := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "B", "ä", "z z", `"q"`, "{}", ","}), 0, 3, rapid.ID)
	switch kind {
	case 0:
		id := uuid.New()
		r.clients = append(r.clients, id)
		with := tags.Draw(t, "tags")
		slices.Sort(with)
		r.happens(id, client.Registered{Details: drawDetails(t), Assignment: where(), Status: client.Lead, Tags: with})
		return
	case 1:
		r.w.append(domain.Desk, uuid.New(), desk.Created{ProjectID: r.c.project, Name: rapid.SampledFrom(words).Draw(t, "name")})
		return
	case 2:
		r.w.append(domain.Project, uuid.New(), project.Created{Name: rapid.SampledFrom(words).Draw(t, "name"), DefaultDeskID: uuid.New()})
		return
	case 3:
		r.w.append(domain.Employee, r.c.manager, employee.Assigned{
			Projects: []domain.ID{r.c.project}, Desks: rapid.SliceOfNDistinct(rapid.SampledFrom([]domain.ID{r.c.desk, r.c.other}), 0, 2, rapid.ID).Draw(t, "desks"),
		})
		return
	case 20, 21, 22, 23, 24, 25, 26:
		r.people.event(t)
		return
	case 27, 28:
		r.things.aside(t)
		return
	case 29, 30:
		r.related.command(t)
		return
	case 31, 32, 33, 34:
		r.registries.command(t)
		return
	}
	id := rapid.SampledFrom(alive).Draw(t, "client")
	s := r.states[id]
	switch kind {
	case 4:
		r.w.erase(id)
		r.erased[id] = true
	case 5, 6:
		r.happens(id, client.Diff(s.Details, drawDetails(t)))
	case 7:
		r.happens(id, client.Reassigned{From: s.Assignment, To: where(), Reason: rapid.SampledFrom(words).Draw(t, "reason")})
	case 8:
		add := slices.DeleteFunc(tags.Draw(t, "add"), func(tag string) bool { return slices.Contains(s.Tags, tag) })
		remove := slices.DeleteFunc(slices.Clone(s.Tags), func(string) bool { return rapid.Bool().Draw(t, "keep") })
		r.happens(id, client.Retagged{Added: add, Removed: remove})
	case 9:
		r.happens(id, client.StatusChanged{From: s.Status, To: rapid.SampledFrom(client.Statuses).Draw(t, "status"), Reason: rapid.SampledFrom(words).Draw(t, "reason")})
	case 10:
		if s.Deactivated {
			r.happens(id, client.Reactivated{})
		} else {
			r.happens(id, client.Deactivated{Reason: "because " + rapid.SampledFrom(words).Draw(t, "reason")})
		}
	case 11:
		r.portal(t, id)
	case 12, 13, 14:
		r.contact(t, id)
	default:
		r.things.event(t, id)
	}
}

func (r *random) portal(t *rapid.T, id uuid.UUID) {
	cause, reason := rapid.SampledFrom([]portal.Cause{portal.ByRule, portal.ByOverride}).Draw(t, "cause"), drawWord(t)
	e := rapid.SampledFrom([]portal.Event{
		portal.AccessGranted{ClientID: id, Cause: cause, Reason: reason},
		portal.AccessRevoked{ClientID: id, Cause: cause, Reason: reason},
		portal.OverrideCleared{ClientID: id, Reason: reason},
		portal.SignedIn{ClientID: id, At: drawTime(t)},
	}).Draw(t, "portal")
	r.w.appendOf(id, domain.Portal, id, e)
	r.portals[id] = portal.Aggregate.Evolve(r.portals[id], e)
}

func drawTime(t *rapid.T) time.Time {
	return time.Date(2026, 3, rapid.IntRange(1, 28).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
}

// contact appends something that is a contact with the client, or undoes one.
func (r *random) contact(t *rapid.T, id uuid.UUID) {
	if r.contacts[id] == nil {
		r.contacts[id] = map[uuid.UUID]time.Time{}
	}
	with, at := r.contacts[id], drawTime(t)
	for _, old := range slices.SortedFunc(maps.Keys(with), domain.CompareIDs) {
		if !r.calls[old] || rapid.Bool().Draw(t, "another") {
			continue
		}
		if with[old] = at; rapid.Bool().Draw(t, "gone") {
			delete(with, old)
			delete(r.calls, old)
			r.w.appendOf(id, domain.Call, old, call.Deleted{})
		} else {
			r.w.appendOf(id, domain.Call, old, call.Edited{From: drawCall(t, at.Add(time.Hour)), To: drawCall(t, at), Mentions: r.things.mentions(t)})
		}
		return
	}
	made := uuid.New()
	with[made] = at
	switch drawKind(t, 3) {
	case 0:
		r.calls[made] = true
		r.w.appendOf(id, domain.Call, made, call.Logged{ClientID: id, Details: drawCall(t, at), Mentions: r.things.mentions(t)})
	case 1:
		e := message.Logged{ClientID: id, From: drawWord(t), Subject: drawWord(t), Text: drawWord(t), InReplyTo: drawWord(t), At: at}
		if rapid.Bool().Draw(t, "answer") {
			e.AnswerTo = uuid.New()
		}
		r.w.appendOf(id, domain.Message, made, e)
	default:
		delete(with, made)
		r.w.appendOf(id, domain.Message, made, drawMessage(t, id))
		switch drawKind(t, 4) {
		case 0:
			r.w.appendOf(id, domain.Message, made, message.Failed{Reason: "expired", Attempts: 9, At: at})
		case 1:
			with[made] = at
			r.w.appendOf(id, domain.Message, made, message.Sent{MessageID: "x@example.com", Attempts: 1, At: at})
		case 2:
			r.w.appendOf(id, domain.Message, made, message.Sent{MessageID: "x@example.com", Attempts: 2, At: at}, message.Bounced{Reason: drawWord(t), At: at})
		}
	}
}

func (r *random) happens(id uuid.UUID, e client.Event) {
	r.w.append(domain.Client, id, e)
	r.states[id] = client.Aggregate.Evolve(r.states[id], e)
}
