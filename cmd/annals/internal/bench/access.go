package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/reader"
	"annals/readapi"
)

// askers are how many different people ask, one after the other: each begins with
// other rows, of desks of another size.
const askers = 16

// access measures the first page of the list of clients, as the API reads it under
// row-level security, against the best query for it without: for people who see
// little, much and everything.
func (r *run) access(ctx context.Context) error {
	return r.with(ctx, func(url string) error {
		r.Logger.InfoContext(ctx, "filling the read models", "clients", r.Clients)
		f := newFirm()
		start := now()
		if err := r.emptyModels(ctx, url); err != nil {
			return err
		}
		if err := f.fill(ctx, url, r.Clients); err != nil {
			return err
		}
		r.Logger.InfoContext(ctx, "filled", "seconds", now().Sub(start).Seconds())
		db, err := reader.Open(ctx, url, 1)
		if err != nil {
			return err
		}
		defer db.Close()
		conf, err := pgxpool.ParseConfig(url)
		if err != nil {
			return errors.New("the database's URL is not valid") // err may quote the password
		}
		conf.MaxConns = 1
		conf.ConnConfig.RuntimeParams["jit"] = "off"
		owner, err := pgxpool.NewWithConfig(ctx, conf)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		defer owner.Close()
		api := &readapi.API{DB: db}
		for _, kind := range f.kinds() {
			for _, sort := range []string{"", "name"} {
				if err := r.firstPages(ctx, api, owner, kind, sort); err != nil {
					return fmt.Errorf("%s: %w", kind.name, err)
				}
			}
		}
		return nil
	})
}

// kind is people who see alike.
type kind struct {
	name  string
	reach domain.Reach
	who   []*access.Actor
}

func (f *firm) kinds() []kind {
	f.rnd = rand.New(rand.NewPCG(5, 6)) //nolint:gosec // the same people every time
	kinds := []kind{
		{name: "agent, 3 desks", reach: domain.OnDesks},
		{name: "desk manager, 20 desks", reach: domain.OnDesks},
		{name: "project admin, 5 projects", reach: domain.InProjects},
		{name: "administrator", reach: domain.Everywhere},
	}
	for range askers {
		p := f.pick(f.inside)
		desks := f.rnd.Perm(deskOfProject)[:3]
		kinds[0].add(f.staff[p][desks[0]][0], []domain.ID{f.projects[p]}, []domain.ID{f.desks[p][desks[0]], f.desks[p][desks[1]], f.desks[p][desks[2]]})
		q := (p + 1 + f.rnd.IntN(firmProjects-1)) % firmProjects
		kinds[1].add(f.staff[p][0][0], []domain.ID{f.projects[p], f.projects[q]}, slices.Concat(f.desks[p], f.desks[q]))
		var projects []domain.ID
		for _, n := range f.rnd.Perm(firmProjects)[:5] {
			projects = append(projects, f.projects[n])
		}
		kinds[2].add(f.id(), projects, nil)
		kinds[3].add(f.id(), nil, nil)
	}
	return kinds
}

func (k *kind) add(id domain.ID, projects, desks []domain.ID) {
	k.who = append(k.who, &access.Actor{Who: id, Authority: domain.Authority{
		ID: id, Rights: domain.Rights{domain.ClientsView: k.reach}, Scope: domain.ScopeOf(projects, desks),
	}})
}

const pageRows = 50

// firstPages asks in turns, one way and the other, and compares what comes out.
func (r *run) firstPages(ctx context.Context, api *readapi.API, owner *pgxpool.Pool, k kind, sort string) error {
	r.Logger.InfoContext(ctx, "first pages", "of", k.name, "sort", sort)
	var ours, theirs []time.Duration
	seen := 0
	for i, start := 0, now(); i < 4*askers || now().Sub(start) < r.Duration; i++ {
		who := k.who[i/2%askers]
		as := access.With(ctx, access.Caller{Actor: who})
		var got, want []string
		var count, counted int
		asked := func() error {
			begun := now()
			page, err := api.Clients(as, &readapi.ClientsRequest{Limit: pageRows, Sort: sort})
			took := now().Sub(begun)
			if err != nil {
				return err
			}
			if i >= 2*askers { // everybody has been there before
				ours = append(ours, took)
			}
			for _, c := range page.Body.Items {
				got = append(got, c.ID.String()+c.Name+c.Project.Name)
			}
			count = min(page.Body.Total.Count, 1000)
			return nil
		}
		by := func() error {
			begun := now()
			page, err := byHand(ctx, owner, who, sort)
			took := now().Sub(begun)
			if err != nil {
				return err
			}
			if i >= 2*askers {
				theirs = append(theirs, took)
			}
			for _, c := range page.rows {
				want = append(want, c.id.String()+c.name+*c.project)
			}
			counted = page.count
			return nil
		}
		turns := []func() error{asked, by}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
		if !slices.Equal(got, want) || count != counted {
			return fmt.Errorf("the API answers with %d of %d clients, and the query with %d of %d, or with others", len(got), count, len(want), counted)
		}
		seen += len(got)
	}
	if seen == 0 {
		return errors.New("nobody sees anything")
	}
	what := "first page, newest first: "
	if sort != "" {
		what = "first page by " + sort + ": "
	}
	a, b := newTook(0, ours), newTook(0, theirs)
	r.add(Figure{
		Name: "access", What: what + k.name, Value: milli(a.at(99)), Unit: "ms", P50: a.at(50), P99: a.at(99),
		Limit: milli(b.at(99)), LimitIs: "p99 of the best query without row-level security, p50 " + milliseconds(b.at(50)),
	}.atMostRatio(1.5))
	return nil
}
