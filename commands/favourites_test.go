package commands_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain/role"
	"annals/internal/apitest"
)

// starred are the favourites of somebody by the read model, as their next command waits for.
func starred(t *testing.T, u *apitest.User) (clients []string) {
	t.Helper()
	u.Get(t, "/api/v1/projects?limit=1").Want(t, 200) // waits
	rows, err := u.DB.Query(t.Context(), `select client_id::text from annals_read.favourites where employee_id = $1 order by starred_at`, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if clients, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	return clients
}

func TestFavouriteClients(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, other := a.Project(t, "Stars"), a.Project(t, "No stars")
	ann := a.EmployeeAs(t, "Ann", []string{role.ProjectAdmin}, []string{project}, nil)
	bob := a.EmployeeAs(t, "Bob", []string{role.ProjectAdmin}, []string{project}, nil)
	one, two, hidden := a.Client(t, project, "One"), a.Client(t, project, "Two"), a.Client(t, other, "Hidden")
	path := func(client string) string { return "/api/v1/clients/" + client + "/favourite" }

	r := ann.Put(t, path(one), nil, "Idempotency-Key", "star").Want(t, 200)
	if r.Text("id") != one {
		t.Errorf("%s", r.Body)
	}
	again(t, r, ann.Put(t, path(one), nil, "Idempotency-Key", "star"))
	ann.Put(t, path(two), nil).Want(t, 200)
	bob.Put(t, path(two), nil).Want(t, 200)
	bob.Delete(t, path(one), nil).Want(t, 200) // it was none
	if got := starred(t, ann); len(got) != 2 || got[0] != one || got[1] != two {
		t.Errorf("Ann's are %v", got)
	}
	if got := starred(t, bob); len(got) != 1 || got[0] != two {
		t.Errorf("Bob's are %v", got)
	}
	if got := ann.Put(t, path(one), nil).Want(t, 200); got.Text("revision") != "0" {
		t.Errorf("starred twice: %s", got.Body)
	}
	ann.Delete(t, path(one), nil).Want(t, 200)
	ann.Delete(t, path(one), nil).Want(t, 200)
	if got := starred(t, ann); len(got) != 1 || got[0] != two {
		t.Errorf("Ann's are %v", got)
	}
	// Who does not see the client learns nothing, whether there is one or not.
	ann.Put(t, path(hidden), nil).Problem(t, 404, "client.absent")
	ann.Delete(t, path(hidden), nil).Problem(t, 404, "client.absent")
	ann.Put(t, path(uuid.NewString()), nil).Problem(t, 404, "client.absent")
	// Nor has a key favourites, its owner's least of all.
	key := &apitest.User{System: s, Token: ann.Post(t, "/api/v1/api-keys", Map{"name": "sync", "permissions": []Map{{"permission": "clients.view", "reach": "project"}}}).Want(t, 201).Text("key")}
	key.Put(t, path(one), nil).Problem(t, 403, "people_only")
	key.Delete(t, path(two), nil).Problem(t, 403, "people_only")
	// Two at the same moment are one.
	done := make(chan struct{})
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			ann.Do(t, "PUT", path(one), nil).Want(t, 200)
		}()
	}
	<-done
	<-done
	ann.Put(t, path(two), nil).Want(t, 200)
	if got := starred(t, ann); len(got) != 2 {
		t.Errorf("Ann's are %v", got)
	}
	// It is nothing that happened to the client.
	history := ann.Get(t, "/api/v1/clients/"+one+"/history?with=activities").Want(t, 200)
	if types := history.Column("type"); len(types) != 1 || types[0] != "client.registered" {
		t.Errorf("%v", types)
	}
}
