package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/textfold"
	"annals/projections"
)

// firm is a large organisation: few of its projects and desks are big, many are small.
type firm struct {
	rnd      *rand.Rand
	projects []domain.ID
	desks    [][]domain.ID   // by project
	staff    [][][]domain.ID // by project and desk
	inside   []float64       // how likely a client is in one of the first projects
	on       []float64       // and on one of the first desks, of any project
}

const (
	firmProjects  = 200
	deskOfProject = 10
	staffOfDesk   = 2
)

func newFirm() *firm {
	f := &firm{rnd: rand.New(rand.NewPCG(3, 4))} //nolint:gosec // the same firm every time
	for range firmProjects {
		f.projects = append(f.projects, f.id())
		var desks []domain.ID
		var staff [][]domain.ID
		for range deskOfProject {
			desks = append(desks, f.id())
			var people []domain.ID
			for range staffOfDesk {
				people = append(people, f.id())
			}
			staff = append(staff, people)
		}
		f.desks, f.staff = append(f.desks, desks), append(f.staff, staff)
	}
	f.inside, f.on = skewed(firmProjects), skewed(deskOfProject)
	return f
}

// skewed are cumulative weights of which the n-th is as 1 to the root of n.
func skewed(n int) []float64 {
	sum, weights := 0.0, make([]float64, n)
	for i := range weights {
		sum += 1 / float64(i/2+1)
		weights[i] = sum
	}
	return weights
}

func (f *firm) id() domain.ID {
	id, _ := uuid.FromBytes(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.rnd.Uint64()), f.rnd.Uint64())) // it is long enough
	return id
}

func (f *firm) pick(weights []float64) int {
	i, _ := slices.BinarySearch(weights, f.rnd.Float64()*weights[len(weights)-1])
	return min(i, len(weights)-1)
}

// place is where a client belongs: one in ten on no desk, one in four without manager.
func (f *firm) place() client.Assignment {
	project, desk := f.pick(f.inside), f.pick(f.on)
	a := client.Assignment{ProjectID: f.projects[project]}
	if f.rnd.IntN(10) > 0 {
		a.DeskID = f.desks[project][desk]
	}
	if f.rnd.IntN(4) > 0 {
		a.ManagerID = f.staff[project][desk][f.rnd.IntN(staffOfDesk)]
	}
	return a
}

// emptyModels brings empty read models about, as a first start does.
func (r *run) emptyModels(ctx context.Context, url string, names ...string) (err error) {
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		return err
	}
	log, done, err := r.openLog(ctx, url, master)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for _, p := range projections.All {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		if err := projections.Rebuild(ctx, projections.Config{Database: url, Log: log, Logger: r.Logger}, p.Name); err != nil {
			return err
		}
	}
	return nil
}

// emptyAgain builds the read model of clients again, with the indexes that have been
// asked for.
func (r *run) emptyAgain(ctx context.Context, url string) error {
	return r.emptyModels(ctx, url, "clients")
}

var clientColumns = []string{
	"id", "type", "first_name", "middle_name", "last_name", "company", "email", "phone", "website", "street", "city", "region", "postal_code", "country",
	"keys", "words", "project_id", "desk_id", "manager_id", "status", "tags", "created_at", "updated_at", "since", "revision", "deactivated_at", "last_contacted_at",
}

// fill puts the firm and so many clients into the read models, as the projectors would have left them.
func (f *firm) fill(ctx context.Context, url string, clients int) error {
	conn, done, err := connect(ctx, url, map[string]string{"synchronous_commit": "off", "enable_seqscan": "on"})
	if err != nil {
		return err
	}
	defer done()
	schemas := map[string]string{}
	var name, schema string
	rows, err := conn.Query(ctx, `select projector, schema from annals_projections.active`)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&name, &schema}, func() error { schemas[name] = schema; return nil }); err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	if err := f.fillOrganisation(ctx, conn, schemas["organisation"]); err != nil {
		return err
	}
	var drop, create []string
	rows, err = conn.Query(ctx, `select format('drop index %I.%I', $1::text, relname), pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indexrelid
		where i.indrelid in (format('%I.clients', $1::text)::regclass, format('%I.client_times', $1::text)::regclass) and not indisprimary`, schemas["clients"])
	var dropping, creating string
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&dropping, &creating}, func() error {
			drop, create = append(drop, dropping), append(create, creating)
			return nil
		})
	}
	if err == nil {
		_, err = conn.Exec(ctx, strings.Join(drop, ";"))
	}
	if err != nil {
		return fmt.Errorf("indexes: %w", err)
	}
	at := now().UTC().Truncate(time.Microsecond).Add(-time.Duration(clients) * time.Minute)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{schemas["clients"], "clients"}, clientColumns, pgx.CopyFromSlice(clients, func(i int) ([]any, error) {
		return f.row(i, at.Add(time.Duration(i)*time.Minute)), nil
	}))
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return index(ctx, url, schemas["clients"], create)
}

func (f *firm) fillOrganisation(ctx context.Context, conn *pgx.Conn, schema string) error {
	var projects, desks, names [][]any
	at := now()
	for i, p := range f.projects {
		name := fmt.Sprintf("%s %d", trades[i%len(trades)], i)
		projects = append(projects, []any{p, name, textfold.Fold(name), f.desks[i][0], at, 0})
		for j, d := range f.desks[i] {
			name := fmt.Sprintf("%s %d", cities[j%len(cities)], i)
			desks = append(desks, []any{d, p, name, textfold.Fold(name), j == 0, at, 0})
			for _, m := range f.staff[i][j] {
				name := firstNames[f.rnd.IntN(len(firstNames))] + " " + lastParts[f.rnd.IntN(len(lastParts))] + lastParts[f.rnd.IntN(len(lastParts))]
				names = append(names, []any{m, name, textfold.Fold(name)})
			}
		}
	}
	for _, t := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"projects", []string{"id", "name", "name_key", "default_desk_id", "created_at", "revision"}, projects},
		{"desks", []string{"id", "project_id", "name", "name_key", "is_default", "created_at", "revision"}, desks},
		{"names", []string{"id", "name", "name_key"}, names},
	} {
		table := pgx.Identifier{schema, t.name}
		if _, err := conn.CopyFrom(ctx, table, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		if _, err := conn.Exec(ctx, "analyze "+table.Sanitize()); err != nil {
			return fmt.Errorf("analyze: %w", err)
		}
	}
	return nil
}

// row is the n-th client.
func (f *firm) row(n int, at time.Time) []any {
	d, a := person(n), f.place()
	var tags []string
	for len(tags) < f.rnd.IntN(3) {
		tags = append(tags, tagNames[f.rnd.IntN(len(tagNames))])
	}
	if n%5 < 3 {
		d.Custom = map[string]any{"budget": strconv.Itoa(f.rnd.IntN(100_000))}
	}
	keys, words := projections.Derived(d)
	var gone, contacted *time.Time
	if f.rnd.IntN(30) == 0 {
		gone = &at
	}
	if f.rnd.IntN(2) == 0 {
		contacted = new(at.Add(time.Duration(f.rnd.IntN(1000)) * time.Hour))
	}
	if n%10_000 == 0 {
		tags = append(tags, "rare")
	}
	id := func(v domain.ID) uuid.NullUUID { return uuid.NullUUID{UUID: v, Valid: v != uuid.Nil} }
	slices.Sort(tags)
	status := []client.Status{client.Lead, client.Active, client.Active, client.Inactive}[f.rnd.IntN(4)]
	return []any{
		f.id(), string(d.Type), d.FirstName, d.MiddleName, d.LastName, d.Company, d.Email, d.Phone, d.Website,
		d.Address.Street, d.Address.City, d.Address.Region, d.Address.PostalCode, d.Address.Country,
		keys, words, id(a.ProjectID), id(a.DeskID), id(a.ManagerID), string(status), append([]string{}, slices.Compact(tags)...), at, at, at, 0, gone, contacted,
	}
}

// index makes the indexes of clients and lets PostgreSQL know the table.
func index(ctx context.Context, url, schema string, create []string) error {
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return err
	}
	defer done()
	var trigrams string
	if err := conn.QueryRow(ctx, `select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_trgm'`).Scan(&trigrams); err != nil {
		return fmt.Errorf("trigrams: %w", err)
	}
	path := pgx.Identifier{schema}.Sanitize() + ", " + pgx.Identifier{trigrams}.Sanitize()
	if err := indexes(ctx, url, path, strings.Join(create, ";")); err != nil {
		return err
	}
	for _, table := range []string{"clients", "client_times", "client_counts", "client_words"} { // as autovacuum will before long
		if _, err := conn.Exec(ctx, "vacuum analyze "+pgx.Identifier{schema, table}.Sanitize()); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
	}
	return nil
}

// indexes creates indexes as a rebuild does, two at a time.
func indexes(ctx context.Context, url, path, statements string) error {
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for sql := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(sql) == "" {
			continue
		}
		g.Go(func() error {
			conn, done, err := connect(within, url, map[string]string{
				"search_path": path, "maintenance_work_mem": "256MB", "synchronous_commit": "off",
			})
			if err != nil {
				return err
			}
			defer done()
			_, err = conn.Exec(within, sql)
			return err
		})
	}
	return g.Wait()
}
