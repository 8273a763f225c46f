package commands_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"annals/internal/apitest"
)

// BenchmarkRetag is the way of a command from HTTP to the log and back, 64 at a time,
// each for a client of its own.
func BenchmarkRetag(b *testing.B) {
	s := apitest.Start(b)
	a := s.Admin(b)
	p := a.Project(b, "Bench")
	const workers = 64
	var paths [workers]string
	for i := range paths {
		paths[i] = s.URL + "/api/v1/clients/" + a.Client(b, p, fmt.Sprint("C", i)) + "/retag"
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	b.ReportAllocs()
	b.SetParallelism(workers / 2)
	var worker, commands atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		path := paths[worker.Add(1)%workers]
		for n := 0; pb.Next(); n++ {
			body := `{"add":["x"]}`
			if n%2 == 1 {
				body = `{"remove":["x"]}`
			}
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+a.Token)
			req.Header.Set("Content-Type", "application/json")
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Error(res.Status)
				return
			}
			commands.Add(1)
		}
	})
	b.ReportMetric(float64(commands.Load())/b.Elapsed().Seconds(), "commands/s")
}
