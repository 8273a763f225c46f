package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPrint(t *testing.T) {
	r := Report{
		Machine: "2 cores",
		Figures: []Figure{
			Figure{Name: "append", What: "64 callers", Value: 21_402.4, Unit: "events/s", P50: 1900 * time.Microsecond, P99: 9 * time.Millisecond, Limit: 66_120, LimitIs: "the table", Ratio: 0.3237}.atLeastRatio(0.25),
			Figure{Name: "subscribe", What: "catch-up", Value: 99.5, Unit: "events/s"}.atLeast(150_000),
			{Name: "rebuild", What: "a model", Value: 1.25, Unit: "s", Note: "three events"},
		},
		Profiles: []Profile{
			{Name: "append", CPU: time.Second, Wall: 2 * time.Second},
			{Name: "subscribe", CPU: time.Second, Database: time.Second, Wall: 2 * time.Second, Packages: []Share{{"runtime", 0.5}}, Ours: []Share{{"annals/x.F", 0.25}}},
		},
	}
	r.telling()
	var got strings.Builder
	if err := r.Print(&got); err != nil {
		t.Fatal(err)
	}
	const want = `2 cores

measurement  of          figure           p50     p99   limit here                  ratio  target
append       64 callers  21,402 events/s  1.9 ms  9 ms  66,120 events/s: the table  0.32   ratio ≥ 0.25        ok
subscribe    catch-up    99.5 events/s                                                     ≥ 150,000 events/s  missed
rebuild      a model     1.25 s

rebuild: three events

where subscribe spent 2.0 s: CPU 1.0 s, PostgreSQL's 1.0 s
  in packages: runtime 50 %
  under our functions: annals/x.F 25 %
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPercentiles(t *testing.T) {
	var each []time.Duration
	for i := range 100 {
		each = append(each, time.Duration(100-i))
	}
	got := newTook(10*time.Second, each[:40], each[40:])
	if got.at(50) != 51 || got.at(99) != 100 || got.rate() != 10 {
		t.Errorf("p50 %d, p99 %d, rate %g", got.at(50), got.at(99), got.rate())
	}
	if none := newTook(time.Second); none.at(99) != 0 || none.rate() != 0 {
		t.Error("nothing took something")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.1234: "0.123", 12.345: "12.3", 100: "100", 1234.5: "1,234", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("number(%g) = %q, want %q", v, got, want)
		}
	}
}
