// Package domaintest runs given/when/then tables against an aggregate.
package domaintest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"annals/domain"
)

// Case is one example of an aggregate's behaviour.
type Case[C, E any] struct {
	Given []E              // what has happened
	World domain.World     // what else there is
	By    domain.Authority // who asks; the zero authority stands for the system
	ID    domain.ID        // of the aggregate, where it matters
	At    time.Time        // when it is asked, where it matters
	When  C                // what is asked
	Then  []E              // what happens
	Err   error            // why it does not: every error joined in it is expected, in code and field
}

// Run checks every case, each as its own parallel subtest.
func Run[S, C, E any](t *testing.T, d domain.Decider[S, C, E], cases map[string]Case[C, E]) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s S
			for _, e := range c.Given {
				s = d.Evolve(s, e)
			}
			if c.By.Rights == nil {
				c.By = domain.Root
			}
			got, err := d.Decide(s, c.When, c.World, domain.Meta{By: c.By, Aggregate: c.ID, At: c.At})
			if c.Err == nil && err != nil {
				t.Fatalf("error = %v, want none", err)
			}
			for _, want := range domain.All(c.Err) {
				if !errors.Is(err, want) {
					t.Errorf("error = %v, want %v (%s)", err, want, want.Code)
				}
			}
			if len(domain.All(err)) != len(domain.All(c.Err)) {
				t.Errorf("errors = %v, want %v", err, c.Err)
			}
			if diff := cmp.Diff(c.Then, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("events (-want +got)\n%s", diff)
			}
			for _, e := range got { // every event decided can also be folded
				s = d.Evolve(s, e)
			}
		})
	}
}
