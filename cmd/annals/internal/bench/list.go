package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/reader"
	"annals/projections"
	"annals/readapi"
)

const (
	listReaders = 8   // at a time
	listWrites  = 200 // a second
	deepPages   = 10  // of 500 clients, before one that is deep inside
)

// shape is a list that people ask for, and what somebody would write for it by hand.
type shape struct {
	group, name string
	filter      string // as JSON
	q           string
	sort        []string
	facets      []string
	deep        bool
	where       string // by hand; $me is the asker
	order       string
	count       string // by hand, of facets: the statement
}

// targets are p99 in milliseconds, by group.
var targets = map[string]float64{"first page": 25, "page deep inside": 25, "filter": 25, "search": 50, "facets": 150}

func shapes() []shape {
	var all []shape
	for _, s := range []struct{ name, order string }{
		{"name", "c.name_key, c.id"},
		{"-created_at", "c.created_at desc, c.id desc"},
		{"-updated_at", "c.updated_at desc, c.id desc"},
		{"company", "c.company_key, c.id"},
		{"email", "c.email_key, c.id"},
		{"phone", "c.phone_key, c.id"},
		{"address.city", "c.city_key, c.id"},
		{"address.country", "c.country_key, c.id"},
		{"status", "c.status_rank, c.id"},
		{"desk", "(select d.name_key from annals_read.desks d where d.id = c.desk_id), c.id"},
		{"manager", "(select m.name_key from annals_read.names m where m.id = c.manager_id), c.id"},
		{"-custom.budget", `(case when (c.keys ->> 'custom.budget') ~ '^-?[0-9]{1,30}(\.[0-9]{1,30})?$' then (c.keys ->> 'custom.budget')::numeric end) desc nulls last, c.id desc`},
	} {
		all = append(all, shape{group: "first page", name: "by " + s.name, sort: []string{s.name}, order: s.order},
			shape{group: "page deep inside", name: "by " + s.name, sort: []string{s.name}, order: s.order, deep: true})
	}
	newest := "c.created_at desc, c.id desc"
	for _, f := range []struct{ name, filter, where string }{
		{"status", `{"field": "status", "op": "is", "value": "lead"}`, "c.status = 'lead'"},
		{"active leads", `{"and": [{"field": "status", "op": "is", "value": "lead"}, {"field": "active", "op": "is", "value": true}]}`, "c.status = 'lead' and c.deactivated_at is null"},
		{"deactivated", `{"field": "active", "op": "is", "value": false}`, "c.deactivated_at is not null"},
		{"a common tag", `{"field": "tags", "op": "has_any", "value": ["vip"]}`, "c.tags && '{vip}'"},
		{"a rare tag", `{"field": "tags", "op": "has_any", "value": ["rare"]}`, "c.tags && '{rare}'"},
		{"two tags", `{"field": "tags", "op": "has_all", "value": ["vip", "overdue"]}`, "c.tags @> '{vip,overdue}'"},
		{"without tags", `{"field": "tags", "op": "has_none", "value": ["vip", "overdue"]}`, "not c.tags && '{vip,overdue}'"},
		{"mine", `{"field": "manager", "op": "is", "value": "@me"}`, "c.manager_id = $me"},
		{"without manager", `{"field": "manager", "op": "empty"}`, "c.manager_id is null"},
		{"created in 30 days", `{"field": "created_at", "op": "in_last", "value": 30}`, "c.created_at > now() - interval '30 days'"},
		{"city", `{"field": "address.city", "op": "is", "value": "Vigo"}`, "c.city_key = 'vigo'"},
		{"company begins with", `{"field": "company", "op": "begins_with", "value": "Marber"}`, "c.company_key >= 'marber' and c.company_key < 'marbes'"},
		{"e-mail", `{"field": "email", "op": "begins_with", "value": "marbergco.1"}`, "c.email_key >= 'marbergco.1' and c.email_key < 'marbergco.2'"},
		{
			"a custom number between", `{"field": "custom.budget", "op": "between", "value": [990, 1000]}`,
			`(case when (c.keys ->> 'custom.budget') ~ '^-?[0-9]{1,30}(\.[0-9]{1,30})?$' then (c.keys ->> 'custom.budget')::numeric end) between 990 and 1000`,
		},
		{
			"nested", `{"and": [{"or": [{"field": "status", "op": "is", "value": "lead"}, {"field": "tags", "op": "has_any", "value": ["vip"]}]}, {"not": {"field": "address.country", "op": "is", "value": "Spain"}}]}`,
			"(c.status = 'lead' or c.tags && '{vip}') and c.country_key is distinct from 'spain'",
		},
	} {
		all = append(all, shape{group: "filter", name: f.name, filter: f.filter, where: f.where, order: newest})
	}
	for _, s := range []struct{ q, where string }{
		{"e", "c.search like '% e%'"},
		{"ma", "c.search like '% ma%'"},
		{"mar", "c.search like '% mar%'"},
		{"xim", "c.search like '% xim%'"},
		{"elena", "c.search like '% elena%'"},
		{"marber", "c.search like '% marber%'"},
		{"shipping", "c.search like '% shipping%'"},
		{"marbergco", "c.search like '% marbergco%'"},
		{"consulting", "c.search like '% consulting%'"},
		{"marbergco12", "c.search like '% marbergco12%'"},
		{"hiroshi berg", "c.search like '% hiroshi%' and c.search like '% berg%'"},
		{"e m", "c.search like '% e%' and c.search like '% m%'"},
		{"elnea", "c.search like '% elena %'"},
		{"marbregco", "c.search like '% marbergco %'"},
		{"shiping", //nolint:misspell // which is found
			"c.search like '% shipping %'"},
		{"0001234", "c.search like '%0001234%'"},
	} {
		all = append(all, shape{group: "search", name: s.q, q: s.q, where: s.where, order: "c.name_key, c.id"})
	}
	each := func(by, cond string) string {
		return "select " + by + ", count(*) from annals_read.clients c where $scope and " + cond + " group by 1"
	}
	for _, f := range []struct{ name, filter, q, cond string }{
		{"of all", "", "", "true"},
		{"of a status", `{"field": "status", "op": "is", "value": "lead"}`, "", "c.status = 'lead'"},
		{"of a tag", `{"field": "tags", "op": "has_any", "value": ["vip"]}`, "", "c.tags && '{vip}'"},
		{"of a search", "", "elena", "c.search like '% elena%'"},
	} {
		all = append(all, shape{
			group: "facets", name: f.name, filter: f.filter, q: f.q, facets: []string{"status", "desk", "manager", "tags"}, order: newest, where: f.cond,
			count: each("c.status", f.cond) + ";" + each("c.desk_id", f.cond) + ";" + each("c.manager_id", f.cond) + ";" + strings.Replace(each("tag", f.cond), "clients c where", "clients c, unnest(c.tags) tag where", 1),
		})
	}
	return all
}

// list measures lists of clients by sorts, filters, searches and counts, as the API reads
// them with many readers at once while clients change, against what somebody would write
// by hand for each, as the tables' owner: for people who see little, much and everything.
func (r *run) list(ctx context.Context) error {
	if !slices.ContainsFunc(newFirm().kinds(), func(k kind) bool {
		return slices.ContainsFunc(shapes(), func(s shape) bool { return r.wanted(k, s) })
	}) {
		return fmt.Errorf("no list is called %q", r.Lists)
	}
	return r.with(ctx, func(url string) error {
		r.Logger.InfoContext(ctx, "filling the read models", "clients", r.Clients)
		f := newFirm()
		start := now()
		if err := r.emptyModels(ctx, url); err != nil {
			return err
		}
		if err := f.indexed(ctx, r, url); err != nil {
			return err
		}
		if err := f.fill(ctx, url, r.Clients); err != nil {
			return err
		}
		r.Logger.InfoContext(ctx, "filled", "seconds", now().Sub(start).Seconds())
		db, err := reader.Open(ctx, url, listReaders)
		if err != nil {
			return err
		}
		defer db.Close()
		conf, err := pgxpool.ParseConfig(url)
		if err != nil {
			return errors.New("the database's URL is not valid") // err may quote the password
		}
		conf.MaxConns = listReaders + 1
		conf.ConnConfig.RuntimeParams["jit"] = "off"
		conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
		owner, err := pgxpool.NewWithConfig(ctx, conf)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		defer owner.Close()
		writing, stop := context.WithCancel(ctx)
		var writes sync.WaitGroup
		writes.Go(func() { f.write(writing, owner, r) })
		defer writes.Wait()
		defer stop()
		api := &readapi.API{DB: db, Want: func(ctx context.Context, name, expression string) error {
			return projections.Want(ctx, owner, name, expression)
		}}
		kinds := f.kinds()
		if err := r.listed(ctx, api, kinds[len(kinds)-1]); err != nil {
			return fmt.Errorf("page by page: %w", err)
		}
		if r.Duration < time.Second { // a moment is to show that it works: there are hundreds of shapes
			kinds, r.Duration = kinds[:1], r.Duration/20
			defer func() { r.Duration *= 20 }()
		}
		for _, kind := range kinds {
			if err := r.lists(ctx, api, owner, kind); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		return nil
	})
}

// indexed has the indexes there that come into being when they are asked for.
func (f *firm) indexed(ctx context.Context, r *run, url string) error {
	owner, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer owner.Close()
	schema := ""
	if err := owner.QueryRow(ctx, `select schema from annals_projections.active where projector = 'settings'`).Scan(&schema); err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	_, err = owner.Exec(ctx, `insert into `+pgx.Identifier{schema, "custom_fields"}.Sanitize()+` (id, key, type, label, help, heading, ordinal, required, options, unique_values, created_at, updated_at)
		values (gen_random_uuid(), 'budget', 'number', 'Budget', '', '', 0, false, '[]', false, '2026-01-01', now())`)
	if err != nil {
		return fmt.Errorf("custom field: %w", err)
	}
	db, err := reader.Open(ctx, url, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	api := &readapi.API{DB: db, Want: func(ctx context.Context, name, expression string) error {
		return projections.Want(ctx, owner, name, expression)
	}}
	who := access.With(ctx, access.Caller{Actor: &access.Actor{Who: f.id(), Authority: domain.Authority{ID: f.id(), Rights: domain.Rights{domain.ClientsView: domain.Everywhere}}}})
	for _, s := range shapes() {
		if _, err := api.Query(who, s.request(0)); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return r.emptyAgain(ctx, url)
}

func (s shape) request(limit int) *readapi.ClientsQuery {
	in := &readapi.ClientsQuery{}
	in.Body.Q, in.Body.Sort, in.Body.Facets, in.Body.Limit = s.q, s.sort, s.facets, cmp.Or(limit, pageRows)
	if s.filter != "" {
		_ = json.Unmarshal([]byte(s.filter), &in.Body.Filter) // which are constants
	}
	return in
}

// wanted says whether the shape is to be measured for people who see alike.
func (r *run) wanted(k kind, s shape) bool {
	return r.Lists == nil || r.Lists.MatchString(k.name+": "+s.group+": "+s.name)
}

// lists measures every shape for people who see alike.
func (r *run) lists(ctx context.Context, api *readapi.API, owner *pgxpool.Pool, k kind) error {
	type worst struct {
		ours, theirs took
		name, beyond string
		missed, n    int
	}
	groups := map[string]*worst{}
	var order []string
	for _, s := range shapes() {
		if !r.wanted(k, s) {
			continue
		}
		ours, err := r.ask(ctx, k, func(ctx context.Context, who *access.Actor, turn int) (time.Duration, error) {
			return r.byAPI(ctx, api, who, s, turn)
		})
		if err != nil {
			return fmt.Errorf("%s %s: %w", s.group, s.name, err)
		}
		theirs, err := r.ask(ctx, k, func(ctx context.Context, who *access.Actor, _ int) (time.Duration, error) {
			return s.byHand(ctx, owner, who)
		})
		if err != nil {
			return fmt.Errorf("%s %s by hand: %w", s.group, s.name, err)
		}
		r.Logger.InfoContext(ctx, "list", "of", k.name, "group", s.group, "shape", s.name, "p50", milliseconds(ours.at(50)), "p99", milliseconds(ours.at(99)),
			"by_hand_p50", milliseconds(theirs.at(50)), "by_hand_p99", milliseconds(theirs.at(99)), "asked", len(ours.each))
		w := groups[s.group]
		if w == nil {
			w = &worst{}
			groups[s.group] = w
			order = append(order, s.group)
		}
		w.n++
		if float64(ours.at(99))/float64(time.Millisecond) > targets[s.group] {
			w.missed++
			w.beyond += fmt.Sprintf(", %s %s", s.name, milliseconds(ours.at(99)))
		}
		if ours.at(99) > w.ours.at(99) {
			w.ours, w.theirs, w.name = ours, theirs, s.name
		}
	}
	for _, name := range order {
		w := groups[name]
		f := Figure{
			Name: "list", What: fmt.Sprintf("%s, %s, the slowest of %d: %s", k.name, name, w.n, w.name), Value: float64(w.ours.at(99)) / float64(time.Millisecond), Unit: "ms",
			P50: w.ours.at(50), P99: w.ours.at(99), Limit: float64(w.theirs.at(99)) / float64(time.Millisecond), LimitIs: "p99 by hand, p50 " + milliseconds(w.theirs.at(50)),
		}
		if w.missed > 0 {
			f.Note = fmt.Sprintf("%d of %d shapes take longer%s", w.missed, w.n, w.beyond)
		}
		r.add(f.target(fmt.Sprintf("p99 ≤ %g ms", targets[name]), f.Value <= targets[name]))
	}
	return nil
}

// ask has as many readers ask at once as there are, for a while.
func (r *run) ask(ctx context.Context, k kind, one func(context.Context, *access.Actor, int) (time.Duration, error)) (took, error) {
	each := make([][]time.Duration, listReaders)
	g, within := errgroup.WithContext(ctx)
	start := now()
	for n := range listReaders {
		g.Go(func() error {
			for i := 0; i < 4 || now().Sub(start) < r.Duration; i++ {
				turn := n + i*listReaders
				d, err := one(within, k.who[turn%askers], turn%askers)
				if err != nil {
					return err
				}
				if i > 1 { // plans and pages have been seen
					each[n] = append(each[n], d)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return newTook(now().Sub(start), each...), err
}

var cursors sync.Map // of pages deep inside, by who asks for what

func (r *run) byAPI(ctx context.Context, api *readapi.API, who *access.Actor, s shape, turn int) (time.Duration, error) {
	as := access.With(ctx, access.Caller{Actor: who})
	in := s.request(0)
	if s.deep {
		at := fmt.Sprint(who.ID, s.sort, turn)
		known, ok := cursors.Load(at)
		if !ok {
			cursor, err := deepInside(as, api, s)
			if err != nil {
				return 0, err
			}
			known, _ = cursors.LoadOrStore(at, cursor)
		}
		in.Body.Cursor, _ = known.(string)
	}
	begun := now()
	_, err := api.Query(as, in)
	return now().Sub(begun), err
}

// deepInside is the cursor of a page after many.
func deepInside(ctx context.Context, api *readapi.API, s shape) (string, error) {
	in := s.request(500)
	for range deepPages {
		page, err := api.Query(ctx, in)
		if err != nil {
			return "", err
		}
		if page.Body.NextCursor == "" {
			break
		}
		in.Body.Cursor = page.Body.NextCursor
	}
	return in.Body.Cursor, nil
}

// byHand is the statement that somebody would write, who knows the reach.
func (s shape) byHand(ctx context.Context, db *pgxpool.Pool, who *access.Actor) (time.Duration, error) {
	var args []any
	bind := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	scope := access.Clients(who.Authority, domain.ClientsView, "c", bind)
	where := scope + " and " + cmp.Or(strings.ReplaceAll(s.where, "$me", "'"+who.ID.String()+"'::uuid"), "true")
	begun := now()
	var b pgx.Batch
	b.Queue(fmt.Sprintf(`select %s from (select c.id, row_number() over (order by %s) as n from annals_read.clients c where %s order by %[2]s limit %[4]d) k
		join annals_read.clients c on c.id = k.id%[5]s order by k.n`, lineColumns, s.order, where, pageRows+1, lineJoins), args...)
	b.Queue("select count(*) from (select from annals_read.clients c where "+where+" limit 1001) c", args...)
	for sql := range strings.SplitSeq(s.count, ";") {
		if sql != "" {
			b.Queue(strings.ReplaceAll(sql, "$scope", scope), args...)
		}
	}
	if err := db.SendBatch(ctx, &b).Close(); err != nil {
		return 0, fmt.Errorf("by hand: %w", err)
	}
	return now().Sub(begun), nil
}

// write changes clients as the projector does, until ctx ends.
func (f *firm) write(ctx context.Context, db *pgxpool.Pool, r *run) {
	var ids []domain.ID
	rows, err := db.Query(ctx, `select id from annals_read.clients where id < '02000000-0000-0000-0000-000000000000'`)
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[domain.ID])
	}
	var clients string
	if err == nil {
		err = db.QueryRow(ctx, `select schema from annals_projections.active where projector = 'clients'`).Scan(&clients)
	}
	const together = 20
	table := pgx.Identifier{clients, "clients"}.Sanitize()
	tick := time.NewTicker(time.Second * together / listWrites)
	defer tick.Stop()
	for n := 0; err == nil && len(ids) > 0; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var b pgx.Batch
		for range together {
			id, status := ids[n%len(ids)], []string{"lead", "active", "inactive"}[n%3]
			b.Queue(`update `+table+` set revision = revision + 1, updated_at = now(), since = now(), status = $2, status_at = now() where id = $1`, id, status)
			n++
		}
		err = db.SendBatch(ctx, &b).Close()
	}
	if err != nil && ctx.Err() == nil {
		r.Logger.ErrorContext(ctx, "writing beside the readers", "err", err)
	}
}
