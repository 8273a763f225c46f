package record_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/domaintest"
	"annals/domain/record"
)

var (
	of    = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	world = domain.World{domain.Ref{Category: domain.Client, ID: of}: client.Aggregate.Evolve(client.State{}, client.Registered{
		Details: client.Details{Type: client.Person, LastName: "Petrova"}, Status: client.Lead,
	})}
	invoice = record.Details{Title: "Invoice 42", Status: "open", Amount: "129.90", Currency: "EUR", Data: map[string]string{"plan": "pro"}}
	added   = record.Added{ClientID: of, Kind: record.Transactions, System: "billing", ExternalID: "INV-42", Details: invoice}
)

type body = map[string]any

func put(more body) attached.To[record.Command] {
	b := body{"system": "billing", "external_id": "INV-42"}
	maps.Copy(b, more)
	return attached.To[record.Command]{Client: of, Command: record.Put{Kind: record.Transactions, Body: b}}
}

func edit(b body) attached.To[record.Command] {
	return attached.To[record.Command]{Client: of, Command: record.Edit{Kind: record.Transactions, Patch: b}}
}

func remove(k record.Kind) attached.To[record.Command] {
	return attached.To[record.Command]{Client: of, Command: record.Remove{Kind: k}}
}

func fault(field, code string) error { return domain.Fault(field, code, "") }

var absent = domain.Errorf(domain.NotFound, "record.absent", "")

func TestRecord(t *testing.T) {
	t.Parallel()
	type c = domaintest.Case[attached.To[record.Command], record.Event]
	minimal := record.Added{ClientID: of, Kind: record.Transactions, System: "billing", ExternalID: "INV-42"}
	at := time.Date(2026, 3, 1, 8, 30, 0, 123456000, time.UTC)
	bare := func(d record.Details) []record.Event {
		e := minimal
		e.Details = d
		return []record.Event{e}
	}
	updated := func(from, to record.Details) []record.Event {
		return []record.Event{record.Updated{From: from, To: to}}
	}
	cases := map[string]c{
		"added":            {When: put(body{"title": " Invoice  42 ", "status": "open", "amount": "0129.9", "currency": "eur", "data": body{"plan": "pro"}}), Then: []record.Event{added}},
		"added with least": {When: put(nil), Then: []record.Event{minimal}},
		"times are kept to the microsecond, in UTC": {
			When: put(body{"occurred_at": "2026-03-01T09:30:00.123456789+01:00"}), Then: bare(record.Details{OccurredAt: at}),
		},
		"amounts fill the currency's decimals": {When: put(body{"amount": "-7", "currency": "BHD"}), Then: bare(record.Details{Amount: "-7.000", Currency: "BHD"})},
		"zeros more are no decimals":           {When: put(body{"amount": "100.00", "currency": "JPY"}), Then: bare(record.Details{Amount: "100", Currency: "JPY"})},
		"no minus before zero":                 {When: put(body{"amount": "-0.00", "currency": "USD"}), Then: bare(record.Details{Amount: "0.00", Currency: "USD"})},

		"said again":             {Given: []record.Event{added}, When: put(body{"title": "Invoice 42", "amount": "129.90", "currency": "EUR"})},
		"what is left out stays": {Given: []record.Event{added}, When: put(body{"status": "paid"}), Then: updated(record.Details{Status: "open"}, record.Details{Status: "paid"})},
		"null empties": {
			Given: []record.Event{added}, When: edit(body{"title": nil, "amount": nil, "currency": nil, "data": nil}),
			Then: updated(record.Details{Title: "Invoice 42", Amount: "129.90", Currency: "EUR", Data: invoice.Data}, record.Details{}),
		},
		"data is replaced as a whole": {
			Given: []record.Event{added}, When: edit(body{"data": body{"seats": "3"}}),
			Then: updated(record.Details{Data: invoice.Data}, record.Details{Data: map[string]string{"seats": "3"}}),
		},
		"nothing to edit":           {Given: []record.Event{added}, When: edit(body{})},
		"removed":                   {Given: []record.Event{added}, When: remove(record.Transactions), Then: []record.Event{record.Removed{}}},
		"removed twice":             {Given: []record.Event{added, record.Removed{}}, When: remove(record.Transactions)},
		"added again":               {Given: []record.Event{added, record.Removed{}}, When: put(body{"status": "open"}), Then: bare(record.Details{Status: "open"})},
		"editing what is removed":   {Given: []record.Event{added, record.Removed{}}, When: edit(body{"status": "paid"}), Err: absent},
		"editing what is not":       {When: edit(body{"status": "paid"}), Err: absent},
		"removing what is not":      {When: remove(record.Tickets), Err: absent},
		"removing another kind's":   {Given: []record.Event{added}, When: remove(record.Tickets), Err: absent},
		"what a record is known by": {Given: []record.Event{added}, When: edit(body{"system": "crm"}), Err: fault("system", "fixed")},

		"no such client": {World: domain.World{}, When: put(nil), Err: client.ErrAbsent},
		"without a name": {
			When: attached.To[record.Command]{Client: of, Command: record.Put{Kind: record.Tickets, Body: body{}}},
			Err:  errors.Join(fault("system", "required"), fault("external_id", "required")),
		},
	}
	for name, bad := range map[string]struct {
		body body
		err  error
	}{
		"system in capitals":   {body{"system": "Billing"}, fault("system", "slug")},
		"long id":              {body{"external_id": strings.Repeat("x", 201)}, fault("external_id", "too_long")},
		"amount alone":         {body{"amount": "1"}, fault("currency", "required")},
		"currency alone":       {body{"currency": "EUR"}, fault("amount", "required")},
		"half a cent":          {body{"amount": "1.005", "currency": "EUR"}, fault("amount", "decimals")},
		"cents of yen":         {body{"amount": "1.5", "currency": "JPY"}, fault("amount", "decimals")},
		"a float":              {body{"amount": 1.5, "currency": "EUR"}, fault("amount", "type")},
		"in scientific":        {body{"amount": "1e3", "currency": "EUR"}, fault("amount", "number")},
		"beyond all money":     {body{"amount": "1234567890123456", "currency": "EUR"}, fault("amount", "range")},
		"no currency":          {body{"amount": "1", "currency": "XXX"}, fault("currency", "currency")},
		"no such currency":     {body{"amount": "1", "currency": "EURO"}, fault("currency", "currency")},
		"a script":             {body{"url": "javascript:alert(1)"}, fault("url", "url")},
		"no host":              {body{"url": "https:///path"}, fault("url", "url")},
		"a relative address":   {body{"url": "/path"}, fault("url", "url")},
		"a password in an url": {body{"url": "https://a:b@example.com"}, fault("url", "credentials")},
		"a quote in an url":    {body{"url": `https://example.com/">`}, fault("url", "url")},
		"long status":          {body{"status": strings.Repeat("x", 51)}, fault("status", "too_long")},
		"no time":              {body{"due_at": "tomorrow"}, fault("due_at", "time")},
		"year 0":               {body{"due_at": "0000-01-01T00:00:00Z"}, fault("due_at", "time")},
		"unknown field":        {body{"colour": "red"}, fault("colour", "unknown_field")},
		"data that is none":    {body{"data": []any{}}, fault("data", "type")},
		"a number in data":     {body{"data": body{"seats": 3}}, fault("data.seats", "type")},
		"two of a name":        {body{"data": body{"a": "1", " a": "2"}}, fault("data.a", "duplicate")},
	} {
		cases[name] = c{When: put(bad.body), Err: bad.err}
	}
	many := body{}
	for i := range 51 {
		many[fmt.Sprint("k", i)] = "v"
	}
	cases["too much data"] = c{When: put(body{"data": many}), Err: fault("data", "too_many")}
	for name, c := range cases {
		if c.World == nil {
			c.World = world
			cases[name] = c
		}
	}
	domaintest.Run(t, record.Aggregate, cases)
}

// Deciding never changes what has been remembered of a record.
func TestStateIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := record.Aggregate.Evolve(record.State{}, added)
	if _, err := record.Aggregate.Decide(s, edit(body{"data": body{"plan": "basic"}}), world, domain.Meta{By: domain.Root}); err != nil {
		t.Fatal(err)
	}
	if s.Data["plan"] != "pro" {
		t.Errorf("data is %v", s.Data)
	}
}

// The events of any sequence of commands fold to what the last of them decided on.
func TestEventsFold(t *testing.T) {
	t.Parallel()
	s := record.Aggregate.Evolve(record.State{}, added)
	for _, b := range []body{
		{"amount": "5", "currency": "JPY"},
		{"title": nil, "url": "https://example.com", "occurred_at": "2026-01-01T00:00:00Z"},
		{"occurred_at": nil, "closed_at": "2026-01-01T00:00:00Z", "due_at": "2026-01-01T00:00:00Z", "data": body{"a": "b"}, "status": nil},
	} {
		events, err := record.Aggregate.Decide(s, edit(b), world, domain.Meta{By: domain.Root})
		if err != nil || len(events) != 1 {
			t.Fatal(events, err)
		}
		s = record.Aggregate.Evolve(s, events[0])
	}
	if s.Title != "" || s.Status != "" || s.Amount != "5" || s.Currency != "JPY" || !s.OccurredAt.IsZero() || s.ClosedAt.IsZero() || s.DueAt.IsZero() || s.Data["a"] != "b" || s.URL != "https://example.com" {
		t.Errorf("%+v", s)
	}
}
