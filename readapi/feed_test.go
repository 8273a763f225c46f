package readapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/commands"
	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/note"
	"annals/domain/request"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/projections"
)

// Whatever people do: the feed is what the log says happened, also after the person has
// been erased, and a feed built anew is the same.
func TestFeedEqualsLog(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	w := &working{t: t, u: s.Admin(t)}
	project := w.u.Project(t, "Feed")
	w.mira = w.u.Employee(t, "mira", []string{project}, nil)
	w.u.Patch(t, "/api/v1/employees/"+w.mira.ID, Map{"email": "mira@example.com"}).Want(t, 200)
	w.u.Post(t, "/api/v1/employees/"+w.mira.ID+"/roles", Map{"roles": []string{"project_admin"}}).Want(t, 200)
	w.u.Get(t, "/api/v1/employees").Want(t, 200) // so that the handle is known
	var fed []string
	rapid.Check(t, func(t *rapid.T) {
		w.client, w.streams, w.items = w.u.Client(w.t, project, "Fay"), nil, nil
		w.streams = []string{"client-" + w.client}
		fed = append(fed, w.client)
		for range rapid.IntRange(1, 14).Draw(t, "commands") {
			w.command(t)
		}
		w.compare(t)
		if rapid.IntRange(0, 3).Draw(t, "erase") == 0 {
			w.erase(s)
			w.compare(t)
		}
	})
	cfg := projections.Config{Database: s.Database, Log: s.Log, Logger: s.Logs.Logger()}
	if rep, err := projections.Verify(t.Context(), cfg, "activities"); err != nil || len(rep.Parked) > 0 {
		t.Errorf("%+v: %v", rep, err)
	}
	feed := func() (all []string) {
		for _, c := range fed {
			body, _, _ := strings.Cut(string(w.u.Get(t, "/api/v1/clients/"+c+"/activity").Want(t, 200).Body), `,"position":`) // where the log is goes on with each look
			all = append(all, body)
		}
		return all
	}
	was := feed()
	if err := projections.Rebuild(t.Context(), cfg, "activities"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, feed()); diff != "" {
		t.Errorf("built anew (-was +is)\n%s", diff)
	}
}

// working is people at work on one client.
type working struct {
	t       *testing.T
	u, mira *apitest.User
	client  string
	items   []item
	streams []string
}

type item struct{ kind, id string }

func (w *working) path(parts ...string) string {
	return "/api/v1/clients/" + w.client + "/" + strings.Join(parts, "/")
}

// send carries out a command that may be refused, but must not fail.
func (w *working) send(t *rapid.T, method, path string, body any) *apitest.Response {
	r := w.u.Do(w.t, method, path, body)
	if r.Status >= 500 {
		t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
	}
	w.after(r.Header.Get("Annals-Position"))
	return r
}

// after has reads wait for a position, unless they wait for a later one: a command that
// changes nothing answers an earlier one.
func (w *working) after(at string) {
	is, err := eventlog.ParsePosition(at)
	if was, _ := eventlog.ParsePosition(w.u.After); err == nil && is.Compare(was) > 0 {
		w.u.After = at
	}
}

func (w *working) command(t *rapid.T) {
	text := rapid.SampledFrom([]string{"a", "b **c**", "@mira", "@mira and @nobody", "@ada", "x@example.com", "`@mira`", "ä\n\n| a |\n|---|\n| b |", " ", "<b>", "[M](employee:" + w.mira.ID + ")"})
	whole := time.Now().Truncate(time.Second).UTC()
	when := rapid.Custom(func(t *rapid.T) any {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		return whole.Add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "hours")) * time.Hour).Format(time.RFC3339)
	})
	who := rapid.SampledFrom([]any{nil, w.mira.ID, w.u.ID, uuid.NewString()})
	draw := func(t *rapid.T, fields Map, always ...string) Map {
		body := Map{}
		for _, name := range slices.Sorted(keys(fields)) {
			if slices.Contains(always, name) || rapid.Bool().Draw(t, name) {
				switch g := fields[name].(type) {
				case *rapid.Generator[string]:
					body[name] = g.Draw(t, name)
				case *rapid.Generator[any]:
					body[name] = g.Draw(t, name)
				case *rapid.Generator[int]:
					body[name] = g.Draw(t, name)
				case *rapid.Generator[bool]:
					body[name] = g.Draw(t, name)
				}
			}
		}
		return body
	}
	bodies := map[string]Map{
		"note":    {"text": text, "pinned": rapid.Bool()},
		"action":  {"title": text, "text": text, "type": rapid.SampledFrom([]string{"task", "call"}), "due_at": when, "remind_at": when, "assignee_id": who},
		"request": {"subject": text, "text": text, "assignee_id": who},
		"call": {
			"direction": rapid.SampledFrom([]string{"inbound", "outbound"}), "number": rapid.SampledFrom([]string{"+44 20 7946 0958", "555-0100", "no"}),
			"duration_s": rapid.IntRange(0, 100), "outcome": rapid.SampledFrom([]string{"answered", "busy"}), "text": text, "at": when,
		},
	}
	always := []string{"text", "title", "subject", "direction", "number", "outcome", "status", "assignee_id"}
	kind := rapid.SampledFrom([]string{"note", "action", "request", "call"}).Draw(t, "kind")
	if len(w.items) == 0 || rapid.IntRange(0, 3).Draw(t, "what") == 0 {
		if r := w.send(t, "POST", w.path(kind+"s"), draw(t, bodies[kind], always...)); r.Status == 201 {
			w.items = append(w.items, item{kind, r.Text("id")})
			w.streams = append(w.streams, kind+"-"+r.Text("id"))
		}
		return
	}
	it := rapid.SampledFrom(w.items).Draw(t, "item")
	at := func(more ...string) string { return w.path(append([]string{it.kind + "s", it.id}, more...)...) }
	next := rapid.IntRange(0, 9).Draw(t, "next")
	switch {
	case next == 0:
		w.send(t, "POST", "/api/v1/clients/"+w.client+"/retag", Map{"add": []string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tag")}})
	case next == 1 && it.kind != "request":
		w.send(t, "DELETE", at(), nil)
	case it.kind == "request" && next < 6:
		w.send(t, "POST", at("status"), draw(t, Map{"status": rapid.SampledFrom([]string{"open", "in_progress", "resolved", "rejected"}), "text": text}, "status"))
	case it.kind == "request":
		w.send(t, "POST", at("assign"), draw(t, Map{"assignee_id": who}, always...))
	case it.kind == "action" && next == 2:
		w.send(t, "POST", at("done"), draw(t, Map{"outcome": text}))
	case it.kind == "action" && next == 3:
		w.send(t, "POST", at("reopen"), nil)
	case it.kind == "action" && next == 4:
		w.timers(t, uuid.MustParse(it.id))
	default:
		body := draw(t, bodies[it.kind])
		for name, v := range body {
			if v == nil && (name == "at") {
				delete(body, name)
			}
		}
		w.send(t, "PATCH", at(), body)
	}
}

// timers do what the system does when the times of an action have come.
func (w *working) timers(t *rapid.T, id domain.ID) {
	s, err := commands.Load[action.State](w.t.Context(), w.u.Commands.Store, domain.Ref{Category: domain.Action, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []action.Command{action.Remind{At: s.RemindAt}, action.FallDue{At: s.DueAt}} {
		m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond), By: domain.Root}
		out, err := commands.Attach(w.t.Context(), w.u.Commands, action.Aggregate, uuid.MustParse(w.client), id, c, m, commands.AnyRevision)
		if domain.KindOf(err) == domain.Internal && err != nil {
			t.Fatal(err)
		}
		if err == nil {
			w.after(out.Position.String())
		}
	}
}

func (w *working) erase(s *apitest.System) {
	w.u.Erase(w.t, w.client)
	head, err := s.Log.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.u.After = head.String()
}

// compare holds the feed, page by page, against a fold of the log.
func (w *working) compare(t *rapid.T) {
	var got []Map
	limit := rapid.IntRange(1, 20).Draw(t, "limit")
	first := w.path("activity") + fmt.Sprint("?limit=", limit)
	for next := first; next != ""; {
		page := w.u.Get(w.t, next).Want(w.t, 200)
		for _, one := range page.List("items") {
			got = append(got, shown(one.(Map)))
		}
		if next = ""; page.At("next_cursor") != nil {
			next = first + "&cursor=" + page.Text("next_cursor")
		}
	}
	if diff := cmp.Diff(w.fold(t), got); diff != "" {
		t.Fatalf("the feed is not what the log says (-log +feed)\n%s", diff)
	}
	for _, one := range got[:min(2, len(got))] {
		if r := w.u.Get(w.t, w.path("activity", one["id"].(string))).Want(w.t, 200); cmp.Diff(one, shown(r.JSON())) != "" {
			t.Fatalf("alone it is %s", r.Body)
		}
	}
}

// shown is what the log says itself, without what is made of it to be shown.
func shown(one Map) Map {
	for _, name := range []string{"$schema", "html", "position", "changes", "reason", "overdue"} {
		delete(one, name)
	}
	for _, name := range []string{"actor", "assignee"} {
		if who, ok := one[name].(Map); ok {
			one[name] = who["id"]
		}
	}
	return one
}

// fold is what the feed has to be.
func (w *working) fold(t *rapid.T) (all []Map) {
	for _, stream := range w.streams {
		var one Map
		for r, err := range w.u.Log.Read(w.t.Context(), stream, 0) {
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			if _, ok := r.Event.(client.Event); ok {
				all = append(all, Map{"id": r.ID.String(), "kind": "change", "at": r.Meta.At, "actor": r.Meta.Actor, "revision": r.Revision, "type": r.Type, "erased": len(r.Erased) > 0})
				continue
			}
			if one == nil {
				ref, _ := r.Ref()
				one = Map{"id": ref.ID, "kind": ref.Category, "at": r.Meta.At, "actor": r.Meta.Actor}
			}
			one["revision"] = r.Revision
			if len(r.Erased) > 0 {
				one["erased"] = true
			}
			if one = happened(one, r); one == nil {
				break
			}
		}
		if one != nil {
			all = append(all, one)
		}
	}
	for i, one := range all {
		for name, v := range one {
			if v == nil || v == "" || v == false || v == 0 || v == uuid.Nil || v == (time.Time{}) {
				delete(one, name)
			}
		}
		raw, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = Map{}
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b Map) int {
		at := func(m Map) time.Time { at, _ := time.Parse(time.RFC3339Nano, m["at"].(string)); return at }
		if c := at(b).Compare(at(a)); c != 0 {
			return c
		}
		return strings.Compare(b["id"].(string), a["id"].(string))
	})
	return all
}

// happened is what an event makes of what is shown; nothing, when it is gone.
func happened(one Map, r eventlog.Record) Map {
	at := r.Meta.At
	switch e := r.Event.(type) {
	case note.Added:
		one["text"], one["pinned"] = e.Text, e.Pinned
	case note.Edited:
		one["text"], one["edited_at"] = e.To, at
	case note.Pinned:
		one["pinned"] = true
	case note.Unpinned:
		one["pinned"] = false
	case action.Added:
		one["type"], one["title"], one["text"], one["status"] = e.Type, e.Title, e.Text, "open"
		one["due_at"], one["remind_at"], one["assignee"] = e.DueAt, e.RemindAt, e.AssigneeID
	case action.Changed:
		one["edited_at"] = at
		for name, side := range map[string][2]any{
			"type": {e.From.Type, e.To.Type}, "title": {e.From.Title, e.To.Title}, "text": {e.From.Text, e.To.Text},
			"due_at": {e.From.DueAt, e.To.DueAt}, "remind_at": {e.From.RemindAt, e.To.RemindAt}, "assignee": {e.From.AssigneeID, e.To.AssigneeID},
		} {
			if side[0] != side[1] {
				one[name] = side[1]
			}
		}
	case action.Done:
		one["status"], one["done_at"], one["outcome"] = "done", at, e.Outcome
	case action.Reopened:
		one["status"], one["done_at"], one["outcome"] = "open", nil, nil
	case request.Opened:
		one["subject"], one["text"], one["assignee"], one["status"] = e.Subject, e.Text, e.AssigneeID, "open"
	case request.StatusChanged:
		one["status"], one["status_at"], one["answer"] = e.To, at, e.Text
	case request.Assigned:
		one["assignee"] = e.To
	case call.Logged:
		one["at"], one["direction"], one["number"], one["duration_s"], one["outcome"], one["text"] = e.At, e.Direction, e.Number, e.Duration, e.Outcome, e.Text
	case call.Edited:
		one["edited_at"] = at
		for name, side := range map[string][2]any{
			"at": {e.From.At, e.To.At}, "direction": {e.From.Direction, e.To.Direction}, "number": {e.From.Number, e.To.Number},
			"duration_s": {e.From.Duration, e.To.Duration}, "outcome": {e.From.Outcome, e.To.Outcome}, "text": {e.From.Text, e.To.Text},
		} {
			if side[0] != side[1] {
				one[name] = side[1]
			}
		}
	case note.Deleted, action.Deleted, call.Deleted:
		return nil
	}
	return one
}

func keys(m Map) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range m {
			if !yield(name) {
				return
			}
		}
	}
}
