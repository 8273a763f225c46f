package projections

import (
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

func TestMeasure(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	if n == 0 {
		t.Skip()
	}
	w := newWorld(t)
	c := w.company()
	start := time.Now()
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := g; i < n; i += 64 {
				id := uuid.New()
				m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: w.clock, App: "v1"}
				_, err := w.log.Append(t.Context(), eventlog.Stream("client", id), eventlog.NoStream, m, client.Registered{
					Details:    client.Details{Type: client.Person, FirstName: "José", LastName: fmt.Sprintf("Núñez %d", i), Company: "Romero y Tomillo", Email: fmt.Sprintf("jose%d@example.com", i), Phone: fmt.Sprintf("(91) %d", i), Address: client.Address{Street: "Gran Vía 1", City: "Madrid", PostalCode: "28001", Country: "Spain"}},
					Assignment: client.Assignment{ProjectID: c.project, DeskID: c.desk, ManagerID: c.manager}, Status: client.Lead, Tags: []string{"gold", "vip"},
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	cpu := func() time.Duration {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	used := cpu()
	rate := func(what string) {
		t.Logf("cpu/event %v", (cpu()-used)/time.Duration(n))
		used = cpu()
		t.Logf("%-20s %8.0f clients/s  %v", what, float64(n)/time.Since(start).Seconds(), time.Since(start))
		start = time.Now()
	}
	rate("append")
	if f := os.Getenv("PROF"); f != "" {
		out, _ := os.Create(f)
		pprof.StartCPUProfile(out)
		defer pprof.StopCPUProfile()
	}
	for run, err := range feed.Runs(t.Context(), w.log, eventlog.Position{}, 5000) {
		if err != nil {
			t.Fatal(err)
		}
		if run.Live {
			break
		}
	}
	rate("feed alone")
	if os.Getenv("PROF") == "feed" {
		return
	}
	for _, p := range All {
		e, err := open(t.Context(), w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.build(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		e.pool.Close()
		rate("build " + p.Name)
	}
	if _, err := Verify(t.Context(), w.cfg, "clients"); err != nil {
		t.Fatal(err)
	}
	rate("verify clients")
	for _, p := range All {
		w.exec(`update annals_projections.checkpoints set commit = 0, prepare = 0 where projector = $1`, p.Name)
		for _, name := range []string{"clients", "history", "projects", "desks", "employees", "employee_projects", "employee_desks"} {
			w.db.Exec(t.Context(), "truncate "+p.Schema()+"."+name)
		}
		start = time.Now()
		r, stop := w.run(p)
		for r.Ready(t.Context()) != nil {
			time.Sleep(10 * time.Millisecond)
		}
		rate("live catch-up " + p.Name)
		stop()
	}
	_ = uuid.New()
}
