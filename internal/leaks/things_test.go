package leaks_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/document"
	"annals/domain/imported"
	"annals/domain/inbox"
	"annals/domain/message"
	"annals/domain/note"
	"annals/domain/record"
	"annals/domain/request"
	"annals/internal/apitest"
	"annals/internal/blobs"
)

// thing is something that belongs to a client.
type thing struct {
	client   id
	kind     string // as the feed has it; of a record, what it is one of
	text     string // what it shows first
	by       id
	assignee id
	done     bool // of an action or request
	due      time.Time
	pinned   bool
	gone     bool   // deleted
	system   string // of a record
}

// content are the bytes of a document.
func (th thing) content() string { return "These are the bytes of " + th.text + ".\n" }

var (
	feedKinds   = []string{"action", "request", "note", "call", "message", "document"}
	recordKinds = []string{"tickets", "transactions", "integrations"}
)

// notice is that somebody is told of something.
type notice struct {
	kind, position, about, event string
	client, item, by             id
	read                         bool
}

// tell notes who is told of the last event: the first kind counts, and nobody is told
// of what they do themselves.
func (o *org) tell(kind, about, event string, client, item id, whom ...id) {
	for _, n := range whom {
		last := ""
		if k := len(o.told[n]); k > 0 {
			last = o.told[n][k-1].position
		}
		if n == none || n == o.by() && kind != "import_finished" || last == o.position || o.unwanted[n][kind] == "none" {
			continue
		}
		o.told[n] = append(o.told[n], notice{kind: kind, position: o.position, about: about, event: event, client: client, item: item, by: o.by()})
	}
}

// furnish gives some clients one of each kind of what can belong to them.
func (o *org) furnish(t *testing.T) {
	t.Helper()
	ids := sorted(o.now.clients)
	o.rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, n := range ids[:min(len(ids), o.size(2, 3))] {
		for _, kind := range feedKinds {
			o.actor = o.somebody()
			o.addThing(t, n, kind)
		}
		for _, kind := range recordKinds {
			o.addThing(t, n, kind)
		}
	}
}

// somebody is an employee, at random.
func (o *org) somebody() id { return pick(o.rnd, sorted(o.now.people)) }

// colleagues are those whom a command about a client may name.
func (o *org) colleagues(client id) []id {
	if o.boss == nil {
		return sorted(o.now.people) // in the log there are those, too, who saw it at the time
	}
	var out []id
	for _, n := range sorted(o.now.people) {
		if !o.now.people[n].off && o.now.viewer(n).sees(o.now.clients[client].place) {
			out = append(out, n)
		}
	}
	return out
}

// thingStep changes something about what belongs to clients.
func (o *org) thingStep(t *testing.T) {
	t.Helper()
	if o.boss == nil {
		o.actor = o.somebody()
	}
	kinds := append(append([]string{}, feedKinds...), recordKinds...)
	switch n := o.rnd.IntN(10); {
	case n < 5:
		o.addThing(t, pick(o.rnd, sorted(o.now.clients)), pick(o.rnd, kinds))
	case n < 8:
		if there := o.thingsOf(none, ""); len(there) > 0 {
			o.removeThing(t, pick(o.rnd, there))
		}
	case n == 8 && o.boss == nil:
		o.importIt(t)
	default:
		o.readSome(t)
	}
}

// thingsOf are those that there are of a client, or of all, of a kind, or of any.
func (o *org) thingsOf(client id, kind string) (out []id) {
	for _, n := range sorted(o.things) {
		if th := o.things[n]; !th.gone && (client == none || th.client == client) && (kind == "" || th.kind == kind) {
			out = append(out, n)
		}
	}
	return out
}

func isRecord(kind string) bool {
	return kind == "tickets" || kind == "transactions" || kind == "integrations"
}

// addThing adds something of a kind to a client.
func (o *org) addThing(t *testing.T, of id, kind string) {
	t.Helper()
	th := thing{client: of, kind: kind, text: fmt.Sprintf("%s %s %d", kind, o.name, len(o.things)), by: o.by()}
	colleagues := o.colleagues(of)
	var mentioned []id
	if len(colleagues) > 0 && o.chance(60) {
		mentioned = []id{pick(o.rnd, colleagues)}
	}
	markdown := th.text
	if len(mentioned) > 0 {
		markdown += " [x](employee:" + mentioned[0].String() + ")"
	}
	if len(colleagues) > 0 && o.chance(80) {
		th.assignee = pick(o.rnd, colleagues)
	}
	path := "clients/" + of.String() + "/" + kind + "s"
	var n id
	switch kind {
	case "note":
		th.pinned = o.chance(30)
		th.text = markdown
		n = o.makeFor(t, of, domain.Note, path, obj{"text": markdown, "pinned": th.pinned}, note.Added{ClientID: of, Text: markdown, Pinned: th.pinned, Mentions: mentioned})
		o.tell("mentioned", domain.Note, "note.added", of, n, mentioned...)
	case "action":
		n = o.addAction(t, &th, path)
	case "request":
		body := obj{"subject": th.text, "text": "Please", "assignee_id": orNull(th.assignee)}
		manager := o.now.clients[of].manager
		n = o.makeFor(t, of, domain.Request, path, body, request.Opened{ClientID: of, AssigneeID: th.assignee, ManagerID: manager, Subject: th.text, Text: "Please"})
		o.tell("request", domain.Request, "request.opened", of, n, th.assignee, manager)
	case "call":
		body := obj{"direction": "inbound", "number": "+44 20 7946 0958", "outcome": "answered", "text": th.text}
		n = o.makeFor(t, of, domain.Call, path, body, call.Logged{ClientID: of, Details: call.Details{
			Direction: call.Inbound, Number: "+44 20 7946 0958", Outcome: call.Answered, Text: th.text, At: o.clock,
		}})
	case "message":
		if o.boss != nil {
			path += "/log"
		}
		body := obj{"from": "client@example.org", "subject": th.text, "text": th.text}
		n = o.makeFor(t, of, domain.Message, path, body, message.Logged{ClientID: of, From: "client@example.org", Subject: th.text, Text: th.text, At: o.clock})
	case "document":
		n = o.addDocument(t, th, path)
	default:
		th.system = "leaks"
		path = "clients/" + of.String() + "/records/" + kind
		body := obj{"system": th.system, "external_id": th.text, "title": th.text, "status": "open", "amount": "1.00", "currency": "EUR"}
		n = o.makeFor(t, of, domain.Record, path, body, record.Added{
			ClientID: of, Kind: record.Kind(kind), System: th.system, ExternalID: th.text,
			Details: record.Details{Title: th.text, Status: "open", Amount: "1.00", Currency: "EUR"},
		})
	}
	if kind != "action" && kind != "request" {
		th.assignee = none
	}
	o.things[n] = th
}

func (o *org) addAction(t *testing.T, th *thing, path string) id {
	t.Helper()
	body := obj{"title": th.text, "assignee_id": orNull(th.assignee)}
	if o.chance(60) {
		if th.due = o.w.s.Clock.Now().Add(24 * time.Hour).UTC().Truncate(time.Second); o.boss == nil && o.chance(50) {
			th.due = o.clock.Add(time.Hour).UTC().Truncate(time.Second)
		}
		body["due_at"] = th.due
	}
	n := o.makeFor(t, th.client, domain.Action, path, body, action.Added{
		ClientID: th.client, Details: action.Details{Type: action.Task, Title: th.text, DueAt: th.due, AssigneeID: th.assignee},
	})
	o.tell("assigned", domain.Action, "action.added", th.client, n, th.assignee)
	if o.boss == nil && !th.due.IsZero() && th.assignee != none && o.chance(30) {
		o.actor = domain.System
		o.writeFor(t, th.client, domain.Action, n, action.FellDue{AssigneeID: th.assignee, At: th.due})
		o.tell("overdue", domain.Action, "action.fell_due", th.client, n, th.assignee)
	}
	return n
}

// addDocument puts bytes into storage, as the command does it.
func (o *org) addDocument(t *testing.T, th thing, path string) id {
	t.Helper()
	if o.boss != nil {
		r := o.boss.Post(t, "/api/v1/"+path+"?name="+fileName(th), apitest.Raw(th.content()), "Content-Type", "application/octet-stream").Want(t, 201)
		n := parse(r.Text("id"))
		o.done(th.client, domain.Document, n, r, document.Added{})
		return n
	}
	n, version := o.newID(), o.newID()
	draft, err := o.w.s.Blobs.Put(t.Context(), blobs.Name{Client: th.client, Document: n, Version: version}, bytes.NewReader([]byte(th.content())))
	if err != nil {
		t.Fatal(err)
	}
	o.writeFor(t, th.client, domain.Document, n, document.Added{ClientID: th.client, Title: document.Title{Name: fileName(th)}, Version: document.Version{
		ID: version, Size: draft.Size, SHA256: hex.EncodeToString(draft.SHA256[:]), StoredSHA256: hex.EncodeToString(draft.StoredSHA256[:]), MediaType: "text/plain; charset=utf-8",
	}})
	draft.Keep(t.Context())
	return n
}

// fileName is what a document is called.
func fileName(th thing) string {
	return string(bytes.Map(func(r rune) rune {
		if r == ' ' || r == '/' {
			return '-'
		}
		return r
	}, []byte(th.text))) + ".txt"
}

// removeThing deletes something, or says that it is done.
func (o *org) removeThing(t *testing.T, n id) {
	t.Helper()
	th := o.things[n]
	change := func(category, method, path string, body any, events ...any) {
		o.changeFor(t, th.client, category, n, method, "clients/"+th.client.String()+"/"+path, body, events...)
	}
	item := n.String()
	switch th.kind {
	case "note":
		change(domain.Note, "DELETE", "notes/"+item, nil, note.Deleted{})
	case "action":
		if !th.done && o.chance(70) {
			th.done = true
			change(domain.Action, "POST", "actions/"+item+"/done", nil, action.Done{})
			o.things[n] = th
			return
		}
		change(domain.Action, "DELETE", "actions/"+item, nil, action.Deleted{})
	case "request":
		if !th.done {
			th.done = true
			change(domain.Request, "POST", "requests/"+item+"/status", obj{"status": "resolved"}, request.StatusChanged{From: request.Open, To: request.Resolved})
			o.things[n] = th
		}
		return
	case "call":
		change(domain.Call, "DELETE", "calls/"+item, nil, call.Deleted{})
	case "message":
		return
	case "document":
		change(domain.Document, "DELETE", "documents/"+item, nil, document.Deleted{})
	default:
		change(domain.Record, "DELETE", "records/"+th.kind+"/"+item, nil, record.Removed{})
	}
	th.gone = true
	o.things[n] = th
}

// importIt says that somebody's import has come to its end.
func (o *org) importIt(t *testing.T) {
	t.Helper()
	n := o.newID()
	o.write(t, domain.Import, n, imported.Finished{EmployeeID: o.actor, Registered: 3})
	o.tell("import_finished", domain.Import, "import.finished", none, n, o.actor)
}

// readSome has somebody read all of what they were told so far, or say that they do not
// want to be told of something any more.
func (o *org) readSome(t *testing.T) {
	t.Helper()
	if o.boss != nil {
		return // who reads their own, and is told nothing
	}
	who := o.actor
	if o.chance(50) {
		kind := pick(o.rnd, []string{"assigned", "mentioned", "request"})
		o.unwanted[who] = map[string]string{kind: pick(o.rnd, []string{"none", "email"})}
		o.write(t, domain.Inbox, who, inbox.PreferencesChanged{Preferences: inbox.Preferences{inbox.Kind(kind): inbox.Channel(o.unwanted[who][kind])}})
		return
	}
	through, err := position(o.position)
	if err != nil {
		t.Fatal(err)
	}
	o.write(t, domain.Inbox, who, inbox.Read{Through: through})
	for i := range o.told[who] {
		o.told[who][i].read = true
	}
}
