package readapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/unraced"
)

// saved is a client's record as it was answered at a moment.
type saved struct {
	at       string
	revision int
	record   apitest.Map
}

// Whatever is done to a client, at any moment four things agree: the record that was answered
// then, the record as of then, the replay from the log up to then, and what the history says was
// changed since.
func TestThen(t *testing.T) {
	t.Parallel()
	commands := unraced.Of(t, 150, 30)
	s := apitest.Start(t)
	a := s.Admin(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	p := &pastWorld{t: t, Rand: rand.New(rand.NewPCG(seed, 1)), u: a}
	for _, name := range []string{"North", "South"} {
		project := a.Project(t, name)
		p.projects = append(p.projects, project)
		p.desks = append(p.desks, a.Desk(t, project, name+" desk"))
	}
	for len(p.clients) < 3 {
		p.command()
	}
	moments := map[string][]saved{}
	for range commands {
		p.command()
		s.Clock.Advance(time.Duration(1+p.IntN(100)) * time.Minute)
		for _, id := range p.clients[:3] {
			record := a.Get(t, "/api/v1/clients/"+id).Want(t, 200).JSON()
			moments[id] = append(moments[id], saved{s.Clock.Now().UTC().Format(time.RFC3339Nano), int(record["revision"].(float64)), record})
		}
		s.Clock.Advance(time.Millisecond)
	}
	for _, id := range p.clients[:3] {
		agree(t, a, p.Rand, id, moments[id])
	}
}

func agree(t *testing.T, a *apitest.User, r *rand.Rand, id string, all []saved) {
	t.Helper()
	at := "/api/v1/clients/" + id
	history := a.Get(t, at+"/history?limit=500").Want(t, 200).List("items")
	first := map[int]apitest.Map{}
	for _, m := range all {
		record := a.Get(t, at+"?as_of="+m.at).Want(t, 200)
		if record.Header.Get("ETag") != "" {
			t.Fatal("a record of the past is told with an ETag, as if it could be changed")
		}
		if diff := cmp.Diff(m.record, record.JSON()); diff != "" {
			t.Fatalf("as of %s (-was +is told)\n%s", m.at, diff)
		}
		if first[m.revision] == nil {
			first[m.revision] = m.record
			if diff := cmp.Diff(owned(m.record), owned(a.Get(t, fmt.Sprint(at, "?revision=", m.revision)).Want(t, 200).JSON())); diff != "" {
				t.Fatalf("revision %d (-was +is told)\n%s", m.revision, diff)
			}
		}
		replayed := a.Get(t, at+"/replay?as_of="+m.at).Want(t, 200)
		lines := strings.Split(strings.TrimSpace(string(replayed.Body)), "\n")
		var step apitest.Map
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &step); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stated(step["state"].(apitest.Map)), owned(m.record)); diff != "" {
			t.Fatalf("as of %s (-replayed +was)\n%s", m.at, diff)
		}
	}
	for range 100 {
		i, j := r.IntN(len(all)), r.IntN(len(all))
		from, to := all[i], all[j]
		d := a.Get(t, at+"/diff?from="+from.at+"&to="+to.at).Want(t, 200)
		if d.At("from.revision") != float64(from.revision) || d.At("to.revision") != float64(to.revision) {
			t.Fatalf("from %d to %d: %s", from.revision, to.revision, d.Body)
		}
		got := told1(d.List("changes"))
		want := map[string][2]any{}
		was, is := flattened("", owned(from.record)), flattened("", owned(to.record))
		for field := range union(was, is) {
			if !reflect.DeepEqual(was[field], is[field]) {
				want[field] = [2]any{was[field], is[field]}
			}
		}
		if tags, ok := want["tags"]; ok { // of which a difference tells what went and what came
			want["tags"] = [2]any{without(tags[0], tags[1]), without(tags[1], tags[0])}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("from %s to %s (-the records +the difference)\n%s", from.at, to.at, diff)
		}
		if from.revision <= to.revision {
			if diff := cmp.Diff(composed(history, from.revision, to.revision), got); diff != "" {
				t.Fatalf("from revision %d to %d (-the history +the difference)\n%s", from.revision, to.revision, diff)
			}
		}
	}
}

// without is what of one list is not in another, nil if nothing is.
func without(list, other any) any {
	of, _ := list.([]any)
	not, _ := other.([]any)
	left := slices.DeleteFunc(slices.Clone(of), func(v any) bool { return slices.Contains(not, v) })
	if len(left) == 0 {
		return nil
	}
	return left
}

// owned are the fields of a record that the events of the client alone tell.
func owned(record apitest.Map) apitest.Map {
	out := maps.Clone(record)
	for name := range strings.FieldsSeq("id name emails phones addresses warnings created_at updated_at revision status_changed_at status_reason active deactivated_at deactivation_reason portal last_contacted_at") {
		delete(out, name)
	}
	for _, name := range []string{"project", "desk", "manager"} {
		if ref, ok := out[name].(apitest.Map); ok {
			out[name+"_id"] = ref["id"]
		}
		delete(out, name)
	}
	return flattened("", out)
}

// stated is the same of a state as it was replayed.
func stated(state apitest.Map) apitest.Map {
	out := maps.Clone(state)
	delete(out, "name")
	delete(out, "deactivated")
	return flattened("", out)
}

// flattened are the values that are not empty, by path.
func flattened(prefix string, m apitest.Map) apitest.Map {
	out := apitest.Map{}
	for name, v := range m {
		switch v := v.(type) {
		case apitest.Map:
			maps.Copy(out, flattened(prefix+name+".", v))
		case []any:
			if len(v) > 0 {
				out[prefix+name] = v
			}
		default:
			if v != nil && v != "" {
				out[prefix+name] = v
			}
		}
	}
	return out
}

func union(a, b apitest.Map) apitest.Map {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// told1 is what a difference says of the client itself, by field.
func told1(changes []any) map[string][2]any {
	out := map[string][2]any{}
	for _, c := range changes {
		c := c.(apitest.Map)
		field := c["field"].(string)
		switch {
		case field == "tags":
			out[field] = [2]any{c["removed"], c["added"]}
		case slices.Contains([]string{"project", "desk", "manager"}, field):
			id := func(side any) any {
				if ref, ok := side.(apitest.Map); ok {
					return ref["id"]
				}
				return nil
			}
			out[field+"_id"] = [2]any{id(c["from"]), id(c["to"])}
		case len(owned(apitest.Map{strings.Split(field, ".")[0]: "x"})) > 0:
			out[field] = [2]any{c["from"], c["to"]}
		}
	}
	return out
}

// composed is what the events after one revision and up to another changed, taken together.
func composed(history []any, from, to int) map[string][2]any {
	net := map[string][2]any{}
	tags := map[string]int{}
	for _, item := range history {
		item := item.(apitest.Map)
		if n := int(item["revision"].(float64)); n <= from || n > to {
			continue
		}
		for _, c := range item["changes"].([]any) {
			c := c.(apitest.Map)
			field := c["field"].(string)
			if field == "tags" {
				for name, by := range map[string]int{"added": 1, "removed": -1} {
					list, _ := c[name].([]any)
					for _, tag := range list {
						tags[tag.(string)] += by
					}
				}
				continue
			}
			was, is := flattened("", apitest.Map{field: c["from"]}), flattened("", apitest.Map{field: c["to"]})
			for leaf := range union(was, is) {
				if first, ok := net[leaf]; ok {
					net[leaf] = [2]any{first[0], is[leaf]}
				} else {
					net[leaf] = [2]any{was[leaf], is[leaf]}
				}
			}
		}
	}
	maps.DeleteFunc(net, func(_ string, v [2]any) bool { return reflect.DeepEqual(v[0], v[1]) })
	var added, removed []any
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		if tags[tag] > 0 {
			added = append(added, tag)
		} else if tags[tag] < 0 {
			removed = append(removed, tag)
		}
	}
	if len(added)+len(removed) > 0 {
		var both [2]any
		if removed != nil {
			both[0] = removed
		}
		if added != nil {
			both[1] = added
		}
		net["tags"] = both
	}
	return net
}

// A record of the past is of who sees the client now; before there was one there is none.
func TestThenIsAbsent(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Then")
	before := s.Clock.Now().UTC().Format(time.RFC3339Nano)
	id := a.Client(t, project, "Petrova")
	at := "/api/v1/clients/" + id
	a.Post(t, at+"/status", apitest.Map{"status": "active"}).Want(t, 200)
	a.Get(t, at+"?as_of="+before).Problem(t, 404, "client.not_yet")
	a.Get(t, at+"?as_of=2000-01-01").Problem(t, 404, "client.not_yet")
	a.Get(t, at+"?revision=2").Problem(t, 404, "client.no_revision")
	a.Get(t, at+"?revision=0&as_of=2000-01-01").Problem(t, 422, "invalid", "revision")
	a.Get(t, at+"?as_of=yesterday").Problem(t, 422, "invalid", "as_of")
	a.Get(t, at+"?as_of="+s.Clock.Now().UTC().Format(time.DateOnly)).Want(t, 200)
	if r := a.Get(t, at+"?revision=0").Want(t, 200); r.Text("status") != "lead" || r.Text("revision") != "0" {
		t.Errorf("%s", r.Body)
	}
	if r := a.Get(t, at+"/diff?from="+before+"&to=0").Want(t, 200); r.At("from.revision") != nil || r.At("to.revision") != 0.0 || len(r.List("changes")) < 4 {
		t.Errorf("%s", r.Body)
	}
	if r := a.Get(t, at+"/diff?from=0&to=0").Want(t, 200); len(r.List("changes")) != 0 {
		t.Errorf("%s", r.Body)
	}
	a.Get(t, at+"/diff?from=2000-01-01&to=2000-01-02").Problem(t, 404, "client.not_yet")
	a.Get(t, at+"/diff?from=0&to=2").Problem(t, 404, "client.no_revision")
	a.Get(t, at+"/diff?from=0&to=soon").Problem(t, 422, "invalid", "to")
	if r := a.Get(t, at+"/diff").Want(t, 200); r.At("from.revision") != 0.0 || r.At("to.revision") != 1.0 || r.Text("changes.0.field") != "status" {
		t.Errorf("%s", r.Body)
	}
	stranger := a.Employee(t, "Stranger", []string{a.Project(t, "Elsewhere")}, nil)
	for _, path := range []string{"?revision=0", "?as_of=2999-01-01", "?as_of=2000-01-01", "?revision=7", "/diff?from=0", "/diff?from=2000-01-01&to=2000-01-02"} {
		stranger.Get(t, at+path).Problem(t, 404, "client.absent")
	}
	s.Erase(t, id)
	r := a.Get(t, at+"?revision=0").Want(t, 200)
	for deadline := time.Now().Add(apitest.Patience); r.At("erased") != true && time.Now().Before(deadline); r = a.Get(t, at+"?revision=0") {
		time.Sleep(10 * time.Millisecond)
	}
	if r.Text("last_name") != "" || strings.Contains(string(r.Body), "Petrova") {
		t.Errorf("erased, and told of the past: %s", r.Body)
	}
	if r := a.Get(t, at+"/diff?from=0").Want(t, 200); r.At("erased") != true || strings.Contains(string(r.Body), "Petrova") {
		t.Errorf("%s", r.Body)
	}
}

// Events at the same time are revisions of their own.
func TestRevisionsOfOneMoment(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	id := a.Client(t, a.Project(t, "At once"), "Gemini")
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: s.Clock.Now().UTC().Truncate(time.Microsecond)}
	res, err := s.Log.Append(t.Context(), eventlog.Stream(domain.Client, uuid.MustParse(id)), 0, m,
		client.Retagged{Added: []string{"one"}}, client.Retagged{Added: []string{"two"}}, client.Retagged{Removed: []string{"one"}})
	if err != nil {
		t.Fatal(err)
	}
	a.After = res.Position.String()
	for revision, want := range []string{"[]", "[one]", "[one two]", "[two]"} {
		if r := a.Get(t, fmt.Sprint("/api/v1/clients/", id, "?revision=", revision)).Want(t, 200); fmt.Sprint(r.List("tags")) != want {
			t.Errorf("revision %d: %s, want %s", revision, r.List("tags"), want)
		}
	}
	if r := a.Get(t, "/api/v1/clients/"+id+"?as_of="+m.At.Format(time.RFC3339Nano)).Want(t, 200); fmt.Sprint(r.List("tags")) != "[two]" {
		t.Errorf("as of then: %s", r.List("tags"))
	}
}

// Histories tell what is asked for of them, of who did it, and how.
func TestHistoryFilters(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Filtered")
	id := a.Client(t, project, "Filter")
	at := "/api/v1/clients/" + id
	mira := a.EmployeeAs(t, "Mira", []string{"project_admin"}, []string{project}, nil)
	a.Patch(t, at, apitest.Map{"address": apitest.Map{"city": "Ulm"}, "phone": "555"}).Want(t, 200)
	middle := s.Clock.Now().UTC().Format(time.RFC3339Nano)
	mira.Post(t, at+"/status", apitest.Map{"status": "active", "reason": "signed"}).Want(t, 200)
	mira.Post(t, at+"/retag", apitest.Map{"add": []string{"a"}}).Want(t, 200)
	a.After = mira.After
	key := a.Post(t, "/api/v1/api-keys", apitest.Map{"name": "Robot", "permissions": []apitest.Map{{"permission": "clients.view", "reach": "all"}, {"permission": "clients.edit", "reach": "all"}}}).Want(t, 201)
	robot := &apitest.User{System: s, Token: key.Text("key"), After: a.After}
	robot.Do(t, http.MethodPatch, at, apitest.Map{"company": "Robots"}, "User-Agent", "annals-import").Want(t, 200)
	note := a.Create(t, at+"/notes", apitest.Map{"text": "hello"})
	for query, want := range map[string]string{
		"":                               "[client.registered client.edited client.status_changed client.retagged client.edited]",
		"?type=client.edited":            "[client.edited client.edited]",
		"?type=client.re*":               "[client.registered client.retagged]",
		"?type=*.edited&type=*_changed":  "[client.edited client.status_changed client.edited]",
		"?actor=" + mira.ID:              "[client.status_changed client.retagged]",
		"?field=address":                 "[client.edited]",
		"?field=address.city&field=tags": "[client.edited client.retagged]",
		"?field=addr":                    "[]",
		"?field=status":                  "[client.registered client.status_changed]",
		"?to=" + middle:                  "[client.registered client.edited]",
		"?from=" + middle + "&actor=" + mira.ID + "&type=client.retagged": "[client.retagged]",
		"?from=2000-01-01&to=2000-01-02":                                  "[]",
		"?with=activities&type=note.*":                                    "[note.added]",
		"?with=activities&from=" + middle + "&sort=-position&limit=2":     "[note.added client.edited]",
	} {
		if got := fmt.Sprint(a.Get(t, at+"/history"+query).Want(t, 200).Column("type")); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	items := a.Get(t, at+"/history?with=activities&sort=position").Want(t, 200)
	for i, want := range []string{"employee", "employee", "employee", "employee", "api_key", "employee"} {
		if got := items.Text(fmt.Sprintf("items.%d.actor.kind", i)); got != want {
			t.Errorf("%d: done by %s, want %s", i, got, want)
		}
		if got := items.Text(fmt.Sprintf("items.%d.project_id", i)); got != project {
			t.Errorf("%d: in %s, want %s", i, got, project)
		}
	}
	if items.At("items.4.import") != true || items.Text("items.4.actor.name") != "Robot" || items.Text("items.5.stream") != "note-"+note || items.Text("items.2.reason") != "signed" {
		t.Errorf("%s", items.Body)
	}
	a.Get(t, at+"/history?type=clinet.*").Problem(t, 422, "invalid", "type[0]")
	a.Get(t, at+"/history?type=client.%5Ba-z%5D*").Problem(t, 422, "invalid", "type[0]")
	a.Get(t, at+"/history?from=soon").Problem(t, 422, "invalid", "from")
	a.Get(t, at+"/history?actor=me").Problem(t, 422, "invalid", "actor[0]")
	if got := fmt.Sprint(a.Get(t, "/api/v1/employees/"+mira.ID+"/history?type=employee.assigned").Want(t, 200).Column("type")); got != "[employee.assigned]" {
		t.Errorf("of an employee: %s", got)
	}
	if len(eventschema.Types()) < 50 {
		t.Error("there are more types of events")
	}
}
