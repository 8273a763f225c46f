package readapi

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
)

// grouping is a sort by the names of what clients belong to, of which there are few: the
// clients of each come in the order of the names.
type grouping struct {
	names  string // the table of names
	column string // of the id, in clients
	order  string // the order of the names as listFields has it
}

var groupings = map[string]grouping{
	"project": {"annals_read.projects", "c.project_id", "nullif(p.name_key, '')"},
	"desk":    {"annals_read.desks", "c.desk_id", "nullif(d.name_key, '')"},
	"manager": {"annals_read.names", "c.manager_id", "nullif(m.name_key, '')"},
}

// group is what has a name.
type group struct {
	id   uuid.UUID
	name string
}

// grouped reads the clients of one group after the other, and stops when the page is
// full. Where few of their clients are on the page, all are gathered instead.
func (f *finding) grouped(ctx context.Context, g grouping, at []*string, n int) ([]hit, error) {
	dir := f.turned()[0]
	if at != nil && at[0] == nil || at == nil && f.back {
		return f.sorted(ctx, at, n, false) // those of no group, who are last
	}
	groups, err := f.groups(ctx, g, dir, at)
	if err != nil {
		return nil, err
	}
	var out []hit
	for size, batch := 4, 0; len(groups) > 0; size, batch = 4*size, batch+1 {
		if batch == 2 && len(f.conds) > 0 { // they are rare
			return f.sorted(ctx, at, n, true)
		}
		size = min(size, len(groups))
		for size < len(groups) && groups[size].name == groups[size-1].name {
			size++ // of equal names the clients are sorted together
		}
		found, err := f.ofGroups(ctx, g, dir, groups[:size], at, n-len(out))
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); len(out) == n {
			return out, nil
		}
		groups = groups[size:]
	}
	if f.back {
		return out, nil // those of no group come after
	}
	rest := &finding{clientList: f.clientList, api: f.api, keys: f.keys, conds: append(slices.Clip(f.conds), g.order+" is null"), level: f.level}
	found, err := rest.sorted(ctx, nil, n-len(out), false)
	return append(out, found...), err
}

// groups are those from the cursor on, in the order of the sort, that the caller may see
// clients of.
func (f *finding) groups(ctx context.Context, g grouping, dir key, at []*string) ([]group, error) {
	q := &query{}
	q.and("name_key <> ''")
	if at != nil {
		q.and(fmt.Sprintf("name_key %s= %s::text", dir.after(), q.bind(*at[0])))
	}
	for _, a := range f.q.arms {
		if a.column == g.column && len(f.q.arms) == 1 {
			q.and("id = any(" + q.bind(a.ids) + "::uuid[])")
		}
	}
	if f.who.Rights[domain.ClientsView] != domain.Everywhere {
		q.and(fmt.Sprintf("id in (select %s from %s where %s)", g.column, f.numbers(q, eachStatus), access.Clients(f.who, domain.ClientsView, "c", q.bind)))
	}
	var out []group
	var b pgx.Batch
	b.Queue(fmt.Sprintf("select id, name_key from %s where %s order by name_key%s, id", g.names, q.all(), dir.direction()), q.args...).Query(func(r pgx.Rows) error {
		var one group
		_, err := pgx.ForEachRow(r, []any{&one.id, &one.name}, func() error {
			out = append(out, one)
			return nil
		})
		return err
	})
	return out, f.api.DB.Find(ctx, &b, 0)
}

// ofGroups are the first clients of some groups.
func (f *finding) ofGroups(ctx context.Context, g grouping, dir key, groups []group, at []*string, n int) ([]hit, error) {
	q := f.q.clone()
	ids, names := make([]uuid.UUID, len(groups)), make([]string, len(groups))
	for i, one := range groups {
		ids[i], names[i] = one.id, one.name
	}
	beyond := ""
	if at != nil {
		least := uuid.Nil
		if dir.down {
			least = uuid.Max
		}
		beyond = fmt.Sprintf(" and c.id %s case when g.name = %s::text then %s::text::uuid else '%s'::uuid end", dir.after(), q.bind(*at[0]), q.bind(*at[1]), least)
	}
	return f.ask(ctx, q, fmt.Sprintf(`select found.id, array[g.name, found.id::text] from unnest(%s::uuid[], %s::text[]) g (id, name)
		cross join lateral (select c.id from annals_read.clients c where %s = g.id and %s and %s%s order by c.id%s limit %d) found order by g.name collate "C"%[7]s, found.id%[7]s limit %[8]d`,
		q.bind(ids), q.bind(names), g.column, f.vis, f.all(), beyond, dir.direction(), n))
}
