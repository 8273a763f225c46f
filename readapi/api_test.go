package readapi_test

import (
	"testing"

	"annals/internal/apitest"
)

// Map is a JSON object.
type Map = apitest.Map

// TestAPI runs everything against one Annals: each test keeps to projects of its own.
func TestAPI(t *testing.T) {
	s := apitest.Start(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *apitest.System)
	}{
		{"sort", testSort},
		{"sort by", testSortNames},
		{"pages", testPages},
		{"pages while others change", testPagesWhileChanging},
		{"cursors", testCursors},
		{"filters", testFilters},
		{"bad filters", testBadFilters},
		{"search", testSearch},
		{"total", testTotal},
		{"freshness", testFreshness},
		{"organisation", testOrganisation},
		{"history", testHistory},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, s)
		})
	}
}
