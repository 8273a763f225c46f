package csvimport_test

import (
	"fmt"
	"io"
	"testing"

	"annals/internal/csvimport"
	"annals/internal/memtest"
)

// generated writes n rows, of which every tenth has a defect, without holding them.
type generated struct {
	n, next int
	rest    []byte
}

func (g *generated) Read(p []byte) (int, error) {
	for len(g.rest) == 0 {
		if g.next == g.n {
			return 0, io.EOF
		}
		i := g.next
		g.next++
		switch {
		case i == 0:
			g.rest = []byte("company,last_name,email,city,phone\n")
		case i%50 == 10:
			g.rest = fmt.Appendf(nil, "Firma %d,Meier,m%d@example.com,Hof 1, 2. Stock,1234\n", i, i)
		case i%50 == 20:
			g.rest = fmt.Appendf(nil, "Firma \"%d\",Meier,m%d@example.com,Hof,1234\n", i, i)
		case i%50 == 30:
			g.rest = fmt.Appendf(nil, "Firma %d,Meier,\"m%d@example.com,Hof,1234\n", i, i)
		case i%50 == 40:
			g.rest = fmt.Appendf(nil, "Firma %d,M\xfcller,m%d@example.com,Hof,1234\n", i, i)
		case i%50 == 45:
			g.rest = fmt.Appendf(nil, "Firma %d,Meier,m%d,Hof,1234\n", i, i)
		case i%50 == 49:
			g.rest = []byte("\r\n")
		default:
			g.rest = fmt.Appendf(nil, "\"Firma, %d\",Meier,m%d@example.com,\"Hof\",1234\n", i, i)
		}
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

func TestManyRows(t *testing.T) {
	const rows = 30_000
	a := newAPI(t)
	a.forget = true
	a.done = make(map[string]bool, rows) // what remains to grow are the keys, some 2 MiB
	memory := memtest.Start()
	last, seen := 0, 0
	o := csvimport.Options{
		Project: project, Rejects: io.Discard,
		Rejected: func(r csvimport.Reject) {
			if r.Line <= last {
				t.Errorf("line %d after %d", r.Line, last)
			}
			last = r.Line
			if seen++; seen%2000 == 0 {
				memory.Look()
			}
		},
	}
	want := csvimport.Summary{Rows: rows * 49 / 50, Registered: rows * 44 / 50, Rejected: rows * 5 / 50, Empty: rows / 50}
	got, err := csvimport.Run(t.Context(), &generated{n: rows + 1}, a.client(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if memory.Most() > 8<<20 {
		t.Errorf("takes %d bytes of memory", memory.Most())
	}
	o.Rejected = nil
	again, err := csvimport.Run(t.Context(), &generated{n: rows/5 + 1}, a.client(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Registered != 0 || again.Unchanged != got.Registered/5 {
		t.Errorf("again: %+v", again)
	}
}

func BenchmarkRun(b *testing.B) {
	a := newAPI(b)
	a.forget = true
	b.ReportAllocs()
	o := csvimport.Options{Project: project}
	if _, err := csvimport.Run(b.Context(), &generated{n: b.N + 1}, a.client(), o); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
