package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/domain"
	"annals/domain/domaintest"
	"annals/domain/project"
)

var (
	atlas  = domain.ID{0: 1}
	borea  = domain.ID{0: 2}
	office = domain.World{
		{Category: domain.Project, ID: atlas}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Atlas"}),
	}
	english = Text{Subject: "Welcome, {{client.first_name|dear client}}", Text: "Hello {{client.name}}"}
	german  = Text{Subject: "Willkommen", Text: "Guten Tag {{client.name}}", HTML: "<p>Guten Tag <b>{{client.name}}</b></p>"}
	welcome = Definition{Name: "Welcome", DefaultLanguage: "en", Texts: map[string]Text{"en": english}}
)

func in(reach domain.Reach, projects ...domain.ID) domain.Authority {
	return domain.Authority{
		ID: domain.ID{0: 9}, Rights: domain.RightsOf(domain.Grant{Permission: domain.OrganisationManage, Reach: reach}, domain.Grant{Permission: domain.ClientsView, Reach: domain.OnDesks}),
		Scope: domain.ScopeOf(projects, nil),
	}
}

func agent(projects ...domain.ID) domain.Authority { return in(domain.Nothing, projects...) }

func TestTemplate(t *testing.T) {
	t.Parallel()
	made := Created{ProjectID: atlas, Definition: welcome}
	forAll := Created{Definition: welcome}
	edit := func(patch map[string]any) Edit { return Edit{Patch: patch} }
	both := Definition{Name: "Welcome", DefaultLanguage: "en", Texts: map[string]Text{"en": english, "de-AT": german}}
	fault := func(field, code string) error { return domain.Fault(field, code, "") }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"for all":                 {When: Create{Definition: welcome}, Then: []Event{forAll}},
		"for a project":           {When: Create{ProjectID: domain.Set(atlas), Definition: welcome}, World: office, Then: []Event{made}},
		"by its administrator":    {When: Create{ProjectID: domain.Set(atlas), Definition: welcome}, World: office, By: in(domain.InProjects, atlas), Then: []Event{made}},
		"of another project":      {When: Create{ProjectID: domain.Set(atlas), Definition: welcome}, World: office, By: in(domain.InProjects, borea), Err: domain.OutOfReach("project_id", "")},
		"for all, in one only":    {When: Create{Definition: welcome}, By: in(domain.InProjects, atlas), Err: domain.OutOfReach("project_id", "")},
		"by an agent":             {When: Create{ProjectID: domain.Set(atlas), Definition: welcome}, World: office, By: agent(atlas), Err: domain.ErrForbidden},
		"of no project":           {When: Create{ProjectID: domain.Set(borea), Definition: welcome}, World: office, Err: fault("project_id", "unknown")},
		"twice":                   {Given: []Event{made}, When: Create{Definition: welcome}, Err: ErrExists},
		"without anything":        {When: Create{}, Err: domainFaults(fault("name", "required"), fault("texts", "number"))},
		"in form":                 {When: Create{Definition: Definition{" Welcome  ", "EN", map[string]Text{"en": {" Welcome, {{client.first_name|dear client}} ", "\r\nHello {{client.name}}\r\n", ""}}}}, Then: []Event{forAll}},
		"default language absent": {When: Create{Definition: Definition{"W", "fr", map[string]Text{"en": english}}}, Err: fault("default_language", "unknown")},
		"no language":             {When: Create{Definition: Definition{"W", "en", map[string]Text{"en": english, "english?": english}}}, Err: fault("texts.english?", "language")},
		"a language twice":        {When: Create{Definition: Definition{"W", "de-AT", map[string]Text{"de-AT": german, "de-at": german}}}, Err: fault("texts.de-at", "language")},
		"without subject or text": {When: Create{Definition: Definition{"W", "en", map[string]Text{"en": {}}}}, Err: domainFaults(fault("texts.en.subject", "required"), fault("texts.en.text", "required"))},
		"too much in all":         {When: Create{Definition: Definition{"W", "en", map[string]Text{"en": long(), "de": long(), "fr": long(), "it": long()}}}, Err: fault("texts", "too_long")},
		"unknown placeholders": {
			When: Create{Definition: Definition{"W", "en", map[string]Text{"en": {"{{client.secret}} {{x}}", "{{client}} {{", "<b>{{client.first_name.x}}</b>"}}}},
			Err: domainFaults(fault("texts.en.subject", "placeholder"), fault("texts.en.subject", "placeholder"),
				fault("texts.en.text", "placeholder"), fault("texts.en.text", "placeholder"), fault("texts.en.html", "placeholder")),
		},
		"HTML that is not safe": {When: Create{Definition: Definition{"W", "en", map[string]Text{"en": {"S", "T", "<script>x</script>"}}}}, Err: fault("texts.en.html", "html")},

		"another name":           {Given: []Event{made}, When: edit(map[string]any{"name": "Hello"}), Then: []Event{Edited{From: Definition{Name: "Welcome", DefaultLanguage: "en"}, To: Definition{Name: "Hello", DefaultLanguage: "en"}}}},
		"nothing new":            {Given: []Event{made}, When: edit(map[string]any{"name": " Welcome", "texts": map[string]any{"en": map[string]any{"html": nil}}})},
		"a language more":        {Given: []Event{made}, When: edit(map[string]any{"texts": map[string]any{"de-at": map[string]any{"subject": german.Subject, "text": german.Text, "html": german.HTML}}}), Then: []Event{diff(welcome, both)}},
		"a language less":        {Given: []Event{made, diff(welcome, both)}, When: edit(map[string]any{"texts": map[string]any{"de-AT": nil}}), Then: []Event{diff(both, welcome)}},
		"the default language":   {Given: []Event{made, diff(welcome, both)}, When: edit(map[string]any{"texts": map[string]any{"en": nil}}), Err: fault("default_language", "unknown")},
		"what there is not":      {Given: []Event{made}, When: edit(map[string]any{"project_id": "x"}), Err: fault("project_id", "unknown_field")},
		"of another type":        {Given: []Event{made}, When: edit(map[string]any{"name": 7.0}), Err: fault("name", "type")},
		"by somebody elsewhere":  {Given: []Event{made}, When: edit(nil), By: in(domain.InProjects, borea), Err: ErrAbsent},
		"by who only uses it":    {Given: []Event{made}, When: edit(nil), By: agent(atlas), Err: domain.ErrForbidden},
		"for all, by one's":      {Given: []Event{forAll}, When: Retire{}, By: in(domain.InProjects, atlas), Err: domain.ErrForbidden},
		"no template":            {When: edit(nil), Err: ErrAbsent},
		"retiring":               {Given: []Event{made}, When: Retire{}, By: in(domain.InProjects, atlas), Then: []Event{Retired{}}},
		"retiring twice":         {Given: []Event{made, Retired{}}, When: Retire{}},
		"editing what's retired": {Given: []Event{made, Retired{}}, When: edit(nil), Err: ErrRetired},
		"restoring":              {Given: []Event{made, Retired{}}, When: Restore{}, Then: []Event{Restored{}}},
		"restoring what is used": {Given: []Event{made}, When: Restore{}},
	})
}

func domainFaults(errs ...error) error {
	var f domain.Faults
	for _, err := range errs {
		f.Add(err)
	}
	return f.Err()
}

func long() Text { return Text{Subject: "S", Text: strings.Repeat("x", 40_000)} }

func TestAnEditIsFolded(t *testing.T) {
	t.Parallel()
	a := Definition{"A", "en", map[string]Text{"en": english, "de": german, "fr": english}}
	b := Definition{"B", "de", map[string]Text{"de": english, "fr": english, "it": german}}
	if diff := cmp.Diff(b, a.apply(diff(a, b))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(a, b.apply(diff(b, a))); diff != "" {
		t.Error(diff)
	}
	if e := diff(a, b); len(e.From.Texts) != 2 || len(e.To.Texts) != 2 {
		t.Errorf("%+v", e)
	}
}

func TestTheLanguageOfAClient(t *testing.T) {
	t.Parallel()
	d := Definition{"W", "en", map[string]Text{"en": english, "de": german, "pt-BR": german}}
	for wanted, want := range map[string]string{"de": "de", "de-AT": "de", "DE-ch": "de", "en-GB": "en", "fr": "en!", "": "en!", "nonsense": "en!", "pt": "en!", "pt-BR": "pt-BR"} {
		_, got, found := d.In(wanted)
		if !found {
			got += "!"
		}
		if got != want {
			t.Errorf("%q: %s", wanted, got)
		}
	}
}
