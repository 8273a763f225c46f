package replay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/internal/apitest"
	"annals/internal/replay"
)

type told struct {
	step
	Of   *struct{ Kind, ID string }
	Item map[string]any
	End  *struct {
		Position   string
		State      map[string]any
		Activities map[string]int
	}
}

func whole(t *testing.T, r *apitest.Response) (steps []told, end told) {
	t.Helper()
	r.Want(t, 200)
	for line := range bytes.Lines(r.Body) {
		var s told
		if err := json.Unmarshal(line, &s); err != nil || s.Error != "" || end.End != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if s.End != nil {
			end = s
		} else {
			steps = append(steps, s)
		}
	}
	return steps, end
}

// doing is what people do with a client: anything that belongs to one is a line here.
// ids are those of the kind that there are so far.
type doing struct {
	kind   string
	create string // POST to it makes one
	body   func(n int) apitest.Map
	change []func(u *apitest.User, t *testing.T, one string, n int)
}

func patch(field string) func(*apitest.User, *testing.T, string, int) {
	return func(u *apitest.User, t *testing.T, one string, n int) { //nolint:thelper // no helper
		u.Patch(t, one, apitest.Map{field: fmt.Sprint(field, " ", n)})
	}
}

func post(path string, body apitest.Map) func(*apitest.User, *testing.T, string, int) {
	return func(u *apitest.User, t *testing.T, one string, _ int) { //nolint:thelper // no helper
		u.Post(t, one+path, body)
	}
}

func remove(u *apitest.User, t *testing.T, one string, _ int) { //nolint:thelper // no helper
	if at := u.Do(t, "DELETE", one, nil).Header.Get("Annals-Position"); at != "" {
		u.After = at
	}
}

func numbered(field string, more apitest.Map) func(int) apitest.Map {
	return func(n int) apitest.Map {
		m := apitest.Map{field: fmt.Sprint(field, " number ", n)}
		maps.Copy(m, more)
		return m
	}
}

var doings = []doing{
	{"note", "notes", numbered("text", nil), []func(*apitest.User, *testing.T, string, int){
		patch("text"), remove,
		func(u *apitest.User, t *testing.T, one string, n int) { //nolint:thelper // no helper
			u.Patch(t, one, apitest.Map{"pinned": n%2 == 0, "text": fmt.Sprint("both ", n)})
		},
	}},
	{"action", "actions", numbered("title", apitest.Map{"type": "call", "due_at": "2095-01-01T10:00:00Z"}), []func(*apitest.User, *testing.T, string, int){
		patch("title"), patch("text"), remove, post("/done", apitest.Map{"outcome": "reached"}), post("/reopen", nil),
	}},
	{"request", "requests", numbered("subject", apitest.Map{"text": "Where is it?"}), []func(*apitest.User, *testing.T, string, int){
		post("/status", apitest.Map{"status": "in_progress"}), post("/status", apitest.Map{"status": "resolved", "text": "Here"}),
	}},
	{"call", "calls", numbered("text", apitest.Map{"direction": "inbound", "number": "+44 20 7946 0958", "duration_s": 61, "outcome": "answered"}), []func(*apitest.User, *testing.T, string, int){
		patch("number"), remove,
	}},
	{"record", "records/tickets", func(n int) apitest.Map {
		return apitest.Map{"system": "desk", "external_id": strconv.Itoa(n % 7), "title": fmt.Sprint("Ticket ", n), "amount": strconv.Itoa(n), "currency": "EUR"}
	}, []func(*apitest.User, *testing.T, string, int){patch("status"), patch("title"), remove}},
}

// fold is what an activity says after an event, told by the fields of the event alone.
func fold(shown map[string]any, s told) {
	e := maps.Clone(s.Event)
	delete(e, "client_id")
	delete(e, "mentions")
	switch s.Type {
	case "note.edited":
		shown["text"] = e["to"]
	case "note.pinned", "note.unpinned":
		shown["pinned"] = s.Type == "note.pinned"
	case "action.added", "request.opened":
		maps.Copy(shown, e)
		shown["status"] = "open"
	case "action.done":
		shown["status"], shown["outcome"] = "done", e["outcome"]
	case "action.reopened":
		shown["status"] = "open"
		delete(shown, "outcome")
	case "request.status_changed":
		shown["status"], shown["answer"] = e["to"], e["text"]
	default:
		from, _ := e["from"].(map[string]any)
		to, _ := e["to"].(map[string]any)
		for name := range from {
			delete(shown, name)
		}
		maps.Copy(shown, to)
		delete(e, "from")
		delete(e, "to")
		maps.Copy(shown, e)
	}
}

// same are the fields that an activity has in the feed, or a record in its list, under
// the names that they have in events.
var same = []string{
	"text", "pinned", "title", "type", "due_at", "remind_at", "status", "outcome", "subject", "answer", "direction", "number", "duration_s",
	"system", "external_id", "url", "amount", "currency", "name", "description",
}

func pick(from map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range same {
		if v := from[name]; v != nil && v != "" && v != false && v != 0.0 {
			out[name] = v
		}
	}
	return out
}

// Whatever people do with a client, and with what belongs to it: the log tells exactly
// what the history lists, and comes to exactly what the feed and the record show.
func TestWholeStory(t *testing.T) {
	s := apitest.Start(t)
	u := s.Admin(t)
	project := u.Project(t, "Whole")
	other := u.Client(t, project, "Other")
	id := u.Client(t, project, "Petrova", apitest.Map{"first_name": "Elena", "email": "elena@example.com"})
	at := "/api/v1/clients/" + id
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	made := map[string][]string{}
	for n := range 150 {
		switch d := doings[rnd.IntN(len(doings))]; {
		case rnd.IntN(12) == 0:
			u.Patch(t, at, apitest.Map{"company": fmt.Sprint("Company ", n)}).Want(t, 200)
		case rnd.IntN(12) == 0:
			u.Create(t, "/api/v1/clients/"+other+"/notes", apitest.Map{"text": id}) // not of this story
		case len(made[d.kind]) < 3 || rnd.IntN(3) == 0:
			r := u.Post(t, at+"/"+d.create, d.body(n))
			if one := r.Text("id"); r.Status/100 != 2 {
				r.Want(t, 201)
			} else if !slices.Contains(made[d.kind], one) {
				made[d.kind] = append(made[d.kind], one)
			}
		default: // which may be refused, as where it has been deleted
			one := made[d.kind][rnd.IntN(len(made[d.kind]))]
			d.change[rnd.IntN(len(d.change))](u, t, at+"/"+d.create+"/"+one, n)
		}
	}
	steps, end := whole(t, u.Get(t, at+"/replay?with=activities"))
	inHistory(t, u, at, steps)
	shown, items := comeTo(steps)
	inFeed(t, u, at, steps, shown, items, end.End.Activities)
	record := u.Get(t, at).Want(t, 200)
	for _, field := range []string{"name", "email", "company", "status"} {
		if got := fmt.Sprint(end.End.State[field]); got != record.Text(field) {
			t.Errorf("%s = %q in the end, the record shows %q", field, got, record.Text(field))
		}
	}
	if last := steps[len(steps)-1]; end.End.Position != last.Position {
		t.Errorf("the end is at %s, the last event at %s", end.End.Position, last.Position)
	}
	bounds(t, u, s, at, id, steps)
}

// inHistory holds the steps against the history, which is a read model.
func inHistory(t *testing.T, u *apitest.User, at string, steps []told) {
	t.Helper()
	var got, want []string
	for _, s := range steps {
		kind, one := "client", strings.TrimPrefix(at, "/api/v1/clients/")
		if s.Of != nil {
			kind, one = s.Of.Kind, s.Of.ID
		}
		got = append(got, fmt.Sprint(s.Position, s.Type, kind, one, s.Revision, s.Actor.ID))
	}
	for next := at + "/history?with=activities&limit=100&sort=position"; next != ""; {
		page := u.Get(t, next).Want(t, 200)
		for _, item := range page.List("items") {
			h := item.(map[string]any)
			of, who := h["of"].(map[string]any), h["actor"].(map[string]any)
			want = append(want, fmt.Sprint(h["position"], h["type"], of["kind"], of["id"], h["revision"], who["id"]))
		}
		if next = ""; page.At("next_cursor") != nil {
			next = at + "/history?with=activities&limit=100&sort=position&cursor=" + page.Text("next_cursor")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the story (-the history +the log)\n%s", diff)
	}
}

// comeTo folds the steps into what there is in the end, by id, and what the domain says of it.
func comeTo(steps []told) (shown map[string]map[string]any, last map[string]told) {
	shown, last = map[string]map[string]any{}, map[string]told{}
	for _, s := range steps {
		if s.Of == nil {
			continue
		}
		if strings.HasSuffix(s.Type, ".deleted") || strings.HasSuffix(s.Type, ".removed") {
			delete(shown, s.Of.ID)
			delete(last, s.Of.ID)
			continue
		}
		if shown[s.Of.ID] == nil || s.Type == "record.added" {
			shown[s.Of.ID] = map[string]any{}
		}
		fold(shown[s.Of.ID], s)
		last[s.Of.ID] = s
	}
	return shown, last
}

func inFeed(t *testing.T, u *apitest.User, at string, steps []told, shown map[string]map[string]any, last map[string]told, counts map[string]int) {
	t.Helper()
	var changes int
	found := map[string]int{}
	check := func(kind string, item map[string]any) {
		id := fmt.Sprint(item["id"])
		if shown[id] == nil {
			t.Errorf("%s %s is shown, and is not there by the log", kind, id)
			return
		}
		found[kind]++
		if diff := cmp.Diff(pick(shown[id]), pick(item)); diff != "" {
			t.Errorf("%s %s (-the log +what is shown)\n%s", kind, id, diff)
		}
		if item["revision"] != float64(last[id].Revision) {
			t.Errorf("%s %s is shown at %v, and is at %d", kind, id, item["revision"], last[id].Revision)
		}
		// What commands go by, as far as it has the same fields.
		for name, value := range pick(last[id].Item) {
			if now := shown[id][name]; name != "text" && now != nil && fmt.Sprint(now) != fmt.Sprint(value) {
				t.Errorf("%s %s: %s is %v for commands, and %v by its events", kind, id, name, value, now)
			}
		}
	}
	for next := at + "/activity?limit=50"; next != ""; {
		page := u.Get(t, next).Want(t, 200)
		for _, item := range page.List("items") {
			if item := item.(map[string]any); item["kind"] == "change" {
				changes++
			} else {
				check(fmt.Sprint(item["kind"]), item)
			}
		}
		if next = ""; page.At("next_cursor") != nil {
			next = at + "/activity?limit=50&cursor=" + page.Text("next_cursor")
		}
	}
	for _, item := range u.Get(t, at+"/records/tickets?limit=500").Want(t, 200).List("items") {
		check("record", item.(map[string]any))
	}
	own := 0
	for _, s := range steps {
		if s.Of == nil {
			own++
		}
	}
	if changes != own {
		t.Errorf("the feed has %d changes of the client, the log %d", changes, own)
	}
	maps.DeleteFunc(counts, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(counts, found); diff != "" {
		t.Errorf("how many there are (-the log +what is shown)\n%s", diff)
	}
}

// bounds end the story where it is told to, and nobody hears it who may not.
func bounds(t *testing.T, u *apitest.User, s *apitest.System, at, id string, steps []told) {
	t.Helper()
	var own []int
	for i, s := range steps {
		if s.Of == nil {
			own = append(own, i)
		}
	}
	middle := own[len(own)/2]
	got, end := whole(t, u.Get(t, fmt.Sprint(at, "/replay?with=activities&revision=", steps[middle].Revision)))
	if len(got) != middle+1 || end.End.Position != steps[middle].Position {
		t.Errorf("up to revision %d: %d steps, want %d", steps[middle].Revision, len(got), middle+1)
	}
	half := steps[len(steps)/2]
	got, _ = whole(t, u.Get(t, at+"/replay?with=activities&as_of="+half.At.Format(time.RFC3339Nano)))
	if n := len(got); n == 0 || got[n-1].At.After(half.At) || n < len(steps) && !steps[n].At.After(half.At) {
		t.Errorf("up to a moment: %d of %d steps", n, len(steps))
	}
	if got, _ = whole(t, u.Get(t, at+"/replay?with=activities&as_of=2000-01-01")); len(got) != 0 {
		t.Errorf("before there was anything: %v", got)
	}
	stranger := u.Employee(t, "Stranger", nil, nil)
	stranger.Get(t, at+"/replay?with=activities").Problem(t, 404, "client.absent")
	u.Get(t, at+"/replay?with=everything").Problem(t, 422, "invalid", "with")
	other := s.Again(t)
	other.Log.Close()
	n := 0
	for _, err := range replay.Whole(t.Context(), other.Log, uuid.MustParse(id), replay.Until{}) {
		if n++; err == nil {
			t.Error("a story out of a closed log")
		}
	}
	if n != 1 {
		t.Errorf("%d lines", n)
	}
}
