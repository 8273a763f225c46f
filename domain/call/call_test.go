package call_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/domaintest"
)

var (
	of    = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	mira  = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	now   = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	world = domain.World{domain.Ref{Category: domain.Client, ID: of}: client.Aggregate.Evolve(client.State{}, client.Registered{
		Details: client.Details{Type: client.Person, LastName: "Petrova"},
	})}
)

func to(c call.Command) attached.To[call.Command] {
	return attached.To[call.Command]{Client: of, Command: c}
}

type example = domaintest.Case[attached.To[call.Command], call.Event]

func run(t *testing.T, cases map[string]example) {
	t.Helper()
	for name, c := range cases {
		c.World, c.At = world, now
		cases[name] = c
	}
	domaintest.Run(t, call.Aggregate, cases)
}

var one = call.Details{Direction: call.Inbound, Number: "+44 20 7946 0958", Duration: 61, Outcome: call.Answered, Text: "Wants two", At: now}

func log(change func(*call.Log)) attached.To[call.Command] {
	c := call.Log{Direction: call.Inbound, Number: "+44 20 7946 0958", Duration: 61, Outcome: call.Answered, Text: "Wants two"}
	change(&c)
	return to(c)
}

func logged(change func(*call.Details)) []call.Event {
	d := one
	change(&d)
	return []call.Event{call.Logged{ClientID: of, Details: d}}
}

func TestLogging(t *testing.T) {
	t.Parallel()
	fault := func(field, code string) error { return domain.Fault(field, code, "") }
	type c = call.Log
	type d = call.Details
	run(t, map[string]example{
		"now":               {When: log(func(*c) {}), Then: logged(func(*d) {})},
		"before":            {When: log(func(c *c) { c.At = domain.Set(now.Add(-time.Hour)) }), Then: logged(func(d *d) { d.At = now.Add(-time.Hour) })},
		"on a fast clock":   {When: log(func(c *c) { c.At = domain.Set(now.Add(time.Minute)) }), Then: logged(func(d *d) { d.At = now.Add(time.Minute) })},
		"in the future":     {When: log(func(c *c) { c.At = domain.Set(now.Add(time.Minute + time.Second)) }), Err: fault("at", "future")},
		"before telephones": {When: log(func(c *c) { c.At = domain.Set(time.Date(1869, 1, 1, 0, 0, 0, 0, time.UTC)) }), Err: fault("at", "too_early")},
		"with an extension": {When: log(func(c *c) { c.Number = " (020) 7946\u00a00958  ext. 12" }), Then: logged(func(d *d) { d.Number = "(020) 7946 0958 ext. 12" })},
		"without a number":  {When: log(func(c *c) { c.Number = " " }), Err: fault("number", "required")},
		"with no number":    {When: log(func(c *c) { c.Number = "call me" }), Err: fault("number", "phone")},
		"with two digits":   {When: log(func(c *c) { c.Number = "12" }), Err: fault("number", "phone")},
		"with many digits":  {When: log(func(c *c) { c.Number = strings.Repeat("1", 51) }), Err: fault("number", "too_long")},
		"upwards":           {When: log(func(c *c) { c.Direction = "upwards" }), Err: fault("direction", "unknown")},
		"without an end":    {When: log(func(c *c) { c.Outcome = "" }), Err: fault("outcome", "required")},
		"ended in a phrase": {When: log(func(c *c) { c.Outcome = "she cried" }), Err: fault("outcome", "word")},
		"for no time":       {When: log(func(c *c) { c.Duration = 0 }), Then: logged(func(d *d) { d.Duration = 0 })},
		"for less":          {When: log(func(c *c) { c.Duration = -1 }), Err: fault("duration_s", "range")},
		"for days":          {When: log(func(c *c) { c.Duration = 86_401 }), Err: fault("duration_s", "range")},
		"a book":            {When: log(func(c *c) { c.Text = strings.Repeat("x", 20_001) }), Err: fault("text", "too_long")},
		"twice":             {Given: logged(func(*d) {}), When: log(func(*c) {}), Err: domain.Errorf(domain.Conflict, "call.exists", "")},
	})
}

func TestEditing(t *testing.T) {
	t.Parallel()
	given := logged(func(*call.Details) {})
	gone := append(given, call.Deleted{})
	edited := func(from, to call.Details) []call.Event { return []call.Event{call.Edited{From: from, To: to}} }
	absent := domain.Errorf(domain.NotFound, "call.absent", "")
	type d = call.Details
	mentioning := to(call.Edit{Text: domain.Set("@mira")})
	mentioning.People.Mentions = []attached.Mention{{Typed: "@mira", Who: []domain.Authority{{ID: mira, Rights: domain.AllRights()}}}}
	run(t, map[string]example{
		"nothing":     {Given: given, When: to(call.Edit{})},
		"to the same": {Given: given, When: to(call.Edit{Direction: domain.Set("inbound"), Duration: domain.Set(61), At: domain.Set(now.In(time.FixedZone("", 3600)))})},
		"everything": {
			Given: given,
			When: to(call.Edit{
				Direction: domain.Set("outbound"), Number: domain.Set("555 0100"), Duration: domain.Set(0), Outcome: domain.Set("busy"), Text: domain.Set(""), At: domain.Set(now.Add(-time.Hour)),
			}),
			Then: edited(one, d{Direction: call.Outbound, Number: "555 0100", Outcome: call.Busy, At: now.Add(-time.Hour)}),
		},
		"one thing":        {Given: given, When: to(call.Edit{Outcome: domain.Set("failed")}), Then: edited(d{Outcome: call.Answered}, d{Outcome: call.Failed})},
		"to no number":     {Given: given, When: to(call.Edit{Number: domain.Set("x")}), Err: domain.Fault("number", "phone", "")},
		"into the future":  {Given: given, When: to(call.Edit{At: domain.Set(now.Add(time.Hour))}), Err: domain.Fault("at", "future", "")},
		"mentioning":       {Given: given, When: mentioning, Then: []call.Event{call.Edited{From: d{Text: "Wants two"}, To: d{Text: "@mira"}, Mentions: []domain.ID{mira}}}},
		"deleting":         {Given: given, When: to(call.Delete{}), Then: []call.Event{call.Deleted{}}},
		"deleting again":   {Given: gone, When: to(call.Delete{})},
		"what was deleted": {Given: gone, When: to(call.Edit{Text: domain.Set("x")}), Err: absent},
		"what is not":      {When: to(call.Edit{Text: domain.Set("x")}), Err: absent},
	})
}
