package readapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/filter"
	"annals/internal/textfold"
	"annals/internal/unraced"
	"annals/projections"
)

// TestListModel asks for lists at random, and holds what comes to the model: which
// clients, in which order, page by page in both directions, how many, and of which kinds.
func TestListModel(t *testing.T) {
	t.Parallel()
	queries := unraced.Of(t, 10_000, 300)
	seed, first := uint64(time.Now().UnixNano()), 0
	if again := os.Getenv("ANNALS_MODEL"); again != "" { // as in "1796027416506980256 437"
		if _, err := fmt.Sscan(again, &seed, &first); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	ms := newModels(t)
	m := &model{
		now: time.Date(2026, 6, 17, 12, 0, 0, 0, time.UTC), custom: modelCustom, words: map[string]int{},
		projects: map[uuid.UUID]string{nth(1): "Über", nth(2): "alpha", nth(3): "Zeta"},
		desks:    map[uuid.UUID]string{nth(1): "Sales", nth(2): "sales", nth(3): "Ärzte", nth(4): "Back"},
		names:    map[uuid.UUID]string{nth(1): "Zoë", nth(2): "", nth(3): "adam"},
	}
	ms.Now = func() time.Time { return m.now }
	ms.Counting = time.Minute
	r := &drawn{rand.New(rand.NewPCG(seed, 1)), m}
	ms.fillModel(t, r)

	var again string
	defer func() {
		if t.Failed() {
			t.Log("again:", again)
		}
	}()
	for i := first; i < queries; i++ {
		r = &drawn{rand.New(rand.NewPCG(seed, uint64(i)+2)), m}
		again = fmt.Sprintf("ANNALS_MODEL='%d %d'", seed, i)
		ms.askModel(t, r)
	}
}

func (ms *models) fillModel(t *testing.T, r *drawn) {
	t.Helper()
	m := r.m
	for id, name := range m.projects {
		ms.exec(t, `insert into projects (id, name, name_key, default_desk_id, created_at, revision) values ($1, $2, $3, $1, now(), 0)`, id, name, textfold.Fold(name))
	}
	for id, name := range m.desks {
		ms.exec(t, `insert into desks (id, project_id, name, name_key, created_at, revision) values ($1, $1, $2, $3, now(), 0)`, id, name, textfold.Fold(name))
	}
	for id, name := range m.names {
		ms.exec(t, `insert into names (id, name, name_key) values ($1, $2, $3)`, id, name, textfold.Fold(name))
	}
	for key, typ := range m.custom {
		ms.exec(t, `insert into custom_fields (id, key, type, label, help, heading, ordinal, required, options, unique_values, created_at, updated_at)
			values (gen_random_uuid(), $1, $2, '', '', '', 0, false, '[]', false, '2026-01-01', now())`, key, string(typ))
	}
	null := func(id domain.ID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != domain.ID{}} }
	for range 150 {
		c := r.client()
		m.clients = append(m.clients, c)
		d := c.details
		keys, words := projections.Derived(d)
		ms.exec(t, `insert into clients (id, type, first_name, middle_name, last_name, display_name, company, email, phone, city, region, country, status, status_at, status_reason,
				project_id, desk_id, manager_id, tags, deactivated_at, deactivation_reason, portal_access, portal_override, portal_signed_in_at, last_contacted_at, created_at, updated_at,
				since, revision, erased, keys, words)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $27, $28, $29,
				$30::jsonb || jsonb_strip_nulls(jsonb_build_object('status_reason', nullif($32::text, ''), 'deactivation_reason', nullif($33::text, ''))), $31)`,
			c.id, string(d.Type), d.FirstName, d.MiddleName, d.LastName, d.DisplayName, d.Company, d.Email, d.Phone, d.Address.City, d.Address.Region, d.Address.Country, string(c.status), c.statusAt, c.statusReason,
			null(c.place.Project), null(c.place.Desk), null(c.place.Manager), append([]string{}, c.tags...), c.deactivated, c.deactivationReason, c.portal, c.override, c.portalSignIn, c.contacted, c.created, c.updated,
			c.revision, c.erased, keys, words, textfold.Fold(c.statusReason), textfold.Fold(c.deactivationReason))
		for _, word := range c.searched() {
			m.words[word]++
		}
		if c.favourite {
			ms.exec(t, `insert into favourites (employee_id, client_id, starred_at) values ($1, $2, now())`, nth(1), c.id)
		}
	}
	ms.exec(t, "analyze clients")
}

// askModel asks one thing.
func (ms *models) askModel(t *testing.T, r *drawn) {
	t.Helper()
	m := r.m
	scope := func(most int) (ids []domain.ID) {
		for range r.IntN(4) {
			ids = append(ids, nth(1+r.IntN(most)))
		}
		return ids
	}
	a := someone(pick(r, domain.Everywhere, domain.Everywhere, domain.InProjects, domain.OnDesks, domain.Own), scope(3), scope(4))
	var req ClientsQuery
	req.Body.Limit = pick(r, 500, 500, 500, 500, 100, 50, 20, 7)
	var node filter.Node
	if r.IntN(4) > 0 {
		raw, _ := json.Marshal(r.filter(0))
		req.Body.Filter = raw
		var err error
		if node, err = filter.Parse("filter", raw, func(key string) (field.Type, bool) { t, ok := m.custom[key]; return t, ok }); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	if r.IntN(3) == 0 {
		req.Body.Q = r.search()
	}
	for range r.IntN(4) {
		name := pick(r, modelFields()...)
		if r.IntN(2) == 0 {
			name = pick(r, "name", "created_at", "updated_at", "status", "desk", "company")
		}
		if !slices.Contains(req.Body.Sort, name) && !slices.Contains(req.Body.Sort, "-"+name) {
			req.Body.Sort = append(req.Body.Sort, pick(r, "", "-")+name)
		}
	}
	keys, levelled := req.Body.Sort, false
	if len(keys) == 0 {
		if keys = []string{"-created_at"}; strings.TrimSpace(req.Body.Q) != "" && len(textfold.Terms(req.Body.Q)) > 0 {
			keys, levelled = []string{"-created_at"}, true
		}
	}
	var want []*modelClient
	level, meant := map[uuid.UUID]int{}, m.meant(req.Body.Q)
	for _, c := range m.clients {
		if !a.May(domain.ClientsView, c.place) || !m.meets(a, c, node) {
			continue
		}
		if strings.TrimSpace(req.Body.Q) != "" {
			if level[c.id] = m.found(c, req.Body.Q, meant); level[c.id] < 0 {
				continue
			}
		}
		want = append(want, c)
	}
	for _, c := range want {
		c.sorted = c.sorted[:0]
		for _, key := range keys {
			c.sorted = append(c.sorted, m.sortValue(c, strings.TrimPrefix(key, "-")))
		}
	}
	slices.SortFunc(want, func(x, y *modelClient) int {
		if c := cmp.Compare(level[x.id], level[y.id]); c != 0 && levelled {
			return c
		}
		return m.order(keys, x, y)
	})
	if r.IntN(4) == 0 {
		req.Body.Facets = []string{"status", "type", "active", "project", "desk", "manager", "tags"}
	}
	described := func() string {
		b, _ := json.Marshal(req.Body)
		return fmt.Sprintf("%s as %+v", b, a.Authority)
	}
	ctx := as(t, a)
	var got []uuid.UUID
	var last *clientPage
	for {
		page, err := ms.Query(ctx, &req)
		if err != nil {
			t.Fatalf("%s: %v", described(), err)
		}
		if page.Body.Total.Count != len(want) || !page.Body.Total.Exact {
			t.Fatalf("%s: %+v are counted, and it is %d", described(), page.Body.Total, len(want))
		}
		for _, item := range page.Body.Items {
			got = append(got, item.ID)
		}
		if req.Body.Facets != nil {
			m.checkFacets(t, want, page.Body.Facets, described())
		}
		last = page
		if req.Body.Cursor = page.Body.NextCursor; req.Body.Cursor == "" || len(got) > len(want) {
			break
		}
	}
	ids := make([]uuid.UUID, len(want))
	for i, c := range want {
		ids[i] = c.id
	}
	if !slices.Equal(got, ids) {
		t.Fatalf("%s: %d clients, want %d\n%s", described(), len(got), len(ids), m.difference(got, ids, keys))
	}
	// And back again, from the last page to the first.
	rest := got[:len(got)-len(last.Body.Items)]
	for back := last.Body.PrevCursor; back != ""; {
		req.Body.Cursor = back
		page, err := ms.Query(ctx, &req)
		if err != nil {
			t.Fatalf("%s: %v", described(), err)
		}
		n := len(page.Body.Items)
		if n == 0 || n > len(rest) {
			t.Fatalf("%s: %d on the way back, of %d", described(), n, len(rest))
		}
		for i, item := range page.Body.Items {
			if item.ID != rest[len(rest)-n+i] {
				t.Fatalf("%s: on the way back %s instead of %s", described(), item.ID, rest[len(rest)-n+i])
			}
		}
		rest, back = rest[:len(rest)-n], page.Body.PrevCursor
	}
	if len(rest) > 0 {
		t.Fatalf("%s: the way back ends %d before the beginning", described(), len(rest))
	}
}

func (m *model) difference(got, want []uuid.UUID, keys []string) string {
	by := map[uuid.UUID]*modelClient{}
	for _, c := range m.clients {
		by[c.id] = c
	}
	var out strings.Builder
	for i := range max(len(got), len(want)) {
		var g, w uuid.UUID
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w && out.Len() < 2000 {
			show := func(id uuid.UUID) string {
				c := by[id]
				if c == nil {
					return "nothing"
				}
				values := []any{id, c.details.Name()}
				for _, k := range keys {
					values = append(values, m.sortValue(c, strings.TrimPrefix(k, "-")))
				}
				return fmt.Sprint(values...)
			}
			fmt.Fprintf(&out, "%d: %s, want %s\n", i, show(g), show(w))
		}
	}
	return out.String()
}

func (m *model) checkFacets(t *testing.T, want []*modelClient, got map[string]facet, described string) {
	t.Helper()
	for name, f := range got {
		counts := map[string]int64{}
		for _, c := range want {
			v := m.value(c, name)
			if v == nil && name == "tags" {
				continue
			}
			if list, ok := v.([]string); ok {
				for _, one := range list {
					counts[one]++
				}
				continue
			}
			counts[fmt.Sprint(v)]++
		}
		found := map[string]int64{}
		for i, v := range f.Values {
			found[fmt.Sprint(v.Value)] = v.Count
			if i > 0 && f.Values[i-1].Count < v.Count {
				t.Fatalf("%s: %s is not sorted: %+v", described, name, f.Values)
			}
		}
		if !f.Exact || !reflect.DeepEqual(found, counts) {
			t.Fatalf("%s: %s has %v, want %v", described, name, found, counts)
		}
	}
}
