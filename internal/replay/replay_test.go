package replay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/replay"
)

type step struct {
	Revision int
	Position string
	Type     string
	At       time.Time
	Actor    struct{ ID, Name string }
	Command  string `json:"command_id"`
	Event    map[string]any
	State    map[string]any
	Error    string
}

func steps(t *testing.T, r *apitest.Response) []step {
	t.Helper()
	r.Want(t, 200)
	if got := r.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type %s", got)
	}
	var out []step
	for line := range bytes.Lines(r.Body) {
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if s.Error != "" {
			t.Errorf("error: %s", s.Error)
		}
		out = append(out, s)
	}
	return out
}

func types(all []step) string {
	var out []string
	for _, s := range all {
		out = append(out, strings.TrimPrefix(s.Type, "client."))
	}
	return strings.Join(out, " ")
}

func TestReplay(t *testing.T) {
	s := apitest.Start(t)
	a := s.Admin(t)
	p := a.Project(t, "Story")
	d := a.Desk(t, p, "Sales")
	e := a.Employee(t, "Mira Okafor", []string{p}, []string{d})
	id := e.Client(t, p, "Petrova", apitest.Map{"first_name": "Elena", "email": "elena@example.com", "tags": []string{"b", "a"}, "address": apitest.Map{"city": "Varna"}})
	at := "/api/v1/clients/" + id
	e.Patch(t, at, apitest.Map{"address": apitest.Map{"city": "Sofia"}}).Want(t, 200)
	assigned := a.Post(t, at+"/assign", apitest.Map{"desk_id": d, "manager_id": e.ID, "reason": "signed"}).Want(t, 200)
	s.Clock.Advance(48 * time.Hour) // the rest happens two days later; sessions have ended by then
	e.Session(t)
	e.Post(t, at+"/status", apitest.Map{"status": "active"}).Want(t, 200)
	last := e.Post(t, at+"/deactivate", apitest.Map{"reason": "closed"}).Want(t, 200)

	all := steps(t, e.Get(t, at+"/replay"))
	if got := types(all); got != "registered edited reassigned status_changed deactivated" {
		t.Fatalf("%s", got)
	}
	for i, s := range all {
		who := "Mira Okafor"
		if i == 2 {
			who = "Ada Admin"
		}
		if s.Revision != i || s.Actor.Name != who || s.Position == "" || s.At.IsZero() || s.Command == "" {
			t.Errorf("%d: %+v", i, s)
		}
	}
	if all[2].Position != assigned.Text("position") || all[4].Position != last.Text("position") {
		t.Errorf("positions %s %s", all[2].Position, all[4].Position)
	}
	city := func(s step) any { in, _ := s.State["address"].(map[string]any); return in["city"] }
	if city(all[0]) != "Varna" || city(all[1]) != "Sofia" || all[0].State["name"] != "Elena Petrova" || all[2].State["desk_id"] != d || all[1].State["desk_id"] != nil ||
		all[3].State["status"] != "active" || all[2].State["status"] != "lead" || all[3].State["deactivated"] != false || all[4].State["deactivated"] != true ||
		fmt.Sprint(all[4].State["tags"]) != "[a b]" || all[4].Event["reason"] != "closed" || all[2].Event["reason"] != "signed" {
		t.Errorf("%+v", all)
	}
	// The end of the story is what the record shows.
	record := e.Get(t, at, "Annals-After", last.Text("position"))
	for field, want := range map[string]string{"name": record.Text("name"), "email": record.Text("email"), "status": record.Text("status"), "project_id": record.Text("project.id"), "manager_id": record.Text("manager.id")} {
		if got := fmt.Sprint(all[4].State[field]); got != want || want == "" {
			t.Errorf("%s = %q, the record shows %q", field, got, want)
		}
	}
	then, now := all[2].At, all[3].At
	for query, want := range map[string]int{
		"":             5,
		"?revision=-1": 5,
		"?revision=0":  1,
		"?revision=2":  3,
		"?revision=99": 5,
		"?as_of=" + then.Format(time.RFC3339Nano):                                                              3,
		"?as_of=" + then.Add(-time.Microsecond).Format(time.RFC3339Nano):                                       2,
		"?as_of=" + then.UTC().Format(time.DateOnly):                                                           3,
		"?as_of=" + then.UTC().AddDate(0, 0, -1).Format(time.DateOnly):                                         0,
		"?as_of=" + now.UTC().AddDate(0, 0, 1).Format(time.DateOnly):                                           5,
		"?as_of=2000-01-01T00:00:00Z":                                                                          0,
		"?revision=1&as_of=" + now.UTC().AddDate(0, 0, 1).Format(time.DateOnly):                                2,
		"?revision=" + strconv.Itoa(4) + "&as_of=" + then.Format(time.RFC3339Nano):                             3,
		"?as_of=" + strings.Replace(then.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano), "+", "%2B", 1): 3,
	} {
		if got := steps(t, e.Get(t, at+"/replay"+query)); len(got) != want {
			t.Errorf("%s: %s, want %d", query, types(got), want)
		}
	}
	testAbsent(t, a, e, at)
	testSystem(t, s, id)
}

func testAbsent(t *testing.T, a, e *apitest.User, at string) {
	t.Helper()
	a.Session(t)
	stranger := a.Employee(t, "Stran Ger", nil, nil)
	hidden := stranger.Get(t, at+"/replay").Problem(t, 404, "client.absent")
	absent := stranger.Get(t, "/api/v1/clients/"+uuid.NewString()+"/replay").Problem(t, 404, "client.absent")
	if !bytes.Equal(hidden.Body, absent.Body) {
		t.Errorf("%s\n%s", hidden.Body, absent.Body)
	}
	// A project is no client, and who loses the client loses its story.
	a.Get(t, "/api/v1/clients/"+a.Project(t, "x")+"/replay").Problem(t, 404, "client.absent")
	e.Get(t, at+"/replay").Want(t, 200)
	a.Post(t, at+"/assign", map[string]any{"manager_id": nil}).Want(t, 200)
	a.Assign(t, e.ID, nil, nil)
	e.Get(t, at+"/replay").Problem(t, 404, "client.absent")
}

// testSystem replays without HTTP, from another process, and stops where it is told.
func testSystem(t *testing.T, s *apitest.System, id string) {
	t.Helper()
	other := s.Again(t)
	n := 0
	for step, err := range replay.Client(t.Context(), other.Log, uuid.MustParse(id), replay.Until{Revision: new(eventlog.Revision(3))}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			if step.State.Address.City != "Sofia" {
				t.Errorf("%+v", step)
			}
			break
		}
	}
	if n != 2 {
		t.Errorf("%d steps", n)
	}
	other.Log.Close()
	for _, err := range replay.Client(t.Context(), other.Log, uuid.MustParse(id), replay.Until{}) {
		if err == nil {
			t.Error("a story out of a closed log")
		}
	}
}
