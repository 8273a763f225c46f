package domain_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"annals/domain"
)

type appointment struct {
	With   string
	At     time.Time
	Nobody domain.ID
	Long   int
}

// What differs between two values makes the second of the first, and holds nothing else.
func TestDiffer(t *testing.T) {
	noon := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	some := rapid.Custom(func(t *rapid.T) appointment {
		return appointment{
			rapid.SampledFrom([]string{"", "Kim", "Lee"}).Draw(t, "with"),
			rapid.SampledFrom([]time.Time{{}, noon, noon.Add(time.Hour)}).Draw(t, "at"),
			rapid.SampledFrom([]domain.ID{{}, {1}}).Draw(t, "id"), rapid.IntRange(0, 2).Draw(t, "long"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := some.Draw(t, "a"), some.Draw(t, "b")
		was, is := domain.Differ(a, b)
		if diff := cmp.Diff(b, domain.Amend(a, was, is)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(a, domain.Amend(b, is, was)); diff != "" {
			t.Fatal(diff)
		}
		if a == b && (was != appointment{} || is != appointment{}) {
			t.Fatalf("%+v and %+v differ by nothing", was, is)
		}
		if again, now := domain.Differ(was, is); again != was || now != is {
			t.Fatalf("%+v and %+v hold what does not differ", was, is)
		}
	})
	elsewhere := noon.In(time.FixedZone("", 3600))
	if was, is := domain.Differ(appointment{At: noon}, appointment{At: elsewhere}); !was.At.IsZero() || !is.At.IsZero() {
		t.Errorf("the same moment differs: %v, %v", was.At, is.At)
	}
}
