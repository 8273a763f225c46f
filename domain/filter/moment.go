package filter

import (
	"regexp"
	"strconv"
	"time"

	"annals/domain"
)

// Moment is a time as people say it: a moment, a day, or a period about now, as in
// "2026-01-31", "2026-01-31T15:04:05Z", "today-7d" and "month-1m".
type Moment struct {
	at     time.Time // of what is fixed
	day    bool      // all of the day
	base   string    // of what is relative: now, today, week, month or year
	offset int
	unit   byte // d, w, m or y
}

var relative = regexp.MustCompile(`^(now|today|yesterday|tomorrow|week|month|year)(?:([+-][0-9]{1,4})([dwmy]))?$`)

const momentHelp = "has to be a date as in 2026-01-31, a time as in 2026-01-31T15:04:05Z, or relative as in today, today-7d, week, month-1m, year or now-1d"

// ParseMoment reads a day or a moment that is fixed.
func ParseMoment(s string) (Moment, error) {
	m, err := parseMoment("", s)
	if err == nil && m.base != "" {
		err = domain.Fault("", "malformed", "has to be fixed")
	}
	return m, err
}

func parseMoment(at string, v any) (m Moment, err error) {
	s, ok := v.(string)
	if !ok {
		return m, domain.Fault(at, "type", "%s", momentHelp)
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Year() > 0 {
		return Moment{at: t, day: true}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil && t.UTC().Year() > 0 && t.UTC().Year() < 10000 {
		return Moment{at: t.UTC()}, nil
	}
	parts := relative.FindStringSubmatch(s)
	if parts == nil {
		return m, domain.Fault(at, "malformed", "%s", momentHelp)
	}
	m.base = parts[1]
	if parts[2] != "" {
		m.offset, _ = strconv.Atoi(parts[2]) // four digits at most
		m.unit = parts[3][0]
	}
	return m, nil
}

// Range is [from, to) at the time now, in UTC. Of a moment both are the same.
func (m Moment) Range(now time.Time) (from, to time.Time) {
	if m.base == "" {
		if m.day {
			return m.at, m.at.AddDate(0, 0, 1)
		}
		return m.at, m.at
	}
	now = now.UTC()
	y, mo, d := now.Date()
	day := time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
	var years, months, days int // of the period
	switch m.base {
	case "now":
		from = m.shift(now)
		return from, from
	case "yesterday":
		from, days = day.AddDate(0, 0, -1), 1
	case "tomorrow":
		from, days = day.AddDate(0, 0, 1), 1
	case "week": // begins on Monday, as in ISO 8601
		from, days = day.AddDate(0, 0, -(int(day.Weekday())+6)%7), 7
	case "month":
		from, months = time.Date(y, mo, 1, 0, 0, 0, 0, time.UTC), 1
	case "year":
		from, years = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC), 1
	default:
		from, days = day, 1
	}
	from = m.shift(from)
	return from, from.AddDate(years, months, days)
}

func (m Moment) shift(t time.Time) time.Time {
	switch m.unit {
	case 'd':
		return t.AddDate(0, 0, m.offset)
	case 'w':
		return t.AddDate(0, 0, 7*m.offset)
	case 'm':
		return t.AddDate(0, m.offset, 0)
	case 'y':
		return t.AddDate(m.offset, 0, 0)
	}
	return t
}
