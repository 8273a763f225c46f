package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"annals/cmd/annals/internal/bench"
	"annals/internal/postgres/pgtest"
	"annals/internal/unraced"
)

// How fast it is depends on the machine; that everything is measured does not.
func TestBenchMeasures(t *testing.T) {
	if unraced.Only(t) {
		return
	}
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"bench", "--quick", "--json", "--database", pgtest.Database(t)})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var report bench.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range report.Figures {
		seen[f.Name] = true
		if f.Value <= 0 && f.Name != "fresh" || f.Unit == "" {
			t.Errorf("%s, %s: %g %s", f.Name, f.What, f.Value, f.Unit)
		}
		if f.LimitIs != "" && f.Limit <= 0 {
			t.Errorf("%s, %s: the limit, %s, is %g", f.Name, f.What, f.LimitIs, f.Limit)
		}
		if f.P50 > f.P99 {
			t.Errorf("%s, %s: p50 %v, p99 %v", f.Name, f.What, f.P50, f.P99)
		}
	}
	for _, n := range bench.Names() {
		if !seen[n[0]] {
			t.Errorf("%s was not measured", n[0])
		}
	}
}

func TestBenchUsedWrongly(t *testing.T) {
	for _, args := range []string{"bench speed", "bench --events 3", "bench --seconds 0", "bench --database ftp://example.test", "bench --fast"} {
		cmd := root()
		cmd.SetArgs(strings.Fields(args))
		err := cmd.ExecuteContext(t.Context())
		if e, ok := errors.AsType[exit](err); !ok || e.status != exitUsage {
			t.Errorf("%s: %v", args, err)
		}
	}
}
