package commands_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"

	"annals/internal/apitest"
)

var update = flag.Bool("update", false, "write the golden files")

// routes are all of a router, as "method path".
func routes(t *testing.T, router *mux.Router) []string {
	t.Helper()
	var out []string
	err := router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, m := range methods {
			out = append(out, m+" "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestRoutes holds the whole API, reads included, against a list of its routes and
// who may call them, and the OpenAPI document against the routes.
func TestRoutes(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	document := s.ValidDocument(t)
	paths := document["paths"].(Map)
	documented := 0
	for _, item := range paths {
		documented += len(item.(Map))
	}
	var lines []string
	for _, route := range routes(t, s.Router) {
		method, path, _ := strings.Cut(route, " ")
		item, _ := paths[path].(Map)
		op, _ := item[strings.ToLower(method)].(Map)
		if op == nil {
			if strings.HasPrefix(path, "/api/v1/") {
				t.Errorf("%s is not in the document", route)
			}
			lines = append(lines, route+" anyone\n")
			continue
		}
		documented--
		who, _ := op["x-permission"].(string)
		switch {
		case op["security"] == nil && who != "":
			t.Errorf("%s takes %s, and security %v", route, who, op["security"])
		case op["security"] == nil:
			who = "anyone"
		case who == "":
			who = "whoever has signed in"
		}
		if op["summary"] == "" || op["operationId"] == "" {
			t.Errorf("%s lacks a summary or an id", route)
		}
		lines = append(lines, route+" "+who+"\n")
	}
	if documented != 0 {
		t.Errorf("the document has %d operations more than the router", documented)
	}
	const golden = "testdata/routes.golden"
	got := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the routes have changed; if they are meant to, run the test with -update (-want +got)\n%s", diff)
	}
}
