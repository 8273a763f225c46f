package projections

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/internal/eventlog"
	"annals/internal/textfold"
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
	return d
}

// edited is the event that makes from into to.
func edited(from, to client.Details) client.Edited {
	e := client.Edited{From: from, To: to}
	if from.Type == to.Type {
		e.From.Type, e.To.Type = "", ""
	}
	pairs := func(d *client.Details) []*string {
		return []*string{
			&d.FirstName, &d.MiddleName, &d.LastName, &d.Company, &d.Email, &d.Phone, &d.Website,
			&d.Address.Street, &d.Address.City, &d.Address.Region, &d.Address.PostalCode, &d.Address.Country,
		}
	}
	was, is := pairs(&e.From), pairs(&e.To)
	for i := range was {
		if *was[i] == *is[i] {
			*was[i], *is[i] = "", ""
		}
	}
	return e
}

// random appends one event, anything that may happen to somebody, and keeps what
// the client is by its own fold.
type random struct {
	w       *world
	c       company
	clients []uuid.UUID
	states  map[uuid.UUID]client.State
	erased  map[uuid.UUID]bool
	people  *people
}

func (r *random) event(t *rapid.T) {
	alive := slices.DeleteFunc(slices.Clone(r.clients), func(id uuid.UUID) bool { return r.erased[id] })
	kind := rapid.IntRange(0, 18).Draw(t, "kind")
	if kind > 10 {
		r.people.event(t)
		return
	}
	if len(alive) == 0 {
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
	}
	id := rapid.SampledFrom(alive).Draw(t, "client")
	s := r.states[id]
	switch kind {
	case 4:
		r.w.erase(id)
		r.erased[id] = true
	case 5, 6:
		r.happens(id, edited(s.Details, drawDetails(t)))
	case 7:
		r.happens(id, client.Reassigned{From: s.Assignment, To: where(), Reason: rapid.SampledFrom(words).Draw(t, "reason")})
	case 8:
		add := slices.DeleteFunc(tags.Draw(t, "add"), func(tag string) bool { return slices.Contains(s.Tags, tag) })
		remove := slices.DeleteFunc(slices.Clone(s.Tags), func(string) bool { return rapid.Bool().Draw(t, "keep") })
		r.happens(id, client.Retagged{Added: add, Removed: remove})
	case 9:
		r.happens(id, client.StatusChanged{From: s.Status, To: rapid.SampledFrom(client.Statuses).Draw(t, "status")})
	case 10:
		if s.Deactivated {
			r.happens(id, client.Reactivated{})
		} else {
			r.happens(id, client.Deactivated{Reason: "because " + rapid.SampledFrom(words).Draw(t, "reason")})
		}
	}
}

func (r *random) happens(id uuid.UUID, e client.Event) {
	r.w.append(domain.Client, id, e)
	r.states[id] = client.Aggregate.Evolve(r.states[id], e)
}

// Whatever happens: what a projector made of the log as it came is what it makes
// of it from the start, and the clients are what the domain says that they are.
func TestRebuildEqualsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runner, _ := w.run()
	r := &random{w: w, c: w.company(), states: map[uuid.UUID]client.State{}, erased: map[uuid.UUID]bool{}}
	r.people = newPeople(w, r.c)
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 16).Draw(t, "events") {
			r.event(t)
		}
		if len(r.clients)%4 == 0 {
			w.caughtUp(runner) // at other times several of these histories are one run
		}
	})
	w.caughtUp(runner)
	w.verified()
	for _, id := range r.clients {
		r.check(id)
	}
	r.people.check()
	for _, p := range All {
		if err := Rebuild(t.Context(), w.cfg, p.Name); err != nil {
			t.Fatal(err)
		}
	}
	w.verified()
	for _, id := range r.clients {
		r.check(id)
	}
	r.people.check()
}

// check holds a client's row to the domain's own fold.
func (r *random) check(id uuid.UUID) {
	s, t := r.states[id], r.w.t
	d := s.Details
	if r.erased[id] {
		d = client.Details{Type: d.Type}
	}
	var got client.Details
	var name, key, search string
	var a [3]*uuid.UUID
	var status client.Status
	var tags []string
	var deactivated, erased bool
	var revision eventlog.Revision
	r.w.scan(`select type, first_name, middle_name, last_name, company, email, phone, website, street, city, region, postal_code, country,
		name, coalesce(name_key, ''), search, project_id, desk_id, manager_id, status, tags, deactivated_at is not null, erased, revision from annals_read.clients where id = $1`, id)(
		&got.Type, &got.FirstName, &got.MiddleName, &got.LastName, &got.Company, &got.Email, &got.Phone, &got.Website,
		&got.Address.Street, &got.Address.City, &got.Address.Region, &got.Address.PostalCode, &got.Address.Country,
		&name, &key, &search, &a[0], &a[1], &a[2], &status, &tags, &deactivated, &erased, &revision)
	at := func(id *uuid.UUID) (out uuid.UUID) {
		if id != nil {
			out = *id
		}
		return out
	}
	assignment := client.Assignment{ProjectID: at(a[0]), DeskID: at(a[1]), ManagerID: at(a[2])}
	if !reflect.DeepEqual(got, d) || assignment != s.Assignment || status != s.Status || !slices.Equal(tags, s.Tags) || deactivated != s.Deactivated || erased != r.erased[id] ||
		revision != r.w.at[eventlog.Stream(domain.Client, id)] {
		t.Errorf("client %s is\n%+v %+v %s %q %v %v %d, and should be\n%+v", id, got, assignment, status, tags, deactivated, erased, revision, s)
	}
	if name != d.Name() || key != textfold.Fold(d.Name()) {
		t.Errorf("the name of %+v is %q, folded %q, and should be %q, %q", d, name, key, d.Name(), textfold.Fold(d.Name()))
	}
	for _, s := range []string{d.Name(), d.Company, d.Email, d.Phone, textfold.Digits(d.Phone)} {
		if s = textfold.Fold(s); !strings.Contains(search, s) && (s != textfold.Fold(d.Name()) || d.Type == client.Person) {
			t.Errorf("%q is not found in %q", s, search)
		}
	}
}

// The names of tables and views are what package readapi builds on.
func TestViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	w.caughtUp(r)
	rows, err := w.db.Query(context.Background(), `select viewname::text from pg_views where schemaname = 'annals_read' order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if want := "[activities api_keys clients desks employee_desks employee_periods employee_projects employees freshness history names projects record_statuses record_totals records role_periods roles]"; fmt.Sprint(got) != want {
		t.Errorf("views %v, want %s", got, want)
	}
}
