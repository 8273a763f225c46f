package projections

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/record"
	"annals/internal/eventlog"
)

// related drives records by commands, and knows what they are by the domain's fold.
type relatedWorld struct {
	w       *world
	world   domain.World
	clients []uuid.UUID
	erased  map[uuid.UUID]bool
	ids     []uuid.UUID
	states  map[uuid.UUID]record.State
}

func newRelatedWorld(w *world) *relatedWorld {
	r := &relatedWorld{w: w, world: domain.World{}, erased: map[uuid.UUID]bool{}, states: map[uuid.UUID]record.State{}}
	c := w.company()
	for n := range 3 {
		id := w.client(c, n)
		r.clients = append(r.clients, id)
		r.world[domain.Ref{Category: domain.Client, ID: id}] = client.Aggregate.Evolve(client.State{}, client.Registered{Status: client.Lead})
	}
	return r
}

func (r *relatedWorld) command(t *rapid.T) {
	of := rapid.SampledFrom(r.clients).Draw(t, "client")
	if r.erased[of] {
		return
	}
	if rapid.IntRange(0, 60).Draw(t, "erase") == 0 && of != r.clients[0] {
		r.w.erase(of)
		r.erased[of] = true
		return
	}
	kind, external := rapid.SampledFrom(record.Kinds).Draw(t, "kind"), rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "id")
	id := uuid.NewSHA1(of, []byte(string(kind)+external))
	body := map[string]any{"system": "billing", "external_id": external}
	if rapid.Bool().Draw(t, "money") {
		code := rapid.SampledFrom([]string{"EUR", "JPY", "BHD"}).Draw(t, "currency")
		body["amount"], body["currency"] = strconv.Itoa(rapid.IntRange(-5, 9000).Draw(t, "amount")), code
	} else if rapid.Bool().Draw(t, "no money") {
		body["amount"], body["currency"] = nil, nil
	}
	for _, name := range []string{"title", "status"} {
		if rapid.Bool().Draw(t, name) {
			body[name] = rapid.SampledFrom([]any{nil, "a", "b b", "ä"}).Draw(t, "text")
		}
	}
	for _, name := range []string{"occurred_at", "due_at", "closed_at"} {
		if rapid.Bool().Draw(t, name) {
			body[name] = rapid.SampledFrom([]any{nil, "2026-01-01T00:00:00Z", "2026-02-01T12:34:56.123456+01:00"}).Draw(t, "time")
		}
	}
	if rapid.Bool().Draw(t, "data") {
		body["data"] = rapid.SampledFrom([]any{nil, map[string]any{"a": "1"}, map[string]any{"b": "2", "c": ""}}).Draw(t, "texts")
	}
	var c record.Command = record.Put{Kind: kind, Body: body}
	if rapid.IntRange(0, 5).Draw(t, "remove") == 0 {
		c = record.Remove{Kind: kind}
	}
	events, err := record.Aggregate.Decide(r.states[id], attached.To[record.Command]{Client: of, Command: c}, r.world, domain.Meta{By: domain.Root})
	if err != nil {
		if domain.KindOf(err) != domain.NotFound {
			t.Fatal(err)
		}
		return
	}
	for _, e := range events {
		r.w.appendOf(of, domain.Record, id, e)
		if !slices.Contains(r.ids, id) {
			r.ids = append(r.ids, id)
		}
		r.states[id] = record.Aggregate.Evolve(r.states[id], e)
	}
}

// appendOf adds events to what belongs to a client.
func (w *world) appendOf(of uuid.UUID, category string, id uuid.UUID, events ...any) {
	w.t.Helper()
	stream := eventlog.Stream(category, id)
	last, ok := w.at[stream]
	if !ok {
		last = eventlog.NoStream
	}
	w.clock = w.clock.Add(time.Minute)
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: w.clock, Subject: of}
	res, err := w.log.Append(w.t.Context(), stream, last, m, events...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at[stream], w.head = res.Revision, res.Position
}

func (r *relatedWorld) check() {
	t := r.w.t
	t.Helper()
	want := []string{}
	for _, id := range r.ids {
		s := r.states[id]
		if s.Removed {
			continue
		}
		if r.erased[s.ClientID()] {
			s.ExternalID, s.Title, s.URL, s.Amount, s.Data = "", "", "", "", nil
		}
		data := make([]string, 0, len(s.Data))
		for k, v := range s.Data {
			data = append(data, k+"="+v)
		}
		slices.Sort(data)
		want = append(want, fmt.Sprint(id, s.ClientID(), s.Kind, s.System, s.ExternalID, "|", s.Title, s.Status, s.Amount, s.Currency, s.OccurredAt.UnixMicro(),
			s.DueAt.UnixMicro(), s.ClosedAt.UnixMicro(), data, r.erased[s.ClientID()]))
	}
	got := []string{}
	rows, err := r.w.db.Query(t.Context(), `select id, client_id, kind, system, external_id, title, status, coalesce(amount::text, ''), currency, occurred_at, due_at, closed_at, data, erased
		from annals_read.records`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, of uuid.UUID
		var kind, system, external, title, status, amount, currency string
		var at [3]*time.Time
		var texts map[string]string
		var erased bool
		if err := rows.Scan(&id, &of, &kind, &system, &external, &title, &status, &amount, &currency, &at[0], &at[1], &at[2], &texts, &erased); err != nil {
			t.Fatal(err)
		}
		micro := func(at *time.Time) int64 {
			if at == nil {
				return time.Time{}.UnixMicro()
			}
			return at.UnixMicro()
		}
		data := make([]string, 0, len(texts))
		for k, v := range texts {
			data = append(data, k+"="+v)
		}
		slices.Sort(data)
		got = append(got, fmt.Sprint(id, of, kind, system, external, "|", title, status, amount, currency, micro(at[0]), micro(at[1]), micro(at[2]), data, erased))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-the domain's fold +the read model)\n%s", diff)
	}
	var differences string
	r.w.scan(`with money as (select client_id, kind, currency, scale(amount) as decimals, count(*) as count, sum(amount) as amount
			from annals_read.records where amount is not null group by 1, 2, 3, 4),
		statuses as (select client_id, kind, status, count(*) as count from annals_read.records group by 1, 2, 3)
		select concat_ws(E'\n',
			(select string_agg(m::text || ' ' || t::text, E'\n') from money m full join annals_read.record_totals t using (client_id, kind, currency, decimals) where m is distinct from t),
			(select string_agg(s::text || ' ' || t::text, E'\n') from statuses s full join annals_read.record_statuses t using (client_id, kind, status) where s is distinct from t))`)(&differences)
	if differences != "" {
		t.Errorf("totals differ from the records:\n%s", strings.TrimSpace(differences))
	}
}

// Whatever is told of records: the read model is what the domain says, its totals are
// those of its rows, and building it anew makes the same.
func TestRelated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runner, _ := w.run(related)
	r := newRelatedWorld(w)
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 12).Draw(t, "commands") {
			r.command(t)
		}
		if len(r.ids)%3 == 0 {
			w.caughtUp(runner)
		}
	})
	w.caughtUp(runner)
	r.check()
	w.verified(related)
	if err := Rebuild(t.Context(), Config{Database: w.url, Log: w.log, Projectors: []*Projector{related}, Logger: w.cfg.Logger}, related.Name); err != nil {
		t.Fatal(err)
	}
	r.check()
	w.erase(r.clients[0])
	r.erased[r.clients[0]] = true
	w.caughtUp(runner)
	r.check()
	w.verified(related)
}
