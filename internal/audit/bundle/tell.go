package bundle

import (
	"context"
	"encoding/json"
	"time"

	"annals/domain"
	"annals/internal/eventlog"
)

// told is a line of history.ndjson: an event as people read it.
type told struct {
	Index         int64      `json:"index"` // of its leaf
	Position      string     `json:"position"`
	Stream        string     `json:"stream"`
	Revision      int64      `json:"revision"`
	Type          string     `json:"type"`
	Schema        int        `json:"schema,omitempty"`
	At            time.Time  `json:"at"`
	Actor         *actor     `json:"actor,omitempty"`
	CommandID     *domain.ID `json:"command_id,omitempty"`
	CorrelationID *domain.ID `json:"correlation_id,omitempty"`
	IP            string     `json:"ip,omitempty"`
	UserAgent     string     `json:"user_agent,omitempty"`
	App           string     `json:"app,omitempty"`
	Event         any        `json:"event,omitempty"`
	Erased        []string   `json:"erased,omitempty"` // fields that are gone because the person has been erased
	Error         string     `json:"error,omitempty"`  // why the event cannot be read
}

type actor struct {
	ID   domain.ID `json:"id"`
	Name string    `json:"name,omitempty"`
}

// tell opens an event. One that cannot be read is told with its error: what is proven of
// it is proven all the same.
func (w *writer) tell(ctx context.Context, stored *eventlog.Record, n int64) (*told, error) {
	t := &told{
		Index: n, Position: stored.Position.String(), Stream: stored.Stream, Revision: int64(stored.Revision), Type: stored.Type,
		At: stored.Stored.Created.UTC(),
	}
	r, err := w.source.Log.Opened(ctx, stored)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return t, nil // an event of the log's own
	}
	if r.Err != nil { // told in the line
		t.Error = "it cannot be read by this version of the software"
		return t, nil //nolint:nilerr // see above
	}
	m := r.Meta
	t.Schema, t.Erased, t.Event = r.Schema, r.Erased, r.Event
	if r.Schema == 0 {
		return t, nil // that a key was destroyed has no metadata
	}
	name, err := w.names.Of(ctx, m.Actor)
	if err != nil {
		return nil, err
	}
	t.At, t.Actor, t.CommandID, t.CorrelationID = m.At, &actor{m.Actor, name}, &m.Command, &m.Correlation
	t.IP, t.UserAgent, t.App = m.IP, m.UserAgent, m.App
	return t, nil
}

// fields are those of an event, as JSON.
func (t *told) fields() string {
	raw, err := json.MarshalIndent(t.Event, "", "  ")
	if err != nil || t.Event == nil {
		return ""
	}
	return string(raw)
}
