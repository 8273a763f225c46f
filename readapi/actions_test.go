package readapi_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"annals/internal/apitest"
)

// Everybody sees what there is to do with the clients that they see, the next due first,
// and of no other client, whoever is to do it.
func TestActions(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t) // for its clock
	admin := s.Admin(t)
	project, other := admin.Project(t, "North"), admin.Project(t, "South")
	desk := admin.Desk(t, project, "Sales")
	mira := admin.EmployeeAs(t, "Mira", []string{"project_admin"}, []string{project, other}, nil)
	tom := admin.EmployeeAs(t, "Tom", []string{"agent"}, []string{project}, []string{desk})
	toms := admin.Client(t, project, "Toms", Map{"desk_id": desk, "manager_id": tom.ID})
	north, south := admin.Client(t, project, "North"), admin.Client(t, other, "South")

	now := s.Clock.Now().UTC().Truncate(time.Second)
	in := func(hours int) string { return now.Add(time.Duration(hours) * time.Hour).Format(time.RFC3339) }
	add := func(client, title string, body Map) string {
		body["title"] = title
		return admin.Create(t, "/api/v1/clients/"+client+"/actions", body)
	}
	for i := range 4 {
		add(north, fmt.Sprint("north ", i), Map{"assignee_id": mira.ID, "due_at": in(10 - i)})
	}
	add(north, "some day", Map{"assignee_id": mira.ID})
	add(south, "south", Map{"assignee_id": mira.ID, "due_at": in(1)})
	first := add(toms, "call her", Map{"assignee_id": tom.ID, "due_at": in(2), "type": "call"})
	add(toms, "ask him", Map{"assignee_id": mira.ID, "due_at": in(3)})
	add(toms, "nobody's", Map{"due_at": in(3)})
	gone := add(toms, "gone", Map{"assignee_id": tom.ID})
	admin.Delete(t, "/api/v1/clients/"+toms+"/actions/"+gone, nil).Want(t, 200)
	done := "/api/v1/clients/" + toms + "/actions/" + add(toms, "done", Map{"assignee_id": tom.ID, "due_at": in(1)})
	admin.Post(t, done+"/done", nil).Want(t, 200)
	mira.After, tom.After = admin.After, admin.After

	titles := func(u *apitest.User, query string) []string {
		t.Helper()
		return u.Get(t, "/api/v1/actions"+query).Want(t, 200).Column("title")
	}
	same := func(want []string, got []string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	all := []string{"south", "ask him", "north 3", "north 2", "north 1", "north 0", "some day"}
	same(all, titles(mira, ""))
	same(all, titles(mira, "?assignee=@me&state=open"))
	same([]string{"call her"}, titles(tom, ""))
	same([]string{"done"}, titles(tom, "?state=done"))
	same([]string{"call her"}, titles(mira, "?assignee="+tom.ID))
	same([]string{"ask him"}, titles(tom, "?assignee="+mira.ID)) // of what she has to do he sees his client's
	same([]string{"ask him"}, titles(tom, "?state=open&assignee="+mira.ID+"&due_from="+url.QueryEscape(in(0))))
	same([]string{"south", "call her", "ask him"}, titles(mira, "?assignee=@me&assignee="+tom.ID+"&due_to="+url.QueryEscape(in(4))))
	same([]string{}, titles(admin, ""))
	if got := tom.Get(t, "/api/v1/actions?assignee="+mira.ID).Text("total.count"); got != "1" {
		t.Errorf("he is told of %s", got)
	}

	var paged []string
	for next := "/api/v1/actions?limit=2"; next != ""; {
		page := mira.Get(t, next).Want(t, 200)
		paged = append(paged, page.Column("title")...)
		if next = ""; page.At("next_cursor") != nil {
			next = "/api/v1/actions?limit=2&cursor=" + page.Text("next_cursor")
		}
	}
	same(all, paged)

	one := tom.Get(t, "/api/v1/actions").Want(t, 200)
	if one.Text("items.0.client.name") != "Toms" || one.Text("items.0.client.id") != toms || one.Text("items.0.assignee.name") != "Tom" ||
		one.Text("items.0.type") != "call" || one.Text("items.0.id") != first || one.At("items.0.overdue") != nil {
		t.Errorf("%s", one.Body)
	}
	same([]string{}, titles(mira, "?state=overdue"))
	s.Clock.Advance(3*time.Hour + time.Minute)
	same([]string{"south", "ask him"}, titles(mira, "?state=overdue"))
	if r := tom.Get(t, "/api/v1/clients/"+toms+"/activity?kind=action").Want(t, 200); r.At("items.0.overdue") != nil || r.At("items.1.overdue") != true {
		t.Errorf("done is overdue, or what is due is not: %s", r.Body)
	}

	// A client that moves away takes its actions along.
	admin.Post(t, "/api/v1/clients/"+toms+"/assign", Map{"desk_id": nil, "manager_id": nil}).Want(t, 200)
	mira.After, tom.After = admin.After, admin.After
	same([]string{}, titles(tom, ""))
	same([]string{}, titles(tom, "?assignee="+mira.ID))
	same([]string{"call her"}, titles(mira, "?assignee="+tom.ID))

	mira.Get(t, "/api/v1/actions?assignee=none").Problem(t, 422, "invalid", "assignee")
	mira.Get(t, "/api/v1/actions?assignee=mira").Problem(t, 422, "invalid", "assignee")
	mira.Get(t, "/api/v1/actions?state=lost").Want(t, 422)
	mira.Get(t, "/api/v1/actions?due_to=soon").Problem(t, 422, "invalid", "due_to")
	(&apitest.User{System: s}).Get(t, "/api/v1/actions").Want(t, 401)
}

// The policies that actions are shown by, and what was done, are that of clients.
func TestPlacesAreClients(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	var policies []string
	rows, err := s.DB.Query(t.Context(), `select regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\s+', ' ', 'g') from pg_policy p join pg_class c on c.oid = p.polrelid
		join annals_projections.active a on c.relnamespace = a.schema::regnamespace where p.polname = 'visible' and c.relname in ('clients', 'places', 'history_places')`)
	if err != nil {
		t.Fatal(err)
	}
	if policies, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(policies) != 3 {
		t.Fatal(policies, err)
	}
	for _, p := range policies[1:] {
		if diff := cmp.Diff(policies[0], p); diff != "" {
			t.Error(diff)
		}
	}
}
