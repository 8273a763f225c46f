package record

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"annals/domain"
)

// Fields is a record as it is sent, for the API's description.
type Fields struct {
	System     string `json:"system" doc:"The system that the record is kept in: lower-case letters, digits, dots, hyphens and underscores" example:"billing" maxLength:"50"`
	ExternalID string `json:"external_id" doc:"What the record is called there" example:"INV-2026-0042" maxLength:"200"`
	FieldsOf
}

// FieldsOf are those of its fields that can be changed. What is left out stays, and null
// empties.
type FieldsOf struct {
	Title      string            `json:"title,omitempty" example:"Invoice 42" maxLength:"500"`
	URL        string            `json:"url,omitempty" doc:"Where a person finds it: http or https" format:"uri" example:"https://billing.example.com/invoices/42" maxLength:"2000"`
	Status     string            `json:"status,omitempty" doc:"A word of that system, which is stored in the clear: about the record, and never about the person" example:"paid" maxLength:"50"`
	Amount     string            `json:"amount,omitempty" doc:"An exact decimal, with no more decimals than the currency has; goes with currency" example:"129.90" maxLength:"40"`
	Currency   string            `json:"currency,omitempty" doc:"ISO 4217; goes with amount" example:"EUR" maxLength:"3"`
	OccurredAt time.Time         `json:"occurred_at,omitzero" doc:"When it was opened, booked or set up there"`
	DueAt      time.Time         `json:"due_at,omitzero"`
	ClosedAt   time.Time         `json:"closed_at,omitzero"`
	Data       map[string]string `json:"data,omitempty" doc:"What else that system has to say: at most 50 texts by name, replaced as a whole" example:"{\"plan\":\"pro\"}" maxProperties:"50"`
}

// Bounds, in characters unless said otherwise.
const (
	mostSystem   = 50
	mostExternal = 200
	mostTitle    = 500
	mostURL      = 2000 // bytes
	mostStatus   = 50
	mostData     = 50 // entries
	mostDataName = 100
	mostDataText = 2000
	dataBytes    = 50_000
)

var slug = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// Name is by which name the record is known: its system and its id there, or what was
// sent for them.
func (c Put) Name() (system, externalID string) {
	system, _ = c.Body["system"].(string)
	externalID, _ = c.Body["external_id"].(string)
	return strings.TrimSpace(system), domain.Text(externalID)
}

func checkName(system, externalID string) error {
	var f domain.Faults
	switch {
	case system == "":
		f.Add(domain.Fault("system", "required", "is required: the name of the system that the record is kept in"))
	case len(system) > mostSystem || !slug.MatchString(system):
		f.Add(domain.Fault("system", "slug", "has to be at most %d lower-case letters, digits, dots, hyphens and underscores, and begin with a letter or digit", mostSystem))
	}
	f.Add(domain.CheckName("external_id", externalID, mostExternal))
	return f.Err()
}

// merge is d after a JSON merge patch (RFC 7396), but that data is replaced as a whole.
func merge(d Details, patch map[string]any) (Details, error) {
	var f domain.Faults
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		v := patch[name]
		switch name {
		case "title":
			f.Add(text(name, v, &d.Title))
			d.Title = domain.Text(d.Title)
			f.Add(domain.CheckText(name, d.Title, mostTitle))
		case "url":
			f.Add(text(name, v, &d.URL))
			d.URL = strings.TrimSpace(d.URL)
			f.Add(checkURL(d.URL))
		case "status":
			f.Add(text(name, v, &d.Status))
			d.Status = domain.Text(d.Status)
			f.Add(domain.CheckText(name, d.Status, mostStatus))
		case "amount":
			f.Add(text(name, v, &d.Amount))
		case "currency":
			f.Add(text(name, v, &d.Currency))
		case "occurred_at":
			f.Add(moment(name, v, &d.OccurredAt))
		case "due_at":
			f.Add(moment(name, v, &d.DueAt))
		case "closed_at":
			f.Add(moment(name, v, &d.ClosedAt))
		case "data":
			f.Add(texts(name, v, &d.Data))
		case "system", "external_id":
			f.Add(domain.Fault(name, "fixed", "cannot be changed: it is what the record is known by"))
		default:
			f.Add(domain.Fault(name, "unknown_field", "is no field of a record"))
		}
	}
	if err := f.Err(); err != nil {
		return d, err
	}
	var err error
	d.Amount, d.Currency, err = money(d.Amount, d.Currency)
	return d, err
}

func text(name string, v any, to *string) error {
	s, ok := v.(string)
	if !ok && v != nil {
		hint := ""
		if name == "amount" {
			hint = `, as in "12.50": a number of JSON is not certain to be kept as it is`
		}
		return domain.Fault(name, "type", "has to be a text or null%s", hint)
	}
	*to = s
	return nil
}

// moment reads a time of RFC 3339, and keeps microseconds of it, in UTC.
func moment(name string, v any, to *time.Time) error {
	s, ok := v.(string)
	switch {
	case v == nil:
		*to = time.Time{}
		return nil
	case !ok:
		return domain.Fault(name, "type", "has to be a time as in 2026-01-31T15:04:05Z, or null")
	}
	t, err := time.Parse(time.RFC3339, s)
	if t = t.UTC().Truncate(time.Microsecond); err != nil || t.Year() < 1000 || t.Year() > 9000 {
		return domain.Fault(name, "time", "has to be a time as in 2026-01-31T15:04:05Z")
	}
	*to = t
	return nil
}

func texts(name string, v any, to *map[string]string) error {
	in, ok := v.(map[string]any)
	if !ok && v != nil {
		return domain.Fault(name, "type", "has to be an object of texts, or null")
	}
	if len(in) > mostData {
		return domain.Fault(name, "too_many", "has %d entries, at most %d are allowed", len(in), mostData)
	}
	var f domain.Faults
	size, all := 0, map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(in)) {
		s, ok := in[key].(string)
		k := domain.Text(key)
		at := name + "." + k
		switch {
		case k == "":
			f.Add(domain.Fault(name, "required", "has an entry without a name"))
			continue
		case !ok:
			f.Add(domain.Fault(at, "type", "has to be a text"))
			continue
		}
		s = domain.LongText(s)
		size += len(k) + len(s)
		f.Add(domain.CheckText(name, k, mostDataName))
		f.Add(domain.CheckText(at, s, mostDataText))
		if _, twice := all[k]; twice {
			f.Add(domain.Fault(at, "duplicate", "stands there twice"))
		}
		all[k] = s
	}
	if *to = nil; len(all) > 0 {
		*to = all
	}
	if size > dataBytes {
		f.Add(domain.Fault(name, "too_long", "has %d bytes, at most %d are allowed", size, dataBytes))
	}
	return f.Err()
}

// checkURL admits what a browser may be sent to: nothing that runs, and no secrets.
func checkURL(s string) error {
	if s == "" {
		return nil
	}
	if err := domain.CheckText("url", s, mostURL); err != nil {
		return err
	}
	u, err := url.Parse(s)
	switch {
	case len(s) > mostURL:
		return domain.Fault("url", "too_long", "has %d bytes, at most %d are allowed", len(s), mostURL)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.ContainsAny(s, " \t\n\\<>\"`"):
		return domain.Fault("url", "url", "has to be a web address as in https://example.com/42")
	case u.User != nil:
		return domain.Fault("url", "credentials", "holds a user name or password, which would be stored for all to see")
	}
	return nil
}
