package readapi

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

// Happened is what is asked for of a history.
type Happened struct {
	Type  []string `query:"type,explode" doc:"Only these types of events; * stands for anything, as in client.* or *.deleted" maxItems:"50"`
	Actor []string `query:"actor,explode" doc:"Only what these employees and API keys did" maxItems:"50"`
	Field []string `query:"field,explode" doc:"Only what changed these fields, or an inner field of one: address stands for address.city" maxItems:"50"`
	From  string   `query:"from" doc:"A time or a date, included" maxLength:"40"`
	To    string   `query:"to" doc:"A time, excluded, or a date, included" maxLength:"40"`
}

// conditions add the filters to a query of history.
func (h *Happened) conditions(a *API, q *query) error {
	types, err := a.eventTypes(h.Type)
	if err != nil {
		return err
	}
	if types != nil {
		q.and("h.type = any(" + q.bind(types) + "::text[])")
	}
	actors, err := idsOf("actor", h.Actor)
	if err != nil {
		return err
	}
	if len(actors) > 0 {
		q.and("h.actor_id = any(" + q.bind(actors) + "::uuid[])")
	}
	if len(h.Field) > 0 {
		for i, f := range h.Field {
			if err := domain.CheckText(domain.At("field", i), f, 200); err != nil {
				return err
			}
		}
		fields := q.bind(h.Field) + "::text[]"
		q.and(`exists (select from jsonb_array_elements(h.changes) c cross join unnest(` + fields + `) f (name)
			where c ->> 'field' = f.name or starts_with(c ->> 'field', f.name || '.'))`)
	}
	from, to, err := h.span()
	if from != nil {
		q.and("h.at >= " + q.bind(*from))
	}
	if to != nil {
		q.and("h.at < " + q.bind(*to))
	}
	return err
}

// idsOf reads ids, each of them once.
func idsOf(field string, values []string) (ids []uuid.UUID, err error) {
	for i, v := range values {
		id, err := uuid.Parse(v)
		if err != nil {
			return nil, domain.Fault(domain.At(field, i), "malformed", "%q is not an id", short(v))
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// span is between which moments, the second one excluded; nil does not bound.
func (h *Happened) span() (from, to *time.Time, err error) {
	var f domain.Faults
	read := func(field, s string, day time.Duration) *time.Time {
		if s == "" {
			return nil
		}
		t, date, err := parseTime(field, s)
		f.Add(err)
		if date {
			t = t.Add(day)
		}
		return &t
	}
	from, to = read("from", h.From, 0), read("to", h.To, 24*time.Hour) // a day is meant with all of it
	return from, to, f.Err()
}

// parseTime reads a time, or a date, which begins the day.
func parseTime(field, s string) (t time.Time, date bool, err error) {
	if t, err = time.Parse(time.RFC3339, s); err == nil {
		return t, false, nil
	}
	if t, err = time.Parse(time.DateOnly, s); err == nil {
		return t, true, nil
	}
	return t, false, domain.Fault(field, "malformed", "%q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", short(s))
}

var typePattern = regexp.MustCompile(`^[a-z_.*]+$`)

// eventTypes are the types of events that patterns mean; nil where there are no patterns.
func (a *API) eventTypes(patterns []string) ([]string, error) {
	var types []string
	for i, p := range patterns {
		found := false
		for _, name := range a.Events {
			if ok, err := path.Match(p, name); err == nil && ok && typePattern.MatchString(p) {
				found = true
				types = append(types, name)
			}
		}
		if !found {
			return nil, domain.Fault(domain.At("type", i), "unknown", "%q is no type of event, and fits none: they are as in client.registered, or client.*", short(p))
		}
	}
	slices.Sort(types)
	return slices.Compact(types), nil
}

// A point in the life of a client is a time, or the revision that it had then. Neither is
// now.
type point struct {
	at       *time.Time
	revision *int64
}

func (p point) String() string {
	switch {
	case p.at != nil:
		return p.at.UTC().Format(time.RFC3339Nano)
	case p.revision != nil:
		return "revision " + strconv.FormatInt(*p.revision, 10)
	}
	return ""
}

// parsePoint reads a point: digits are a revision.
func parsePoint(field, s string) (m point, err error) {
	if strings.Trim(s, "0123456789") == "" && s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return m, domain.Fault(field, "malformed", "%q is no revision", short(s))
		}
		m.revision = &n
		return m, nil
	}
	t, err := parseAsOf(field, s)
	m.at = &t
	return m, err
}

// parseAsOf reads a time, or a date with all of its day.
func parseAsOf(field, s string) (time.Time, error) {
	t, date, err := parseTime(field, s)
	if date {
		t = t.AddDate(0, 0, 1).Add(-time.Microsecond)
	}
	return t, err
}
