package eventlog

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
)

// BenchmarkSubscribe is a catch-up over registrations, each with its key: what a
// rebuild of the read models cannot be faster than.
func BenchmarkSubscribe(b *testing.B) {
	master, err := eventschema.NewLocalMaster(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	connection := esnodetest.Start(b)
	open := func() *Log {
		l, err := Open(Config{ConnectionString: connection, Master: master})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(l.Close)
		return l
	}
	l := open()
	const clients, each = 200, 100
	for range clients {
		batch := []any{kim()}
		for range each - 1 {
			batch = append(batch, client.Edited{From: client.Details{Phone: "030 5550123"}, To: client.Details{Phone: "030 5550124"}})
		}
		if _, err := l.Append(b.Context(), Stream(domain.Client, uuid.New()), NoStream, by(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	events := 0
	for b.Loop() {
		for item, err := range open().Subscribe(b.Context(), Position{}) {
			if err != nil {
				b.Fatal(err)
			}
			if item.Record != nil {
				events++
			}
			if item.Live {
				break
			}
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
