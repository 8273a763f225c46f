package readapi

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/access"
)

var scanned = regexp.MustCompile(`actual rows=(\d+) loops=(\d+)|Rows Removed by Filter: (\d+)`)

// looked is about how many rows of histories a plan has looked at.
func looked(plan []string) (n int) {
	on, loops := false, 1
	for _, line := range plan {
		if strings.Contains(line, "->") || strings.HasPrefix(line, "Limit") {
			on = strings.Contains(line, " on history ") || strings.Contains(line, " on history h")
		}
		for _, m := range scanned.FindAllStringSubmatch(line, -1) {
			if !on {
				continue
			}
			if m[3] != "" {
				removed, _ := strconv.Atoi(m[3])
				n += removed * loops
				continue
			}
			rows, _ := strconv.Atoi(m[1])
			loops, _ = strconv.Atoi(m[2])
			n += rows * loops
		}
	}
	return n
}

// However many events there are, a page of those that somebody asks for is read off an index: of each type, actor or
// project that is asked for no more than the page has.
func TestAuditPlans(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	m.exec(t, `alter table history disable trigger happened_in`)
	m.exec(t, `insert into history_places select ('10000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid,
		('00000000-0000-0000-0000-' || lpad(to_hex(case n when 999 then 20 else n % 19 + 1 end), 12, '0'))::uuid, null, null from generate_series(0, 999) n`)
	// Of one type there is little, in one project too, and of two actors one does nearly everything.
	m.exec(t, `insert into history (category, aggregate_id, client_id, project_id, revision, position, event_id, type, at, actor_id, command_id, correlation_id, causation_id, schema, changes)
		select 'client', p.client_id, p.client_id::uuid, p.project_id, n, n::bigint, md5(n::text)::uuid,
			case when n % 10007 = 7 then 'client.deactivated' when n % 3 = 0 then 'client.edited' else 'note.added' end, '2026-01-01'::timestamptz + n * interval '1 minute',
			('20000000-0000-0000-0000-' || lpad((case when n % 1009 = 0 then 2 else 1 end)::text, 12, '0'))::uuid, p.client_id, p.project_id, p.client_id, 1, '[]'
		from generate_series(1, 100000) n join history_places p on p.client_id = ('10000000-0000-0000-0000-' || lpad((n % 1000)::text, 12, '0'))::uuid`)
	m.exec(t, `analyze history; analyze history_places; analyze history_hours`)
	a := someone(domain.Everywhere, nil, nil)
	a.Rights[domain.AuditView] = domain.Everywhere
	busy, idle := "20000000-0000-0000-0000-000000000001", "20000000-0000-0000-0000-000000000002"
	big, small := nth(1).String(), nth(20).String()
	for name, in := range map[string]eventsRequest{
		"everything":                  {},
		"oldest first":                {Sort: "position"},
		"a type that is rare":         {Type: []string{"client.deactivated"}},
		"types":                       {Type: []string{"client.*"}},
		"who does much":               {Actor: []string{busy}},
		"who does little":             {Actor: []string{idle}},
		"rare, of who does much":      {Actor: []string{busy}, Type: []string{"client.deactivated"}},
		"never, of who does little":   {Actor: []string{idle}, Type: []string{"client.deactivated"}},
		"a project":                   {Project: []string{big}},
		"a project with little":       {Project: []string{small}, Actor: []string{busy}},
		"rare, in a project":          {Project: []string{big}, Type: []string{"client.deactivated"}},
		"who, in a project":           {Project: []string{big}, Actor: []string{idle}},
		"of long ago":                 {To: "2026-01-01T10:00:00Z"},
		"of long ago, oldest first":   {To: "2026-01-01T10:00:00Z", Sort: "position"},
		"of an hour":                  {From: "2026-02-01T00:00:00Z", To: "2026-02-01T01:00:00Z", Actor: []string{busy}},
		"before there was anything":   {To: "2020-01-01"},
		"later than all":              {From: "2030-01-01", Sort: "position"},
		"of one thing":                {Stream: "client-10000000-0000-0000-0000-000000000007"},
		"before a position":           {BeforePos: "50000", Type: []string{"client.edited"}},
		"after a position, a project": {AfterPos: "50000", Sort: "position", Project: []string{big}},
	} {
		api := &API{Events: eventschema.Types()}
		e, err := api.parseEvents(&in)
		if err != nil {
			t.Fatal(err)
		}
		for _, within := range []domain.Reach{domain.Everywhere, domain.InProjects} {
			who := *a
			if within == domain.InProjects {
				who = *someone(domain.InProjects, nths(1, 2, 20), nil)
				who.Rights[domain.AuditView] = domain.InProjects
				if e.projects == nil {
					e.projects = nths(1, 2, 20)
				}
			}
			sql, args := e.page(51)
			var plan []string
			var b pgx.Batch
			b.Queue(inOrder)
			b.Queue("explain (analyze, costs off, timing off, summary off) "+sql, args...).Query(func(rows pgx.Rows) (err error) {
				plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
			began := time.Now()
			if err := m.DB.Ask(access.With(t.Context(), access.Caller{Actor: &who}), &b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			took := time.Since(began)
			keys := max(1, len(e.types)) * max(1, len(e.actors)) * max(1, len(e.projects))
			if n := looked(plan); n > 51*(keys+2)+1024 {
				t.Errorf("%s, %v: %d rows were looked at, in %v:\n%s", name, within, n, took, strings.Join(plan, "\n"))
			} else {
				t.Logf("%s, %v: %d rows, %v", name, within, n, took)
			}
		}
	}
}
