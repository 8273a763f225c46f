// Package safe holds that requests with a safe method change nothing. Protection
// against other sites' requests rests on it: they can have a browser follow a link.
package safe

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"annals/internal/apitest"
	"annals/internal/eventlog"
)

// TestSafe sends every GET and HEAD that there is, with every id that there is, and
// compares the log and what is kept beside it before and after.
func TestSafe(t *testing.T) {
	s := apitest.Start(t)
	hub := s.Reads.Follow(s.Log, s.Logs.Logger())
	s.Serve(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	told := make(chan error, 1)
	go func() { told <- hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-told; err != nil {
			t.Error(err)
		}
	})
	a := s.Admin(t)
	project := a.Project(t, "Safe")
	desk := a.Desk(t, project, "Desk")
	ids := []string{project, desk, a.Client(t, project, "Client"), a.EmployeeWithPassword(t, "Somebody", []string{project}, []string{desk}).ID}
	var paths []string
	err := s.Router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		if methods, err := r.GetMethods(); err != nil {
			t.Errorf("%s takes any method", path)
		} else if slices.Contains(methods, http.MethodGet) {
			paths = append(paths, path)
		} else if slices.Contains(methods, http.MethodHead) || slices.Contains(methods, http.MethodOptions) {
			t.Errorf("%s: %v", path, methods)
		}
		return nil
	})
	if err != nil || len(paths) < 10 {
		t.Fatal(len(paths), err)
	}
	before := kept(t, s)
	id := regexp.MustCompile(`\{[^}]*\}`)
	found := 0
	for _, path := range paths {
		for _, one := range ids {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				req, err := http.NewRequestWithContext(t.Context(), method, s.URL+id.ReplaceAllString(path, one), nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+a.Token)
				res, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode >= 500 {
					t.Errorf("%s %s: %s", method, path, res.Status)
				}
				if res.StatusCode < 300 && strings.Contains(path, "{") {
					found++
				}
			}
			if !strings.Contains(path, "{") {
				break
			}
		}
	}
	if found < len(ids) {
		t.Errorf("only %d were found", found)
	}
	if after := kept(t, s); after != before {
		t.Errorf("reading has changed something:\n%s\n%s", before, after)
	}
}

// kept is what there is that is not made of the log: where that ends but for who looked at
// what, and how many rows each table has, except for what was refused and what is noted of
// a read itself.
func kept(t *testing.T, s *apitest.System) string {
	t.Helper()
	var head eventlog.Position
	for item, err := range s.Log.Subscribe(t.Context(), head) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Record != nil {
			head = item.Position
		}
		if item.Live {
			break
		}
	}
	var rows string
	err := s.DB.QueryRow(t.Context(), `select string_agg(format('%s.%s %s', table_schema, table_name,
			(xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I.%I', table_schema, table_name), false, true, '')))[1]), ', ' order by table_schema, table_name)
		from information_schema.tables where table_schema like 'annals\_%' and table_schema <> 'annals_audit' and table_type = 'BASE TABLE'`).Scan(&rows)
	if err != nil || !strings.Contains(rows, "annals_auth.sessions ") {
		t.Fatal(rows, err)
	}
	return head.String() + " " + rows
}
