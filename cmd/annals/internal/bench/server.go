package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/eventlog"
)

const connections = 64

// caller sends requests to a server, over as many connections as there are
// requests at a time.
type caller struct {
	*Server
	http *http.Client
}

func newCaller(s *Server) *caller {
	return &caller{s, &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true,
	}}}
}

type receipt struct {
	ID       domain.ID `json:"id"`
	Position string    `json:"position"`
}

// do sends a request and returns the body of the answer. Any status but one of
// success is an error.
func (c *caller) do(ctx context.Context, method, path string, body any, signedIn bool) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "annals-bench")
	if signedIn {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, res.Status, answer)
	}
	return answer, err
}

func (c *caller) command(ctx context.Context, method, path string, body any) (receipt, error) {
	answer, err := c.do(ctx, method, "/api/v1/"+path, body, true)
	var r receipt
	if err == nil {
		err = json.Unmarshal(answer, &r)
	}
	return r, err
}

// office is a server with projects, desks, managers and clients, on which mixed
// commands are carried out.
type office struct {
	*caller
	places places

	mu      sync.Mutex
	people  int // registered so far, or being registered
	clients []*file
}

// file is what has to be known of a client to go on with it. Whoever works with a
// client has it for themselves meanwhile, as it is with most clients.
type file struct {
	id     domain.ID
	n      int
	edits  int
	status client.Status
	tagged bool
}

// furnish sets the office up, with some clients to begin with.
func furnish(ctx context.Context, c *caller, clients int) (*office, error) {
	o := &office{caller: c}
	var desks []domain.ID
	for p := range 4 {
		project, err := c.command(ctx, http.MethodPost, "projects", map[string]any{"name": fmt.Sprintf("Project %d", p)})
		if err != nil {
			return nil, err
		}
		o.places.projects = append(o.places.projects, project.ID)
		o.places.desks = append(o.places.desks, nil)
		for d := range 3 {
			desk, err := c.command(ctx, http.MethodPost, "desks", map[string]any{"project_id": project.ID, "name": fmt.Sprintf("Desk %d", d)})
			if err != nil {
				return nil, err
			}
			o.places.desks[p], desks = append(o.places.desks[p], desk.ID), append(desks, desk.ID)
		}
	}
	for m := range 8 {
		email := fmt.Sprintf("manager%d@annals.localhost", m)
		manager, err := c.command(ctx, http.MethodPost, "employees", map[string]any{"name": fmt.Sprintf("Manager %d", m), "email": email, "roles": []string{"agent"}})
		if err != nil {
			return nil, err
		}
		assigned := map[string]any{"projects": o.places.projects, "desks": desks}
		if _, err := c.command(ctx, http.MethodPost, "employees/"+manager.ID.String()+"/assign", assigned); err != nil {
			return nil, err
		}
		o.places.managers = append(o.places.managers, manager.ID)
	}
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(connections)
	for range clients {
		g.Go(func() error {
			_, err := o.register(within, rand.New(rand.NewPCG(rand.Uint64(), 0))) //nolint:gosec // no secret
			return err
		})
	}
	return o, g.Wait()
}

// mixed carries out one command: of ten, three register a client, two edit, two
// assign, two retag and one changes the status.
func (o *office) mixed(ctx context.Context, rnd *rand.Rand) (receipt, error) {
	dice := rnd.IntN(10)
	f := o.take(rnd)
	if dice < 3 || f == nil {
		if f != nil {
			o.put(f)
		}
		return o.register(ctx, rnd)
	}
	defer o.put(f)
	path := "clients/" + f.id.String()
	switch {
	case dice < 5:
		f.edits++
		return o.command(ctx, http.MethodPatch, path, map[string]any{"phone": phone(f.n, f.edits)})
	case dice < 7:
		a := o.places.somewhere(rnd)
		return o.command(ctx, http.MethodPost, path+"/assign", map[string]any{
			"project_id": a.ProjectID, "desk_id": orNull(a.DeskID), "manager_id": orNull(a.ManagerID), "reason": "round " + strconv.Itoa(rnd.IntN(1e6)),
		})
	case dice < 9:
		f.tagged = !f.tagged
		what := map[bool]string{true: "add", false: "remove"}[f.tagged]
		return o.command(ctx, http.MethodPost, path+"/retag", map[string]any{what: []string{"seen"}})
	default:
		f.status = client.Statuses[(slices.Index(client.Statuses, f.status)+1)%len(client.Statuses)]
		return o.command(ctx, http.MethodPost, path+"/status", map[string]any{"status": f.status})
	}
}

func (o *office) register(ctx context.Context, rnd *rand.Rand) (receipt, error) {
	o.mu.Lock()
	n := o.people
	o.people++
	o.mu.Unlock()
	a, d := o.places.somewhere(rnd), person(n)
	body := struct {
		client.Details
		ProjectID domain.ID  `json:"project_id"`
		DeskID    *domain.ID `json:"desk_id,omitempty"`
		ManagerID *domain.ID `json:"manager_id,omitempty"`
		Tags      []string   `json:"tags"`
	}{d, a.ProjectID, orNull(a.DeskID), orNull(a.ManagerID), []string{tagNames[rnd.IntN(len(tagNames))]}}
	r, err := o.command(ctx, http.MethodPost, "clients", body)
	if err == nil {
		o.put(&file{id: r.ID, n: n, status: client.Lead})
	}
	return r, err
}

// take is any client that nobody works with, or nil.
func (o *office) take(rnd *rand.Rand) *file {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.clients) == 0 {
		return nil
	}
	i, last := rnd.IntN(len(o.clients)), len(o.clients)-1
	f := o.clients[i]
	o.clients[i] = o.clients[last]
	o.clients = o.clients[:last]
	return f
}

func (o *office) put(f *file) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients = append(o.clients, f)
}

func orNull(id domain.ID) *domain.ID {
	if id == (domain.ID{}) {
		return nil
	}
	return &id
}

// served runs f on a furnished server.
func (r *run) served(ctx context.Context, f func(url string, o *office) error) error {
	return r.with(ctx, func(url string) (err error) {
		s, err := r.Serve(ctx, url)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		c := newCaller(s)
		defer c.http.CloseIdleConnections()
		r.Logger.InfoContext(ctx, "registering clients to work with")
		o, err := furnish(ctx, c, min(5000, max(r.Events/200, 200)))
		if err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		return f(url, o)
	})
}

// repeat has as many callers as there are connections repeat a request for a while.
func repeat(ctx context.Context, d time.Duration, request func(context.Context, *rand.Rand) error) (took, int, error) {
	each := make([][]time.Duration, connections)
	fails := make([]error, connections)
	failed := make([]int, connections)
	var wg sync.WaitGroup
	start := now()
	for c := range connections {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), uint64(c))) //nolint:gosec // no secret
			for ctx.Err() == nil {
				begun := now()
				if begun.Sub(start) >= d {
					return
				}
				if err := request(ctx, rnd); err != nil {
					fails[c] = err
					failed[c]++
					continue
				}
				each[c] = append(each[c], now().Sub(begun))
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range failed {
		total += n
	}
	return newTook(now().Sub(start), each...), total, errors.Join(fails...)
}

// position is where a command ended.
func (r receipt) position() (eventlog.Position, error) { return eventlog.ParsePosition(r.Position) }
