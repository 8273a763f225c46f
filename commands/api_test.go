package commands_test

import (
	"testing"

	"annals/internal/apitest"
)

type (
	Map = apitest.Map
	Raw = apitest.Raw
)

// TestAPI runs everything against one Annals: each test keeps to projects of its own.
func TestAPI(t *testing.T) {
	s := apitest.Start(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *apitest.System)
	}{
		{"commands", testCommands},
		{"no-ops", testNoops},
		{"merge patch", testPatch},
		{"assign", testAssign},
		{"If-Match", testIfMatch},
		{"idempotent changes", testIdempotentChanges},
		{"idempotent creates", testIdempotentCreates},
		{"idempotent no-ops", testIdempotentNoops},
		{"idempotent concurrently", testIdempotentConcurrently},
		{"races", testRaces},
		{"bodies", testBodies},
		{"fields", testFields},
		{"paths", testPaths},
		{"unauthorized", testUnauthorized},
		{"forbidden", testForbidden},
		{"visibility", testVisibility},
		{"visibility changes at once", testVisibilityAtOnce},
		{"sessions", testSessions},
		{"sign-in tells nothing", testSignInTellsNothing},
		{"addresses", testAddresses},
		{"addresses concurrently", testAddressesConcurrently},
		{"a claim that was cut off", testCutOffClaim},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, s)
		})
	}
	t.Cleanup(func() { secretsAreNowhere(t, s) })
}
