package blobs

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"annals/internal/jobs"
)

// TestSchedule: wherever workers run, what is left behind goes by itself.
func TestSchedule(t *testing.T) {
	s := newSite(t)
	s.put(newName(), text(10))
	s.advance(s.Grace + time.Second)
	j, err := jobs.Open(t.Context(), s.DB, jobs.Config{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Schedule(j, s.log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	for until := time.Now().Add(2 * time.Minute); s.doubts() > 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("waited in vain")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.has()
}
