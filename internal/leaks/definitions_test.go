package leaks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"annals/domain"
	clients "annals/domain/client"
	fields "annals/domain/field"
	"annals/domain/retention"
	"annals/domain/tag"
	"annals/domain/template"
	"annals/internal/apitest"
)

// definition is a custom field, a tag, a template or a rule of retention: of the clients of
// a project, or of all.
type definition struct {
	kind     string
	project  id // none: of all
	name     string
	retired  bool
	merged   bool     // a tag, into another
	statuses []string // of a rule; none: all
}

func position(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }

// define defines something for each project, as a rule, and in some organisations for all.
func (o *org) define(t *testing.T) {
	t.Helper()
	number, _ := strconv.Atoi(o.name[strings.IndexByte(o.name, '/')+1:])
	projects := sorted(o.now.projects)
	if number%9 == 0 {
		projects = append(projects, none)
	}
	for _, p := range projects {
		if p != none {
			o.addField(t, p, "partner", fields.Client, false)
			o.addField(t, p, "code", fields.Text, true)
		} else {
			o.addField(t, p, fmt.Sprintf("all_%d", number), fields.Text, false)
		}
		for _, kind := range []string{"tag", "template", "retention"} {
			if o.chance(75) || p == none {
				o.addDefinition(t, kind, p)
			}
		}
	}
}

func (o *org) addField(t *testing.T, project id, key string, typ fields.Type, unique bool) {
	t.Helper()
	d := definition{kind: "field", project: project, name: key}
	settings := fields.Settings{Label: key, Unique: unique}
	if o.boss == nil {
		n := o.newID()
		o.write(t, domain.CustomField, fields.Ref().ID, fields.Defined{FieldID: n, ProjectID: project, Key: key, Type: typ, Settings: settings})
		o.defined[n] = d
		return
	}
	r := o.boss.Post(t, "/api/v1/custom-fields", obj{"project_id": orNull(project), "key": key, "type": typ, "label": key, "unique": unique}).Want(t, 201)
	o.w.ends[fields.Ref().Stream()]++
	o.defined[parse(r.Text("id"))] = d
}

func (o *org) addDefinition(t *testing.T, kind string, project id) {
	t.Helper()
	d := definition{kind: kind, project: project, name: fmt.Sprintf("%s %s %d", kind, o.name, len(o.defined))}
	texts := map[string]template.Text{"en": {Subject: d.name, Text: "Hello {{client.name}}"}}
	n := o.newID()
	rule := retention.Settings{Name: d.name, Since: retention.Created, Days: 1, Action: retention.Propose}
	if kind == "retention" {
		for _, status := range some(o.rnd, clients.Statuses, 50) {
			rule.Statuses, d.statuses = append(rule.Statuses, status), append(d.statuses, string(status))
		}
	}
	switch {
	case o.boss != nil && kind == "retention":
		n = parse(o.boss.Post(t, "/api/v1/retention-rules", obj{
			"project_id": orNull(project), "name": d.name, "since": rule.Since, "days": rule.Days, "action": rule.Action, "statuses": append([]string{}, d.statuses...),
		}).Want(t, 201).Text("id"))
		o.w.ends[retention.Ref().Stream()]++
	case kind == "retention":
		o.write(t, domain.Retention, retention.Ref().ID, retention.Defined{RuleID: n, ProjectID: project, Settings: rule})
	case o.boss != nil && kind == "tag":
		n = parse(o.boss.Post(t, "/api/v1/tags", obj{"project_id": orNull(project), "name": d.name}).Want(t, 201).Text("id"))
		o.w.ends[tag.Ref().Stream()]++
	case o.boss != nil:
		n = parse(o.boss.Post(t, "/api/v1/templates", obj{"project_id": orNull(project), "name": d.name, "default_language": "en", "texts": texts}).Want(t, 201).Text("id"))
	case kind == "tag":
		o.write(t, domain.Tag, tag.Ref().ID, tag.Defined{TagID: n, ProjectID: project, Settings: tag.Settings{Name: d.name}})
		if d.retired = o.chance(20); d.retired {
			o.write(t, domain.Tag, tag.Ref().ID, tag.Retired{TagID: n, ProjectID: project})
		}
	default:
		o.write(t, domain.Template, n, template.Created{ProjectID: project, Definition: template.Definition{Name: d.name, DefaultLanguage: "en", Texts: texts}})
		if d.retired = o.chance(20); d.retired {
			o.write(t, domain.Template, n, template.Retired{})
		}
	}
	o.defined[n] = d
}

// seesDefinition says whether somebody sees what is defined for clients: of all, and of
// a project that they see.
func (v viewer) seesDefinition(d definition) bool {
	return d.project == none || v.seesProject(d.project)
}

// definitionRoutes are where they are, by their kinds.
var definitionRoutes = map[string]string{"field": "custom-fields", "tag": "tags", "template": "templates", "retention": "retention-rules"}

func kindOfRoute(route string) string {
	for kind, path := range definitionRoutes {
		if strings.Contains(route, "/"+path) {
			return kind
		}
	}
	return ""
}

func definitionLine(d definition) string {
	return line(d.name, textOf(d.project), d.retired)
}

// definitionItem is one as it is shown: what it is called, by its key or its name.
func definitionItem(m apitest.Map) string {
	name := text(m["name"])
	if name == "" {
		name = text(m["key"])
	}
	return line(name, text(m["project_id"]), m["retired_at"] != nil)
}

func (a *asker) readDefinitions(route string) {
	kind := kindOfRoute(route)
	q, asked := url.Values{}, []id(nil)
	if a.chance(40) || a.v.everyProject() && a.chance(70) {
		asked = some(a.rnd, sorted(a.now.projects), 60)
		for _, n := range asked {
			q.Add("project", n.String())
		}
	}
	retired := ""
	if kind != "retention" && a.chance(25) {
		retired = pick(a.rnd, []string{"true", "false"})
		q.Set("retired", retired)
	}
	want := map[string]string{}
	for _, o := range a.w.orgs {
		for n, d := range o.defined {
			if d.kind == kind && !d.merged && a.v.seesDefinition(d) && (len(asked) == 0 || d.project == none || slices.Contains(asked, d.project)) &&
				(retired == "" || d.retired == (retired == "true")) {
				want[n.String()] = definitionLine(d)
			}
		}
	}
	a.list("/api/v1/"+definitionRoutes[kind], q, []string{"created_at", "-updated_at"}, want, "id", definitionItem)
}

// readDue: who is due by a rule, as far as they see them, is for who may erase or hold them,
// or sees what others did. Whoever was made by now is due, unless over HTTP just now.
func (a *asker) readDue(route string) {
	ids := a.definedHere("retention")
	if len(ids) == 0 {
		return
	}
	n := pick(a.rnd, ids)
	d, of := a.defined[n], []string{"clients.erase", "clients.hold", "audit.view"}
	told := slices.ContainsFunc(of, func(p string) bool { return a.v.rights[p] > nothing })
	if !a.v.seesDefinition(d) || !told {
		if r := a.get(at(route, n)); !a.v.seesDefinition(d) {
			a.isAbsent(route, r)
		} else if r.status != http.StatusForbidden || r.code() != "forbidden" {
			a.wrong(r.request, "they see the rule, and nobody who is due: want 403, got %d %s", r.status, r.body)
		}
		return
	}
	want := map[string]string{}
	for _, o := range a.w.orgs {
		for m, c := range o.now.clients {
			in := (d.project == none || d.project == c.project) && (len(d.statuses) == 0 || slices.Contains(d.statuses, c.status))
			if in && o.boss == nil && a.v.sees(c.place) && slices.ContainsFunc(of, func(p string) bool { return a.v.reaches(p, c.place) }) {
				want[m.String()] = line(c.first+" "+c.last, c.project, c.status, c.held)
			}
		}
	}
	a.list("/api/v1/retention-rules/"+n.String()+"/due", nil, []string{"due_since", "-due_since"}, want, "client.id", func(m apitest.Map) string {
		return line(field(m, "client", "name"), field(m, "project", "id"), text(m["status"]), m["held"])
	})
	a.one("GET /api/v1/retention-rules/{id}", n, true, func(r answer) {
		if due, _ := r.json()["due"].(apitest.Map); due["count"] != float64(min(len(want), 1000)) {
			a.wrong(r.request, "%d are due, and not %v", len(want), due)
		}
	})
}

func (a *asker) definedHere(kind string) (out []id) {
	for _, n := range sorted(a.defined) {
		if a.defined[n].kind == kind {
			out = append(out, n)
		}
	}
	return out
}

func (a *asker) readDefinition(route string) {
	ids := a.definedHere(kindOfRoute(route))
	if len(ids) == 0 {
		return
	}
	n := pick(a.rnd, ids)
	d := a.defined[n]
	a.one(route, n, a.v.seesDefinition(d), func(r answer) {
		a.compare(r.request, map[string]string{n.String(): definitionLine(d)}, map[string]string{text(r.json()["id"]): definitionItem(r.json())})
	})
}

// readPlaceholders: what templates can have filled in is no secret.
func (a *asker) readPlaceholders(route string) {
	if r := a.get(at(route, none)); r.status != 200 {
		a.wrong(r.request, "want 200, got %d %s", r.status, r.body)
	}
}
