package commands_test

import (
	"testing"

	"annals/internal/apitest"
)

func TestPath(t *testing.T) {
	s := apitest.Start(t)
	a := s.Admin(t)
	s.ValidDocument(t)
	p := a.Project(t, "North")
	d := a.Desk(t, p, "Sales")
	e := a.Employee(t, "Mira Okafor", []string{p}, []string{d})
	c := e.Client(t, p, "Petrova", apitest.Map{"desk_id": d})
	e.Get(t, "/api/v1/clients").Want(t, 200)
	e.Get(t, "/api/v1/clients/"+c).Want(t, 200)
	e.Get(t, "/api/v1/clients/"+c+"/history").Want(t, 200)
	t.Log(string(e.Get(t, "/api/v1/clients/"+c+"/replay").Want(t, 200).Body))
	for _, k := range []string{"projects", "desks", "employees"} {
		e.Get(t, "/api/v1/"+k).Want(t, 200)
	}
}
