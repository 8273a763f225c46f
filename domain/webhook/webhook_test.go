package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/domaintest"
	"annals/domain/project"
	. "annals/domain/webhook"
)

var (
	retail  = uuid.UUID{0x10}
	north   = uuid.UUID{0x20}
	harbour = uuid.UUID{0x22}
	nothing = uuid.UUID{0xff}
	ann     = uuid.UUID{0x30}
	erp     = uuid.UUID{0x40}
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	world = domain.World{
		{Category: domain.Project, ID: retail}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
		{Category: domain.Desk, ID: north}:     desk.State{ProjectID: retail},
	}
)

const url = "https://example.com/annals"

func owner() domain.Authority {
	return domain.Authority{
		ID: ann, Scope: domain.ScopeOf([]domain.ID{retail}, []domain.ID{north}),
		Rights: domain.Rights{domain.WebhooksManage: domain.Own, domain.ClientsView: domain.OnDesks},
	}
}

func admin() domain.Authority {
	return domain.Authority{ID: uuid.UUID{0x31}, Rights: domain.AllRights()}
}

func define(change func(*Definition)) Definition {
	d := Definition{URL: url, Types: []string{"client.*"}, Payload: Thin, Order: PerClient}
	if change != nil {
		change(&d)
	}
	return d
}

func fault(field, code string) error { return domain.Fault(field, code, "") }

func TestCreate(t *testing.T) {
	key := owner()
	key.ID, key.Behalf = domain.ID{}, ann
	with := func(change func(*Definition)) Create { return Create{define(change)} }
	none := owner()
	none.Rights = domain.Rights{domain.ClientsView: domain.Everywhere}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"the least":           {By: owner(), When: Create{Definition{URL: url, Types: []string{"client.*"}}}, Then: []Event{Created{OwnerID: ann, Definition: define(nil)}}},
		"nothing":             {By: owner(), When: Create{}, Err: (&domain.Faults{fault("url", "required"), fault("types", "required")}).Err()},
		"without permission":  {By: none, When: with(nil), Err: domain.ErrForbidden},
		"twice":               {By: owner(), Given: []Event{Created{OwnerID: ann, Definition: define(nil)}}, When: with(nil), Err: ErrExists},
		"for one's desk":      {World: world, By: owner(), When: with(func(d *Definition) { d.Desks = []domain.ID{north, north} }), Then: []Event{Created{OwnerID: ann, Definition: define(func(d *Definition) { d.Desks = []domain.ID{north} })}}},
		"for another's desk":  {World: world, By: owner(), When: with(func(d *Definition) { d.Desks = []domain.ID{harbour} }), Err: &domain.Error{Kind: domain.Forbidden, Code: "not_assigned", Field: "desks[0]"}},
		"for no project":      {World: world, By: admin(), When: with(func(d *Definition) { d.Projects = []domain.ID{nothing} }), Err: fault("projects[0]", "unknown")},
		"what is no URL":      {By: owner(), When: with(func(d *Definition) { d.URL = "example.com" }), Err: fault("url", "url")},
		"another scheme":      {By: owner(), When: with(func(d *Definition) { d.URL = "ftp://example.com" }), Err: fault("url", "url")},
		"with a password":     {By: owner(), When: with(func(d *Definition) { d.URL = "https://a:b@example.com" }), Err: fault("url", "userinfo")},
		"with a fragment":     {By: owner(), When: with(func(d *Definition) { d.URL = url + "#a" }), Err: fault("url", "fragment")},
		"port of mail":        {By: owner(), When: with(func(d *Definition) { d.URL = "https://example.com:25" }), Err: fault("url", "port")},
		"an octal address":    {By: owner(), When: with(func(d *Definition) { d.URL = "https://0177.0.0.1" }), Err: fault("url", "host")},
		"a decimal address":   {By: owner(), When: with(func(d *Definition) { d.URL = "https://2130706433" }), Err: fault("url", "host")},
		"what is no pattern":  {By: owner(), When: with(func(d *Definition) { d.Types = []string{"client"} }), Err: fault("types[0]", "pattern")},
		"another payload":     {By: owner(), When: with(func(d *Definition) { d.Payload = "fat" }), Err: fault("payload", "unknown")},
		"another order":       {By: owner(), When: with(func(d *Definition) { d.Order = "none" }), Err: fault("order", "unknown")},
		"a header of ours":    {By: owner(), When: with(func(d *Definition) { d.Headers = map[string]string{"Webhook-Id": "a"} }), Err: fault("headers.Webhook-Id", "reserved")},
		"a header twice":      {By: owner(), When: with(func(d *Definition) { d.Headers = map[string]string{"X-A": "a", "x-a": "b"} }), Err: fault("headers.x-a", "repeated")},
		"a header of two":     {By: owner(), When: with(func(d *Definition) { d.Headers = map[string]string{"x-a": "a\nb: c"} }), Err: fault("headers.x-a", "value")},
		"headers, lower case": {By: owner(), When: with(func(d *Definition) { d.Headers = map[string]string{"X-A": "a"} }), Then: []Event{Created{OwnerID: ann, Definition: define(func(d *Definition) { d.Headers = map[string]string{"x-a": "a"} })}}},
	})
	events, err := Aggregate.Decide(State{}, with(nil), world, domain.Meta{Actor: erp, By: key})
	if err != nil || events[0].(Created).OwnerID != ann || events[0].(Created).KeyID != erp {
		t.Errorf("by a key: %v, %v", events, err)
	}
	_, err = Aggregate.Decide(State{}, with(func(d *Definition) { d.URL = "https://" + strings.Repeat("a", 2000) }), world, domain.Meta{By: owner()})
	if domain.All(err)[0].Code != "too_long" {
		t.Error(err)
	}
}

func TestChange(t *testing.T) {
	made := []Event{Created{OwnerID: ann, Definition: define(nil)}}
	paused, failing := append(made[:1:1], Paused{}), append(made[:1:1], Disabled{Failing})
	patch := func(k string, v any) Edit { return Edit{map[string]any{k: v}} }
	stranger := owner()
	stranger.ID = uuid.UUID{0x32}
	bound := Bound{Position: "12"}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"the payload":           {By: owner(), Given: made, When: patch("payload", "full"), Then: []Event{Changed{define(nil), define(func(d *Definition) { d.Payload = Full })}}},
		"nothing":               {By: owner(), Given: made, When: patch("payload", "thin")},
		"what there is not":     {By: owner(), Given: made, When: patch("colour", "red"), Err: fault("colour", "unknown_field")},
		"to another type":       {By: owner(), Given: made, When: patch("types", "client.*"), Err: fault("types", "type")},
		"by a stranger":         {By: stranger, Given: made, When: patch("payload", "full"), Err: ErrAbsent},
		"by who manages all":    {By: admin(), Given: made, When: patch("url", "https://other.example"), Err: domain.ErrForbidden},
		"pausing by them":       {By: admin(), Given: made, When: Pause{}, Then: []Event{Paused{}}},
		"rotating by them":      {By: admin(), Given: made, When: Rotate{}, Err: domain.ErrForbidden},
		"replaying by them":     {By: admin(), Given: made, When: Replay{From: bound}, Err: domain.ErrForbidden},
		"pausing":               {By: owner(), Given: made, When: Pause{}, Then: []Event{Paused{}}},
		"pausing twice":         {By: owner(), Given: paused, When: Pause{}},
		"resuming":              {By: owner(), Given: paused, When: Resume{}, Then: []Event{Resumed{}}},
		"resuming what runs":    {By: owner(), Given: made, When: Resume{}},
		"disabling":             {By: domain.Root, Given: made, When: Disable{Gone}, Then: []Event{Disabled{Gone}}},
		"disabling what is not": {By: domain.Root, Given: paused, When: Disable{Gone}},
		"resuming after that":   {By: owner(), Given: failing, When: Resume{}, Then: []Event{Resumed{}}},
		"testing":               {By: owner(), Given: made, When: Test{}, Then: []Event{Tested{}}},
		"testing what is off":   {By: owner(), Given: failing, When: Test{}, Err: ErrInactive},
		"rotating":              {By: owner(), Given: made, When: Rotate{}, Then: []Event{Rotated{}}},
		"deleting":              {By: owner(), Given: made, When: Delete{}, Then: []Event{Deleted{}}},
		"what is deleted":       {By: owner(), Given: append(made[:1:1], Deleted{}), When: Pause{}, Err: ErrAbsent},
		"what never was":        {By: owner(), When: Pause{}, Err: ErrAbsent},
		"replaying":             {By: owner(), At: noon, Given: made, When: Replay{From: bound}, Then: []Event{Replayed{From: bound}}},
		"replaying from both":   {By: owner(), At: noon, Given: made, When: Replay{From: Bound{Position: "1", Time: noon.Add(-time.Hour)}}, Err: fault("from", "required")},
		"from what is to come":  {By: owner(), At: noon, Given: made, When: Replay{From: Bound{Time: noon.Add(time.Hour)}}, Err: fault("from.time", "future")},
	})
}

func TestWants(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "client.edited", true},
		{"client.*", "client.edited", true},
		{"client.*", "clients.edited", false},
		{"client.edited", "client.edited", true},
		{"client.edited", "client.edited_again", false},
	} {
		if got := Matches(c.pattern, c.name); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.name, got)
		}
	}
	d := define(func(d *Definition) { d.Fields = []string{"email"}; d.Projects = []domain.ID{retail} })
	if !d.Wants("client.edited", []string{"email", "phone"}) || d.Wants("client.edited", []string{"phone"}) || d.Wants("note.added", []string{"email"}) {
		t.Error("it goes by the fields that changed")
	}
	if !d.WantsFrom(domain.Place{Project: retail}) || d.WantsFrom(domain.Place{Project: nothing}) {
		t.Error("it goes by where the client belongs")
	}
}
