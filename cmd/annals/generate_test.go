package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"annals/cmd/annals/internal/bench"
	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/internal/auth"
	"annals/internal/generate"
	"annals/internal/postgres/pgtest"
	"annals/internal/version"
)

// generated is a system in which clients are made.
type generated struct {
	config
	seed uint64
}

func newGenerated(t *testing.T) *generated {
	t.Helper()
	return &generated{config{
		listen: "127.0.0.1:0", eventStoreListen: "127.0.0.1:0", data: filepath.Join(workDir(t), "data"), database: pgtest.Database(t),
		masterKey: bench.MasterKey, adminEmail: "admin@annals.localhost", adminPassword: "correct-horse-battery", roles: "api,projector", rate: "0",
	}, 5}
}

// command runs annals demo generate, and returns what it prints.
func (g *generated) command(t *testing.T, clients int) string {
	t.Helper()
	t.Setenv("ANNALS_MASTER_KEY", g.masterKey)
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"demo", "generate", "--clients", strconv.Itoa(clients), "--seed", strconv.FormatUint(g.seed, 10), "--database", g.database, "--data", g.data})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("generate %d: %v", clients, err)
	}
	return out.String()
}

// beside runs f with what the command works with.
func (g *generated) beside(t *testing.T, f func(*backend, *generate.Generator)) {
	t.Helper()
	ctx := t.Context()
	b, err := openBackend(ctx, g.config, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	credentials, err := auth.Open(ctx, b.pool, now, auth.MasterBox(b.master))
	if err != nil {
		t.Fatal(err)
	}
	world, _, err := founder{&commands.API{Store: commands.NewStore(b.log), Credentials: credentials, Now: now}, g.seed}.found(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f(b, generate.New(g.seed, version.String(), world))
}

// events is how many there are in the log.
func (g *generated) events(t *testing.T) (n int) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), g.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	if err := db.QueryRow(t.Context(), "select count(*) from annals_log.events").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// How many clients are made at first, and how many there are in the end.
const (
	fewClients  = 60
	manyClients = 150
)

// TestGenerate makes clients, makes them again, makes more of them, and looks at what the read models have.
func TestGenerate(t *testing.T) {
	g := newGenerated(t)
	if out := g.command(t, fewClients); !strings.HasPrefix(out, fmt.Sprintf("generated %d clients of seed 5 (0 were there already): ", fewClients)) {
		t.Errorf("at first: %s", out)
	}
	before := g.events(t)
	if out := g.command(t, fewClients); out != fmt.Sprintf("nothing was added: the first %d clients of seed 5 are there already\n", fewClients) {
		t.Errorf("again: %s", out)
	}
	if n := g.events(t); n != before {
		t.Errorf("making the same again added %d events", n-before)
	}

	// Whoever was interrupted left some behind and others not, and of one not all.
	left := map[int]bool{fewClients: true, fewClients + 1: true, fewClients + 20: true}
	g.beside(t, func(b *backend, from *generate.Generator) {
		m := &making{log: b.log, generator: from, out: io.Discard}
		for n := range left {
			if err := m.client(t.Context(), n, false); err != nil {
				t.Fatal(err)
			}
		}
		for n := fewClients + 21; ; n++ {
			c, err := from.Client(n)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Streams) > 1 {
				left[n] = true
				if err := m.append(t.Context(), n, c.Streams[0]); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	})
	there := fewClients + len(left)
	if out := g.command(t, manyClients); !strings.HasPrefix(out, fmt.Sprintf("generated %d clients of seed 5 (%d were there already): ", manyClients-there, there)) {
		t.Errorf("more: %s", out)
	}
	want := expect(t, g, manyClients)
	if n := g.events(t) - before; n != want.events-want.first {
		t.Errorf("going on added %d events, want %d", n, want.events-want.first)
	}
	want.compare(t, g)
}

// expected is what there has to be.
type expected struct {
	clients, events, first int // first: the events of the few
	counts                 map[string]int
}

// expect has the generator say what there is of n clients.
func expect(t *testing.T, g *generated, n int) expected {
	t.Helper()
	e := expected{clients: n, counts: map[string]int{}}
	g.beside(t, func(_ *backend, from *generate.Generator) {
		for i := range n {
			if i == fewClients {
				e.first = e.events
			}
			c, err := from.Client(i)
			if err != nil {
				t.Fatal(err)
			}
			e.events++ // the key
			var s client.State
			for j, stream := range c.Streams {
				for _, commit := range stream.Commits {
					e.events += len(commit.Events)
					for _, event := range commit.Events {
						if j == 0 {
							s = client.Aggregate.Evolve(s, event.(client.Event))
						}
					}
				}
			}
			e.counts["status="+string(s.Status)]++
			e.counts[fmt.Sprintf("active=%t", !s.Deactivated)]++
			e.counts["project="+s.Assignment.ProjectID.String()]++
			if s.Assignment.ManagerID == (domain.ID{}) {
				e.counts["manager=none"]++
			}
			for _, name := range s.Tags {
				e.counts["tag="+url.QueryEscape(name)]++
			}
		}
	})
	return e
}

// compare asks a server for what is expected.
func (e expected) compare(t *testing.T, g *generated) {
	t.Helper()
	running, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := serve(running, g.config, false, slog.New(slog.DiscardHandler), in)
		in.CloseWithError(err)
		ended <- err
	}()
	defer func() {
		cancel()
		go io.Copy(io.Discard, out)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var address string
	if _, err := fmt.Fscanf(out, "ready %s\n", &address); err != nil {
		t.Fatal(err)
	}
	admin, err := newCaller(address).signIn(t.Context(), g.adminEmail, g.adminPassword)
	if err != nil {
		t.Fatal(err)
	}
	count := func(c *caller, filter string) int {
		page, err := must[struct{ Total struct{ Count int } }](t.Context(), c, "GET", "/api/v1/clients?limit=1&"+filter, nil)
		if err != nil {
			t.Fatal(err)
		}
		return page.Total.Count
	}
	if n := count(admin, ""); n != e.clients {
		t.Errorf("%d clients, want %d", n, e.clients)
	}
	for filter, want := range e.counts {
		if n := count(admin, filter); n != want {
			t.Errorf("%s: %d clients, want %d", filter, n, want)
		}
	}
	last := e.clients
	for i, email := range generate.SignIns(g.seed) { // who sees less and less
		c, err := newCaller(address).signIn(t.Context(), email, demoPassword)
		if err != nil {
			t.Fatal(err)
		}
		if n := count(c, ""); n == 0 || i < 2 && n >= last {
			t.Errorf("%s sees %d clients of %d", email, n, last)
		} else {
			last = n
		}
	}
}

func TestGenerateUsedWrongly(t *testing.T) {
	for args, want := range map[string]string{
		"demo":                                "say which",
		"demo nonsense":                       "nonsense",
		"demo generate":                       "--clients: is required",
		"demo generate --clients 0":           "1 to 10000000",
		"demo generate --clients -3":          "1 to 10000000",
		"demo generate --clients many":        "many",
		"demo generate --clients 1 2":         "usage",
		"demo generate --seed 1":              "--clients",
		"demo generate --clients 1 --seed -1": "-1",
	} {
		cmd := root()
		cmd.SetArgs(strings.Fields(args))
		err := cmd.ExecuteContext(t.Context())
		if e, ok := errors.AsType[exit](err); !ok || e.status != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
