package projections

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/defaultview"
	"annals/domain/document"
	"annals/domain/favourite"
	"annals/domain/imported"
	"annals/domain/inbox"
	"annals/domain/message"
	"annals/domain/note"
	"annals/domain/project"
	"annals/domain/request"
	"annals/domain/template"
	"annals/domain/view"
)

// things are notes, actions, requests and documents of clients, and what else has no
// fold in these tests: each is what it was when its last event came.
type things struct {
	w         *world
	c         company
	of        map[uuid.UUID][]*thing // by client
	templates []*thing
	inboxes   []uuid.UUID
	starred   map[favourite.Of]bool
	views     []*thing
	defaults  map[string]domain.ID
}

type thing struct {
	category string
	id       uuid.UUID
	action   action.Details
	request  request.Opened
	status   request.Status
	title    document.Title
	template template.Definition
	view     view.Definition
}

func newThings(w *world, c company) *things {
	return &things{w: w, c: c, of: map[uuid.UUID][]*thing{}, inboxes: []uuid.UUID{c.manager, uuid.New()}, starred: map[favourite.Of]bool{}, defaults: map[string]domain.ID{}}
}

// mentions are employees, by name in a text or as those who have something to do.
func (th *things) mentions(t *rapid.T) []domain.ID {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(th.inboxes), 0, 2, rapid.ID).Draw(t, "mentions")
}

func (th *things) somebody(t *rapid.T) domain.ID {
	return rapid.SampledFrom([]uuid.UUID{th.inboxes[0], th.inboxes[1], {}}).Draw(t, "somebody")
}

// drawKind is a number below n, none of them more often than others: rapid prefers small
// ones, and of many kinds the last would hardly happen.
func drawKind(t *rapid.T, n int) int {
	kind := 0
	for range 8 {
		if kind *= 2; rapid.Bool().Draw(t, "kind") {
			kind++
		}
	}
	return kind % n
}

func drawWord(t *rapid.T) string { return rapid.SampledFrom(words).Draw(t, "word") }

// event has something happen to a thing of the client, or makes one.
func (th *things) event(t *rapid.T, client uuid.UUID) {
	if all := th.of[client]; len(all) > 0 && drawKind(t, 4) > 0 {
		i := drawKind(t, len(all))
		e, gone := th.happens(t, all[i])
		th.w.appendOf(client, all[i].category, all[i].id, e)
		if gone {
			th.of[client] = slices.Delete(all, i, i+1)
		}
		return
	}
	made := &thing{id: uuid.New(), category: []string{domain.Note, domain.Action, domain.Request, domain.Document}[drawKind(t, 4)]}
	th.of[client] = append(th.of[client], made)
	var e any
	switch made.category {
	case domain.Note:
		e = note.Added{ClientID: client, Text: drawWord(t), Pinned: rapid.Bool().Draw(t, "pinned"), Mentions: th.mentions(t)}
	case domain.Action:
		made.action = th.action(t)
		e = action.Added{ClientID: client, Details: made.action, Mentions: th.mentions(t)}
	case domain.Request:
		made.request, made.status = request.Opened{ClientID: client, AssigneeID: th.somebody(t), ManagerID: th.somebody(t), Subject: drawWord(t), Text: drawWord(t)}, request.Open
		e = made.request
	case domain.Document:
		made.title = document.Title{Name: "a" + drawWord(t), Description: drawWord(t)}
		e = document.Added{ClientID: client, Title: made.title, Version: drawVersion(t)}
	}
	th.w.appendOf(client, made.category, made.id, e)
}

func (th *things) action(t *rapid.T) action.Details {
	d := action.Details{Type: rapid.SampledFrom([]action.Type{action.Task, action.Email, "site_visit"}).Draw(t, "type"), Title: drawWord(t), Text: drawWord(t), AssigneeID: th.somebody(t)}
	for _, at := range []*time.Time{&d.DueAt, &d.RemindAt} {
		if rapid.Bool().Draw(t, "timed") {
			*at = drawTime(t)
		}
	}
	return d
}

func drawVersion(t *rapid.T) document.Version {
	return document.Version{
		ID: uuid.New(), Size: int64(rapid.IntRange(0, 1e9).Draw(t, "size")), SHA256: "5e" + drawWord(t), StoredSHA256: "f0" + drawWord(t),
		MediaType: rapid.SampledFrom([]string{"application/pdf", "image/png", "text/plain"}).Draw(t, "type"),
	}
}

// happens is the next event of a thing, and whether it is the last one.
func (th *things) happens(t *rapid.T, it *thing) (e any, gone bool) {
	kind := drawKind(t, 8)
	switch it.category {
	case domain.Note:
		e = map[int]any{0: note.Pinned{}, 1: note.Unpinned{}, 2: note.Deleted{}}[kind]
		if e == nil {
			e = note.Edited{From: drawWord(t), To: drawWord(t), Mentions: th.mentions(t)}
		}
		return e, kind == 2
	case domain.Action:
		return th.acted(t, it, kind)
	case domain.Request:
		if kind < 4 {
			was := it.status
			it.status = rapid.SampledFrom(request.Statuses).Draw(t, "status")
			return request.StatusChanged{From: was, To: it.status, Text: drawWord(t), Mentions: th.mentions(t)}, false
		}
		was := it.request.AssigneeID
		it.request.AssigneeID = th.somebody(t)
		return request.Assigned{From: was, To: it.request.AssigneeID}, false
	default:
		switch was := it.title; {
		case kind < 2:
			return document.Deleted{Reason: drawWord(t)}, true
		case kind < 4:
			return document.VersionAdded{Version: drawVersion(t)}, false
		case kind < 6:
			it.title.Name = "b" + drawWord(t)
			return document.Renamed{From: document.Title{Name: was.Name}, To: document.Title{Name: it.title.Name}}, false
		default:
			it.title.Description = drawWord(t)
			return document.Renamed{From: document.Title{Description: was.Description}, To: document.Title{Description: it.title.Description}}, false
		}
	}
}

func (th *things) acted(t *rapid.T, it *thing, kind int) (e any, gone bool) {
	switch kind {
	case 0:
		return action.Deleted{}, true
	case 1, 2:
		return action.Done{Outcome: drawWord(t)}, false
	case 3:
		return action.Reopened{}, false
	case 4:
		return action.Reminded{AssigneeID: it.action.AssigneeID, At: drawTime(t)}, false
	case 5:
		return action.FellDue{AssigneeID: it.action.AssigneeID, At: drawTime(t)}, false
	}
	was, is := it.action, th.action(t)
	it.action = is
	if was.Title == is.Title { // both sides hold what differs
		was.Title, is.Title = "", ""
	}
	if was.Text == is.Text {
		was.Text, is.Text = "", ""
	}
	return action.Changed{From: was, To: is, Mentions: th.mentions(t)}, false
}

// aside has something happen that is about no client.
func (th *things) aside(t *rapid.T) {
	switch drawKind(t, 12) {
	case 0:
		th.w.append(domain.Import, uuid.New(), imported.Finished{EmployeeID: rapid.SampledFrom(th.inboxes).Draw(t, "employee"), Registered: 2, Skipped: 1, Rejected: 3})
	case 1:
		through := int64(th.w.head.Commit)
		th.w.append(domain.Inbox, rapid.SampledFrom(th.inboxes).Draw(t, "employee"), inbox.Read{Notifications: []domain.ID{uuid.New()}, Through: through})
	case 2:
		p := inbox.Preferences(rapid.MapOfN(rapid.SampledFrom(inbox.Kinds), rapid.SampledFrom([]inbox.Channel{inbox.Email, inbox.None}), 0, 3).Draw(t, "preferences"))
		th.w.append(domain.Inbox, rapid.SampledFrom(th.inboxes).Draw(t, "employee"), inbox.PreferencesChanged{Preferences: p})
	case 3:
		to := project.Transitions{"lead": {"active"}, "active": nil}
		if rapid.Bool().Draw(t, "all") {
			to = nil
		}
		th.w.append(domain.Project, th.c.project, project.TransitionsChanged{To: to})
	case 4, 5:
		th.star(t)
	case 6:
		th.defaultView(t)
	case 7, 8:
		th.view(t)
	default:
		th.template(t)
	}
}

// star has an employee star something, or take that back.
func (th *things) star(t *rapid.T) {
	of := favourite.Of{EmployeeID: rapid.SampledFrom(th.inboxes).Draw(t, "employee"), ClientID: domain.ID{15: byte(rapid.IntRange(1, 9).Draw(t, "of"))}}
	if rapid.Bool().Draw(t, "view") {
		of.ClientID, of.ViewID = of.ViewID, of.ClientID
	}
	var e favourite.Event = favourite.Starred{Of: of}
	if th.starred[of] {
		e = favourite.Unstarred{Of: of}
	}
	th.starred[of] = !th.starred[of]
	th.w.append(domain.Favourite, of.ID(), e)
}

// view has something happen to a view, or makes one.
func (th *things) view(t *rapid.T) {
	d := view.Definition{Name: drawWord(t), Q: rapid.SampledFrom([]string{"", "anna"}).Draw(t, "q")}
	if rapid.Bool().Draw(t, "much") {
		d.Columns = []view.Column{{Field: "name", Width: rapid.IntRange(20, 30).Draw(t, "width"), Frozen: true}, {Field: "custom.c"}}
		d.Filter, d.Sort = json.RawMessage(`{"field":"name","op":"is","value":"'"}`), []string{"-name"}
	}
	d.Shared = rapid.SampledFrom([]view.Shared{{}, {With: view.Everybody}, {With: view.Desk, ID: th.c.desk}, {With: view.Project, ID: th.c.project}}).Draw(t, "shared")
	if len(th.views) == 0 || drawKind(t, 4) == 0 {
		made := &thing{id: uuid.New(), view: d}
		th.views = append(th.views, made)
		th.w.append(domain.View, made.id, view.Created{OwnerID: rapid.SampledFrom(th.inboxes).Draw(t, "owner"), Definition: d})
		return
	}
	i := drawKind(t, len(th.views))
	it := th.views[i]
	if drawKind(t, 4) == 0 {
		th.views = slices.Delete(th.views, i, i+1)
		th.w.append(domain.View, it.id, view.Deleted{})
		return
	}
	th.w.append(domain.View, it.id, view.Changed{From: it.view, To: d})
	it.view = d
}

// defaultView has a role begin with a view, or with none.
func (th *things) defaultView(t *rapid.T) {
	of := rapid.SampledFrom([]string{"agent", "desk_manager"}).Draw(t, "role")
	to := domain.ID{15: byte(rapid.IntRange(0, 3).Draw(t, "view"))}
	if to == th.defaults[of] {
		return
	}
	th.w.append(domain.DefaultView, uuid.NewSHA1(th.c.project, []byte(of)), defaultview.Changed{Role: of, From: th.defaults[of], To: to})
	th.defaults[of] = to
}

func (th *things) template(t *rapid.T) {
	text := func() template.Text { return template.Text{Subject: drawWord(t), Text: drawWord(t), HTML: drawWord(t)} }
	if len(th.templates) == 0 || drawKind(t, 4) == 0 {
		made := &thing{id: uuid.New(), template: template.Definition{Name: drawWord(t), DefaultLanguage: "en", Texts: map[string]template.Text{"en": text()}}}
		th.templates = append(th.templates, made)
		th.w.append(domain.Template, made.id, template.Created{ProjectID: rapid.SampledFrom([]uuid.UUID{{}, th.c.project}).Draw(t, "project"), Definition: made.template})
		return
	}
	it := rapid.SampledFrom(th.templates).Draw(t, "template")
	var e template.Event
	switch drawKind(t, 5) {
	case 0:
		e = template.Retired{}
	case 1:
		e = template.Restored{}
	default:
		language := rapid.SampledFrom([]string{"en", "de", "fr"}).Draw(t, "language")
		was, is := it.template, it.template
		is.Name, is.Texts = drawWord(t), map[string]template.Text{}
		if rapid.IntRange(0, 2).Draw(t, "without") > 0 || language == "en" {
			is.Texts[language] = text()
		}
		was.Texts = map[string]template.Text{}
		if old, ok := it.template.Texts[language]; ok {
			was.Texts[language] = old
		}
		it.template.Name, it.template.Texts = is.Name, maps.Clone(it.template.Texts)
		delete(it.template.Texts, language)
		maps.Copy(it.template.Texts, is.Texts)
		e = template.Edited{From: was, To: is}
	}
	th.w.append(domain.Template, it.id, e)
}

func drawCall(t *rapid.T, at time.Time) call.Details {
	return call.Details{
		Direction: rapid.SampledFrom([]call.Direction{call.Inbound, call.Outbound}).Draw(t, "direction"), Number: drawWord(t),
		Duration: rapid.IntRange(0, 3).Draw(t, "duration"), Outcome: rapid.SampledFrom([]call.Outcome{call.Answered, call.Busy, "called_back"}).Draw(t, "outcome"), Text: drawWord(t), At: at,
	}
}

func drawMessage(t *rapid.T, of uuid.UUID) message.Composed {
	e := message.Composed{ClientID: of, To: "x", ToName: drawWord(t), Subject: drawWord(t), Text: drawWord(t), Language: "de"}
	if rapid.Bool().Draw(t, "more") {
		e.SenderID, e.TemplateID, e.HTML = uuid.New(), uuid.New(), drawWord(t)
		e.Attachments = []message.File{{DocumentID: uuid.New(), VersionID: uuid.New(), Name: drawWord(t), MediaType: "text/plain", Size: 3}}
	}
	return e
}

// nothingParked says that no event was too much for a projector.
func (w *world) nothingParked() {
	w.t.Helper()
	var parked string
	if w.scan(`select coalesce(string_agg(concat_ws(' ', schema, stream, error), E'\n'), '') from annals_projections.parked`)(&parked); parked != "" {
		w.t.Errorf("parked:\n%s", parked)
	}
}
