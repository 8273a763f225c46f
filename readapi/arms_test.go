package readapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/internal/access"
)

// A page merged from arms is the page: whoever asks, for whatever, by whichever sort,
// at every cursor.
func TestArms(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	m.placed(t, 2)
	everything, err := fetch(as(t, someone(domain.Everywhere, nil, nil)), m.API, sortedByID(clientSource), &query{where: []string{"true"}}, Page{Limit: 500}, same[clientRow])
	if err != nil || len(everything.Body.Items) != 250 {
		t.Fatalf("%d, %v", len(everything.Body.Items), err)
	}
	some := rapid.Custom(func(t *rapid.T) []domain.ID {
		return nths(rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "ids")...)
	})
	asked := rapid.Custom(func(t *rapid.T) (out []string) {
		if rapid.Bool().Draw(t, "any") {
			return nil
		}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "asked") {
			if n == 0 {
				out = append(out, "none")
			} else {
				out = append(out, nth(n).String())
			}
		}
		return out
	})
	rapid.Check(t, func(rt *rapid.T) {
		a := someone(domain.Reach(rapid.IntRange(0, 4).Draw(rt, "reach")), some.Draw(rt, "projects"), some.Draw(rt, "desks"))
		r := &ClientsRequest{Project: asked.Draw(rt, "project"), Desk: asked.Draw(rt, "desk"), Manager: asked.Draw(rt, "manager")}
		if rapid.IntRange(0, 3).Draw(rt, "status") == 0 {
			r.Status = []string{"lead"}
		}
		r.Sort = rapid.SampledFrom([]string{"", "created_at", "-created_at", "name", "-name", "status", "-name,created_at"}).Draw(rt, "sort")
		r.Limit = rapid.SampledFrom([]int{9, 50, 500}).Draw(rt, "limit")
		var want []string
		for _, c := range everything.Body.Items {
			if sees(a, c) && meets(r, c) {
				want = append(want, c.ID.String())
			}
		}
		var got []clientItem
		for pages := 0; ; pages++ {
			page, err := m.Clients(as(t, a), r)
			if err != nil {
				rt.Fatal(err)
			}
			if page.Body.Total.Count != len(want) || pages > len(want) {
				rt.Fatalf("%d are counted, and it is %d", page.Body.Total.Count, len(want))
			}
			for _, item := range page.Body.Items {
				got = append(got, item.clientItem)
			}
			if r.Cursor = page.Body.NextCursor; r.Cursor == "" {
				break
			}
		}
		for i := 1; i < len(got); i++ {
			if before(cmp.Or(r.Sort, "-created_at"), got[i-1], got[i]) >= 0 {
				rt.Fatalf("by %q, %+v comes before %+v", r.Sort, got[i-1], got[i])
			}
		}
		var ids []string
		for _, c := range got {
			ids = append(ids, c.ID.String())
		}
		slices.Sort(ids)
		if slices.Sort(want); !slices.Equal(ids, want) {
			rt.Fatalf("%+v asks for %+v and gets %d instead of %d", a.Authority, r, len(ids), len(want))
		}
	})
}

// sortedByID is a source that is sorted by ids.
func sortedByID(s source) source {
	s.natural, s.sorts = "id", map[string]column{"id": {s.id, "uuid"}}
	return s
}

func placeOf(c clientRow) (p domain.Place) {
	if c.ProjectID != nil {
		p.Project = *c.ProjectID
	}
	if c.DeskID != nil {
		p.Desk = *c.DeskID
	}
	if c.ManagerID != nil {
		p.Manager = *c.ManagerID
	}
	return p
}

func sees(a *access.Actor, c clientRow) bool { return a.May(domain.ClientsView, placeOf(c)) }

func meets(r *ClientsRequest, c clientRow) bool {
	among := func(values []string, id domain.ID) bool {
		name := id.String()
		if id == (domain.ID{}) {
			name = "none"
		}
		return len(values) == 0 || slices.Contains(values, name)
	}
	p := placeOf(c)
	return among(r.Project, p.Project) && among(r.Desk, p.Desk) && among(r.Manager, p.Manager) && (len(r.Status) == 0 || slices.Contains(r.Status, c.Status))
}

// before compares two items as a sort has it, in which what is empty comes last.
func before(sort string, a, b clientItem) int {
	down := false
	for level := range strings.SplitSeq(sort, ",") {
		var name string
		name, down = strings.CutPrefix(level, "-")
		value := func(c clientItem) string {
			return map[string]string{"name": strings.ToLower(c.Name), "created_at": c.CreatedAt.String(), "status": map[string]string{"lead": "1", "active": "2"}[c.Status]}[name]
		}
		x, y := value(a), value(b)
		switch {
		case x == y:
			continue
		case x == "":
			return 1
		case y == "":
			return -1
		case down:
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	}
	if down {
		return cmp.Compare(b.ID.String(), a.ID.String())
	}
	return cmp.Compare(a.ID.String(), b.ID.String())
}

// The pages that people open come off an index of the arm,
// and no list is read through.
func TestPlans(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	m.exec(t, `insert into clients (id, type, last_name, keys, status, project_id, desk_id, manager_id, since, created_at, updated_at, revision)
		select gen_random_uuid(), 'person', 'n' || n, jsonb_build_object('last_name', 'n' || n), 'lead', ('00000000-0000-0000-0000-0000000000' || 10 + n % 20)::uuid,
			('00000000-0000-0000-0000-000000000' || 100 + n % 200)::uuid, ('00000000-0000-0000-0000-000000000' || 100 + n % 400)::uuid, now(),
			timestamptz '2026-01-01' + n * interval '1 second', now(), 0 from generate_series(1, 40000) n`)
	m.exec(t, `vacuum analyze clients`)
	many := func(n, from int) (out []domain.ID) {
		for i := range n {
			id := fmt.Sprintf("00000000-0000-0000-0000-%012d", from+i)
			out = append(out, uuid.MustParse(id))
		}
		return out
	}
	actors := map[string]*access.Actor{
		"own":        someone(domain.Own, many(3, 10), many(3, 100)),
		"desks":      someone(domain.OnDesks, many(3, 10), many(3, 100)),
		"many desks": someone(domain.OnDesks, many(20, 10), many(40, 100)),
		"projects":   someone(domain.InProjects, many(5, 10), nil),
		"all":        someone(domain.Everywhere, nil, nil),
	}
	for name, a := range actors {
		a.ID = uuid.MustParse("00000000-0000-0000-0000-000000000100")
		for _, in := range []listRequest{
			{},
			{sort: "created_at"},
			{sort: "name"},
			{sort: "-name"},
			{filter: json.RawMessage(`{"field": "status", "op": "is", "value": "lead"}`)},
			{sort: "name", filter: json.RawMessage(`{"field": "tags", "op": "has_any", "value": ["vip"]}`)},
		} {
			l := m.newList(as(t, a))
			if err := m.parse(as(t, a), l, in); err != nil {
				t.Fatal(err)
			}
			f := &finding{clientList: l, api: m.API, keys: l.keys, conds: l.conds}
			q, sql := f.arms(walks[l.sorts[0]], nil, 51)
			sql, args := q.only(sql)
			var plan []string
			var b pgx.Batch
			b.Queue("explain (costs off) "+sql, args...).Query(func(rows pgx.Rows) (err error) {
				plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
			if err := m.DB.Find(as(t, a), &b, 0); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(plan, "\n")
			inOrder := !strings.Contains(text, "Bitmap") && (in.filter != nil || strings.Contains(text, "Index Only Scan"))
			if strings.Contains(text, "Seq Scan on clients") || name != "own" && !inOrder {
				t.Errorf("%s by %q, filter %s:\n%s", name, in.sort, in.filter, text)
			}
		}
	}
	// What takes too long to find along the arms is gathered, and is the same.
	who := as(t, actors["many desks"])
	var found [2][]hit
	for i, most := range []time.Duration{time.Millisecond, time.Minute} {
		m.Merging = most
		l := m.newList(who)
		if err := m.parse(who, l, listRequest{sort: "-name", filter: json.RawMessage(`{"field": "last_name", "op": "contains", "value": "7"}`)}); err != nil {
			t.Fatal(err)
		}
		f := &finding{clientList: l, api: m.API, keys: l.keys, conds: l.conds}
		var err error
		if found[i], err = f.merge(who, walks["name"], nil, 51); err != nil || len(found[i]) != 51 {
			t.Fatalf("%d, %v", len(found[i]), err)
		}
	}
	if !reflect.DeepEqual(found[0], found[1]) {
		t.Errorf("%+v, and gathered %+v", found[1], found[0])
	}
}
