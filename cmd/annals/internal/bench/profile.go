package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Profile is what the process did during a measurement. What PostgreSQL did is not
// in it, but for how much.
type Profile struct {
	Name     string        `json:"name"`
	File     string        `json:"file,omitempty"`
	CPU      time.Duration `json:"cpu_ns"`                // used by the process
	Database time.Duration `json:"database_ns,omitempty"` // CPU used by PostgreSQL, where that can be told
	Wall     time.Duration `json:"wall_ns"`               //
	Packages []Share       `json:"packages"`
	Ours     []Share       `json:"ours"`
}

// Share is a part of a profile's CPU time.
type Share struct {
	Name string  `json:"name"`
	Part float64 `json:"part"`
}

const topConsumers = 8

// profiled runs f and notes where the time went. The file is written only where
// that was asked for; a process that is being profiled already does without.
func (r *run) profiled(ctx context.Context, name, url string, f func() error) error {
	var raw bytes.Buffer
	before, known := serverCPU(ctx, url)
	if pprof.StartCPUProfile(&raw) != nil {
		return f()
	}
	start := now()
	err := f()
	p := Profile{Name: name, Wall: now().Sub(start)}
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	if after, ok := serverCPU(ctx, url); ok && known {
		p.Database = after - before
	}
	parsed, err := profile.ParseData(raw.Bytes())
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	p.read(parsed)
	if r.Profile != "" {
		p.File = filepath.Join(r.Profile, name+".pprof")
		err := os.MkdirAll(r.Profile, 0o755) //nolint:gosec // nothing secret
		if err == nil {
			err = os.WriteFile(p.File, raw.Bytes(), 0o644) //nolint:gosec // nothing secret
		}
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	r.report.Profiles = append(r.report.Profiles, p)
	return nil
}

// telling drops the profiles that nobody asked for: those of measurements that met
// their targets.
func (r *Report) telling() {
	r.Profiles = slices.DeleteFunc(r.Profiles, func(p Profile) bool {
		return !slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Name == p.Name && f.Met != nil && !*f.Met })
	})
}

// read adds up the samples: where the CPU was, by package, and under which of our
// functions.
func (p *Profile) read(from *profile.Profile) {
	at, under := map[string]int64{}, map[string]int64{}
	var total int64
	for _, s := range from.Sample {
		cost := s.Value[len(s.Value)-1] // nanoseconds
		total += cost
		seen := map[string]bool{}
		for i, l := range s.Location {
			for j, line := range l.Line {
				name := line.Function.Name
				if i == 0 && j == 0 {
					at[packageOf(name)] += cost
				}
				if name = withoutLiterals(name); strings.HasPrefix(name, "annals/") && !strings.Contains(name, "/internal/bench.") && !seen[name] {
					seen[name] = true
					under[name] += cost
				}
			}
		}
	}
	p.CPU = time.Duration(total)
	p.Packages, p.Ours = top(at, total), top(under, total)
}

func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/')
	dot := strings.IndexByte(function[slash+1:], '.')
	if dot < 0 {
		return function
	}
	return function[:slash+1+dot]
}

// withoutLiterals gives what a function literal does to the function around it.
func withoutLiterals(function string) string {
	name, _, _ := strings.Cut(function, ".func")
	name, _, _ = strings.Cut(name, "[")
	return name
}

func top(m map[string]int64, total int64) []Share {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	var shares []Share
	for _, n := range names[:min(len(names), topConsumers)] {
		shares = append(shares, Share{n, float64(m[n]) / float64(max(total, 1))})
	}
	return shares
}

func (p Profile) print(b *strings.Builder) {
	database := "unknown"
	if p.Database > 0 {
		database = fmt.Sprintf("%.1f s", p.Database.Seconds())
	}
	fmt.Fprintf(b, "\nwhere %s spent %.1f s: CPU %.1f s, PostgreSQL's %s  %s\n", p.Name, p.Wall.Seconds(), p.CPU.Seconds(), database, p.File)
	line := func(title string, shares []Share) {
		parts := make([]string, len(shares))
		for i, s := range shares {
			parts[i] = fmt.Sprintf("%s %.0f %%", s.Name, 100*s.Part)
		}
		fmt.Fprintf(b, "  %s: %s\n", title, strings.Join(parts, ", "))
	}
	line("in packages", p.Packages)
	line("under our functions", p.Ours)
}
