package projections

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/message"
	"annals/domain/template"
	"annals/internal/eventlog"
)

// about appends events of what belongs to a client.
func (w *world) about(client uuid.UUID, category string, id uuid.UUID, events ...any) {
	w.t.Helper()
	stream := eventlog.Stream(category, id)
	last, ok := w.at[stream]
	if !ok {
		last = eventlog.NoStream
	}
	w.clock = w.clock.Add(time.Minute)
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: w.clock, Subject: client}
	res, err := w.log.Append(w.t.Context(), stream, last, m, events...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at[stream], w.head = res.Revision, res.Position
}

// Whatever happens to templates: what the projector made of it as it came is what the
// domain says, and what it makes of it from the start, where it takes many at once.
func TestTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runner, _ := w.run(templates)
	states := map[uuid.UUID]template.State{}
	var ids []uuid.UUID
	text := func(t *rapid.T) map[string]any {
		return map[string]any{"subject": rapid.SampledFrom(words[1:]).Draw(t, "subject") + "s", "text": "{{client.name}}", "html": rapid.SampledFrom([]string{"", "<p>{{client.email}}</p>"}).Draw(t, "html")}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			var c template.Command
			id := uuid.New()
			if kind := rapid.IntRange(0, 9).Draw(t, "kind"); kind == 0 || len(ids) == 0 {
				ids = append(ids, id)
				c = template.Create{Definition: template.Definition{Name: "T", DefaultLanguage: "en", Texts: map[string]template.Text{"en": {Subject: "S", Text: "T"}}}}
			} else {
				id = rapid.SampledFrom(ids).Draw(t, "id")
				c = map[int]template.Command{1: template.Retire{}, 2: template.Restore{}, 3: template.Restore{}}[kind]
				if c == nil {
					language := rapid.SampledFrom([]string{"en", "de", "fr"}).Draw(t, "language")
					patch := map[string]any{"texts": map[string]any{language: text(t)}}
					switch kind {
					case 4:
						patch = map[string]any{"texts": map[string]any{language: nil}}
					case 5:
						patch = map[string]any{"name": rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name"), "default_language": language}
					}
					c = template.Edit{Patch: patch}
				}
			}
			events, err := template.Aggregate.Decide(states[id], c, domain.World{}, domain.Meta{By: domain.Root, Aggregate: id})
			if err != nil {
				continue // as with a language that is the default
			}
			for _, e := range events {
				w.append(domain.Template, id, e)
				states[id] = template.Aggregate.Evolve(states[id], e)
			}
		}
	})
	for range 2 {
		w.caughtUp(runner)
		w.verified(templates)
		for id, s := range states {
			var got template.Definition
			var raw []byte
			var retired bool
			var revision eventlog.Revision
			w.scan(`select name, default_language, texts, retired_at is not null, revision from annals_read.templates where id = $1`, id)(&got.Name, &got.DefaultLanguage, &raw, &retired, &revision)
			if err := json.Unmarshal(raw, &got.Texts); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.Definition, got); diff != "" || retired != s.Retired || revision != w.at[eventlog.Stream(domain.Template, id)] {
				t.Errorf("%s: %s retired %v, revision %d", id, diff, retired, revision)
			}
		}
		if err := Rebuild(t.Context(), w.cfg, templates.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever becomes of messages: the feed shows what the domain says, as it came and from
// the start, and of a client who has been erased nothing but that there was one.
func TestMessagesInTheFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	clients := []uuid.UUID{uuid.New(), uuid.New()}
	for _, id := range clients {
		w.append(domain.Client, id, client.Registered{Details: client.Details{LastName: "Petrova"}, Assignment: client.Assignment{ProjectID: uuid.New()}, Status: client.Lead})
	}
	states := map[uuid.UUID]message.State{}
	var ids []uuid.UUID
	put := func(of, id uuid.UUID, e message.Event) {
		w.about(of, domain.Message, id, e)
		states[id] = message.Aggregate.Evolve(states[id], e)
	}
	runner, _ := w.run(activities)
	rapid.Check(t, func(t *rapid.T) {
		for range 4 {
			switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case kind < 2 || len(ids) == 0:
				id := uuid.New()
				ids = append(ids, id)
				of := rapid.SampledFrom(clients).Draw(t, "client")
				if kind == 0 {
					put(of, id, message.Logged{ClientID: of, From: "elena@example.com", Text: "Petrova", At: w.clock.Add(-time.Hour)})
				} else {
					put(of, id, message.Composed{ClientID: of, To: "elena@example.com", Subject: "Petrova", Text: "Petrova", Attachments: []message.File{{DocumentID: uuid.New(), Name: "Petrova.pdf", Size: 3}}})
				}
			default:
				id := rapid.SampledFrom(ids).Draw(t, "id")
				s := states[id]
				switch {
				case s.Phase == message.IsComposed && kind < 4, s.Phase == message.IsFailed:
					put(s.ClientID(), id, message.Sent{MessageID: "x@example.com", Attempts: 2, At: w.clock})
				case s.Phase == message.IsComposed:
					put(s.ClientID(), id, message.Failed{Reason: "expired", At: w.clock})
				case s.Phase == message.IsSent:
					put(s.ClientID(), id, message.Bounced{Reason: "Petrova", At: w.clock})
				}
			}
		}
	})
	check := func(erased uuid.UUID) {
		for id, s := range states {
			var of uuid.UUID
			var kind, state, personal string
			var gone bool
			w.scan(`select client_id, kind, data->>'state', personal::text, erased from annals_read.activities where id = $1`, id)(&of, &kind, &state, &personal, &gone)
			if of != s.ClientID() || kind != "message" || state != string(s.Phase) || (personal == "{}") != (of == erased) || gone != (of == erased) {
				t.Errorf("%s: %s %s %s %v, want %v", id, kind, state, personal, gone, s)
			}
		}
	}
	for i := range 3 {
		w.caughtUp(runner)
		w.verified(activities)
		if i == 0 {
			check(uuid.Nil)
			w.erase(clients[0])
			continue
		}
		check(clients[0])
		if err := Rebuild(t.Context(), w.cfg, activities.Name); err != nil {
			t.Fatal(err)
		}
	}
	var reason *string
	if w.scan(`select max(data->>'reason') from annals_read.activities where data->>'state' = 'sent'`)(&reason); reason != nil {
		t.Errorf("what was sent after all failed: %s", *reason)
	}
}
