package eventlog

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/note"
	"annals/internal/esnode/esnodetest"
)

// told is the story of a client.
func told(tb testing.TB, l *Log, id uuid.UUID) (out []string) {
	tb.Helper()
	for rec, err := range l.Story(tb.Context(), domain.Ref{Category: domain.Client, ID: id}, []string{domain.Note}) {
		if err != nil {
			tb.Fatal(err)
		}
		line := rec.Type
		if n, ok := rec.Event.(note.Added); ok {
			line += " " + n.Text
		}
		out = append(out, line)
	}
	return out
}

func TestStory(t *testing.T) {
	t.Parallel()
	l := openLog(t, esnodetest.Start(t))
	ctx := t.Context()
	add := func(category string, id, of uuid.UUID, last Revision, events ...any) {
		t.Helper()
		m := by()
		m.Subject = of
		if _, err := l.Append(ctx, Stream(category, id), last, m, events...); err != nil {
			t.Fatal(err)
		}
	}
	one, two, first := uuid.New(), uuid.New(), uuid.New()
	if got := told(t, l, one); len(got) > 0 {
		t.Errorf("the story of nobody: %v", got)
	}
	add(domain.Client, two, uuid.UUID{}, NoStream, kim())
	add(domain.Client, one, uuid.UUID{}, NoStream, kim())
	add(domain.Note, first, one, NoStream, note.Added{ClientID: one, Text: "first"})
	// Whoever writes one id into a text does not get into the story of it.
	add(domain.Note, uuid.New(), two, NoStream, note.Added{ClientID: two, Text: one.String()})
	add(domain.Client, one, uuid.UUID{}, 0, client.StatusChanged{From: client.Lead, To: client.Active})
	add(domain.Note, first, one, 0, note.Edited{From: "first", To: "second"})
	third := uuid.New()
	add(domain.Client, third, uuid.UUID{}, NoStream, kim())
	for i := range 5 { // more than the server looks through at a time
		add(domain.Client, third, uuid.UUID{}, Revision(i*1000), slices.Repeat([]any{client.StatusChanged{From: client.Lead, To: client.Active}}, 1000)...)
	}
	add(domain.Note, uuid.New(), one, NoStream, note.Added{ClientID: one, Text: "last"})
	want := []string{"client.registered", "note.added first", "client.status_changed", "note.edited", "note.added last"}
	if got := told(t, l, one); !slices.Equal(got, want) {
		t.Errorf("the story is %v, want %v", got, want)
	}
	if got := told(t, l, two); len(got) != 2 {
		t.Errorf("the other's story is %v", got)
	}
	add(domain.Client, uuid.New(), uuid.UUID{}, NoStream, kim()) // behind the end of it
	if got := told(t, l, one); !slices.Equal(got, want) {
		t.Errorf("the story has become %v", got)
	}
	n := 0
	for range l.Story(ctx, domain.Ref{Category: domain.Client, ID: one}, []string{domain.Note}) {
		if n++; n == 2 {
			break
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range l.Story(ended, domain.Ref{Category: domain.Client, ID: one}, nil) {
		if err == nil {
			t.Error("a story for nobody")
		}
	}
}

// What happens while a story is told is not waited for.
func TestStoryEnds(t *testing.T) {
	t.Parallel()
	l := openLog(t, esnodetest.Start(t))
	id := uuid.New()
	if _, err := l.Append(t.Context(), Stream(domain.Client, id), NoStream, by(), kim()); err != nil {
		t.Fatal(err)
	}
	n := 0
	began := time.Now()
	for rec, err := range l.Story(t.Context(), domain.Ref{Category: domain.Client, ID: id}, []string{domain.Note}) {
		if err != nil {
			t.Fatal(err)
		}
		m := by()
		m.Subject = id
		if _, err := l.Append(t.Context(), Stream(domain.Note, uuid.New()), NoStream, m, note.Added{ClientID: id, Text: "more"}); err != nil {
			t.Fatal(err)
		}
		if n++; n > 10 || time.Since(began) > time.Minute {
			t.Fatalf("it does not end: %v", rec)
		}
	}
}

// BenchmarkStory tells a client's short story out of a log of what others have.
func BenchmarkStory(b *testing.B) {
	l := openLog(b, esnodetest.Start(b))
	of := uuid.New()
	if _, err := l.Append(b.Context(), Stream(domain.Client, of), NoStream, by(), kim()); err != nil {
		b.Fatal(err)
	}
	const others, each = 100, 500
	for range others {
		id := uuid.New()
		if _, err := l.Append(b.Context(), Stream(domain.Client, id), NoStream, by(), kim()); err != nil {
			b.Fatal(err)
		}
		m, batch := by(), []any{note.Added{ClientID: id, Text: "Wants a call in May"}}
		for i := range each - 1 {
			batch = append(batch, note.Edited{From: fmt.Sprint("Wants a call in May, ", i), To: fmt.Sprint("Wants a call in June, ", i)})
		}
		m.Subject = id
		if _, err := l.Append(b.Context(), Stream(domain.Note, uuid.New()), NoStream, m, batch...); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		n += others * each
		if got := told(b, l, of); len(got) != 1 {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
