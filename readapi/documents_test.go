package readapi_test

import (
	"log/slog"
	"testing"

	"annals/internal/apitest"
	"annals/projections"
)

// TestDocumentsRebuild: what the feed and the list show of documents is the same when it
// is built anew, of clients that have been erased as well.
func TestDocumentsRebuild(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	project := a.Project(t, "Rebuilt")
	raw := []string{"Content-Type", "text/plain"}
	var clients []string
	for range 2 {
		client := a.Client(t, project, "Filed")
		clients = append(clients, client)
		path := "/api/v1/clients/" + client + "/documents"
		first := path + "/" + a.Post(t, path+"?name=a.txt&description=First", apitest.Raw("first"), raw...).Want(t, 201).Text("id")
		a.Post(t, first+"/versions", apitest.Raw("second"), raw...).Want(t, 201)
		a.Patch(t, first, apitest.Map{"name": "b.txt", "description": ""}).Want(t, 200)
		a.Post(t, first+"/versions", apitest.Raw("third"), raw...).Want(t, 201)
		second := path + "/" + a.Post(t, path+"?name=c.txt", apitest.Raw("other"), raw...).Want(t, 201).Text("id")
		a.Delete(t, second, apitest.Map{"reason": "a mistake"}).Want(t, 200)
	}
	s.Erase(t, clients[1])
	at, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.After = at.String()
	kept := a.Get(t, "/api/v1/clients/"+clients[0]+"/documents").Want(t, 200)
	if kept.Text("items.0.name") != "b.txt" || kept.Text("items.0.version") != "3" || kept.At("items.0.description") != nil || len(kept.List("items")) != 1 {
		t.Error(string(kept.Body))
	}
	gone := a.Get(t, "/api/v1/clients/"+clients[1]+"/documents").Want(t, 200)
	if gone.Text("items.0.name") != "" || gone.Text("items.0.erased") != "true" || gone.Text("items.0.version") != "3" {
		t.Error(string(gone.Body))
	}
	report, err := projections.Verify(t.Context(), projections.Config{Database: s.Database, Log: s.Log, Logger: slog.New(slog.DiscardHandler)}, "activities")
	if err != nil {
		t.Errorf("%+v, %v", report, err)
	}
}
