package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// took is how long things took, each and all together.
type took struct {
	each []time.Duration // sorted
	all  time.Duration
}

func newTook(all time.Duration, each ...[]time.Duration) took {
	sorted := slices.Concat(each...)
	slices.Sort(sorted)
	return took{sorted, all}
}

// rate is how many there were a second.
func (t took) rate() float64 { return float64(len(t.each)) / t.all.Seconds() }

// at is a percentile.
func (t took) at(percent int) time.Duration {
	if len(t.each) == 0 {
		return 0
	}
	return t.each[min(len(t.each)*percent/100, len(t.each)-1)]
}

// milli is a duration as figures have it.
func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// atLeastRatio sets the target that the figure is at least that part of its limit.
func (f Figure) atLeastRatio(ratio float64) Figure {
	return f.target(fmt.Sprintf("ratio ≥ %g", ratio), f.Value >= ratio*f.Limit)
}

// atMostRatio sets the target that the figure is at most so many times its limit.
func (f Figure) atMostRatio(ratio float64) Figure {
	return f.target(fmt.Sprintf("ratio ≤ %g", ratio), f.Value <= ratio*f.Limit)
}

// atLeast sets a target for the figure itself.
func (f Figure) atLeast(value float64) Figure {
	return f.target("≥ "+number(value)+" "+f.Unit, f.Value >= value)
}

func (f Figure) target(text string, met bool) Figure {
	f.Target, f.Met = text, &met
	return f
}

// Print writes the report as a table.
func (r Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, r.Machine)
	fmt.Fprintln(&b)
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	lines := []string{"measurement\tof\tfigure\tp50\tp99\tlimit here\tratio\ttarget\t"}
	for _, f := range r.Figures {
		lines = append(lines, strings.Join(f.cells(), "\t"))
	}
	if _, err := io.WriteString(table, strings.Join(lines, "\t\n")+"\t\n"); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	fmt.Fprintln(&b)
	for _, f := range r.Figures {
		if f.Note != "" {
			fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Note)
		}
	}
	for _, p := range r.Profiles {
		p.print(&b)
	}
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (f Figure) cells() []string {
	limit, ratio, verdict := "", "", ""
	if f.LimitIs != "" {
		limit = number(f.Limit) + " " + f.Unit + ": " + f.LimitIs
		ratio = fmt.Sprintf("%.2f", f.Ratio)
	}
	if f.Met != nil {
		verdict = map[bool]string{true: "ok", false: "missed"}[*f.Met]
	}
	return []string{f.Name, f.What, number(f.Value) + " " + f.Unit, milliseconds(f.P50), milliseconds(f.P99), limit, ratio, f.Target, verdict}
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

// number has three digits or all before the point, in groups.
func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// machine tells what the figures were measured on.
func machine() string {
	text := fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		text += ", load before " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return text
}
