package readapi

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/field"
	"annals/domain/filter"
	"annals/internal/textfold"
)

// Read makes ids of what is drawn.
func (r *drawn) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return len(b), nil
}

// drawn is what random clients and queries are made of.
type drawn struct {
	*rand.Rand
	m *model
}

func pick[T any](r *drawn, all ...T) T { return all[r.IntN(len(all))] }

var (
	modelNames = []string{
		"José", "jose", "JOSE", "Müller", "Mueller", "Muller", "Ärger", "Arger", "Zoë", "O'Brien", "OBrien", "van der Berg", "Núñez", "Nuñez-Ibáñez", "Łukasz", "Ørsted", "ß", "Strauß", "Strauss",
		"Иванов", "иванова", "Παπαδόπουλος", "山田", "山田太郎", "株式会社山田", "محمد", "ขอนแก่น", "김민수", "a", "A b", "ab", "abc", "Maria", "Mariana", "Marian", "Marai", "Mria", "🙂", "100%", "under_score", `back\slash`, "ﬁsh",
		strings.Repeat("Lang ", 39) + "ü",
	}
	modelMails  = []string{"jose.nunez@example.com", "JOSE.NUNEZ@Example.com", "m.muller@example.org", "info@ab.example", "maria+news@example.net", "x@y.example"}
	modelPhones = []string{"+49 30 123456", "030 123456", "(030) 123-456", "+359 2 555 0142", "555-0142", "0142", "1"}
	modelTags   = []string{"vip", "VIP", "new", "Ärger", "ärger", "gold star", "x"}
)

func (r *drawn) maybe(s func() string) string {
	if r.IntN(3) == 0 {
		return ""
	}
	return s()
}

func (r *drawn) name() string { return pick(r, modelNames...) }

func (r *drawn) time() time.Time {
	if r.IntN(3) == 0 { // about now, and equal ones
		return r.m.now.Add(time.Duration(r.IntN(11)-5) * 12 * time.Hour)
	}
	return r.m.now.Add(-time.Duration(r.IntN(400*24)) * time.Hour).Truncate(time.Hour)
}

func (r *drawn) timeOrNil() *time.Time {
	if r.IntN(2) == 0 {
		return nil
	}
	return new(r.time())
}

func (r *drawn) number() string {
	return pick(r, "0", "1", "-1", "10", "9", "2.5", "2.50000000001", "-12.5", "123456789012345678901234567890", "0.1")
}

func (r *drawn) client() *modelClient {
	c := &modelClient{
		id: uuid.Must(uuid.NewRandomFromReader(r)), status: pick(r, client.Lead, client.Active, client.Inactive), created: r.time(), updated: r.time(), statusAt: r.timeOrNil(),
		deactivated: r.timeOrNil(), contacted: r.timeOrNil(), portalSignIn: r.timeOrNil(), portal: r.IntN(2) == 0, override: r.IntN(4) == 0, erased: r.IntN(20) == 0,
		favourite: r.IntN(4) == 0, revision: int64(r.IntN(5)),
		place: domain.Place{Project: nth(1 + r.IntN(3)), Desk: nth(r.IntN(5)), Manager: nth(r.IntN(4))},
	}
	defer func() { c.words, c.flat = c.searched(), client.Flatten(c.details) }()
	c.statusReason, c.deactivationReason = r.maybe(r.name), r.maybe(r.name)
	for _, tag := range modelTags {
		if r.IntN(4) == 0 {
			c.tags = append(c.tags, tag)
		}
	}
	slices.Sort(c.tags)
	d := &c.details
	d.Type = pick(r, client.Person, client.Company)
	d.FirstName, d.LastName, d.Company = r.maybe(r.name), r.maybe(r.name), r.maybe(r.name)
	if r.IntN(4) == 0 {
		d.MiddleName, d.DisplayName = r.maybe(r.name), r.maybe(r.name)
	}
	for _, p := range []*string{&d.FirstName, &d.MiddleName, &d.LastName} {
		if len(*p) > 150 {
			*p = "Lang" // three of them make a name
		}
	}
	d.Email = r.maybe(func() string { return pick(r, modelMails...) })
	d.Phone = r.maybe(func() string { return pick(r, modelPhones...) })
	if strings.HasPrefix(d.Phone, "+") {
		d.PhoneE164 = "+" + textfold.Digits(d.Phone)
	}
	d.Address.City, d.Address.Country, d.Address.Region, d.JobTitle = r.maybe(r.name), r.maybe(r.name), r.maybe(r.name), r.maybe(r.name)
	d.Billing.PaymentTerms = r.maybe(func() string { return pick(r, "0", "14", "30", "9") })
	d.DateOfBirth = r.maybe(func() string { return r.time().Format(time.DateOnly) })
	d.Meta = map[string]string{"it's": r.maybe(r.name), "fair": r.maybe(r.name)}
	d.ExternalIDs = map[string]string{"erp": r.maybe(r.number)}
	for k, v := range d.Meta {
		if v == "" {
			delete(d.Meta, k)
		}
	}
	if d.ExternalIDs["erp"] == "" {
		d.ExternalIDs = nil
	}
	if r.IntN(3) == 0 {
		d.OtherEmails = []client.Email{{Email: pick(r, modelMails...)}, {Email: pick(r, modelMails...)}}
		d.OtherPhones = []client.Phone{{Number: pick(r, modelPhones...), E164: "+4930123456"}}
	}
	if r.IntN(2) == 0 {
		d.Consents = map[client.Channel]client.Consent{client.ByEmail: {Granted: r.IntN(2) == 0}}
	}
	d.Custom = map[string]any{}
	for _, key := range sortedKeys(r.m.custom) {
		if r.IntN(3) > 0 {
			d.Custom[key] = r.customValue(r.m.custom[key])
		}
	}
	return c
}

func (r *drawn) customValue(t field.Type) any {
	switch t {
	case field.Number:
		return r.number()
	case field.Money:
		return map[string]any{"amount": r.number(), "currency": pick(r, "EUR", "USD")}
	case field.Date:
		return r.time().Format(time.DateOnly)
	case field.DateTime:
		return r.time().Add(pick(r, 0, time.Microsecond, 500*time.Millisecond)).Format(time.RFC3339Nano)
	case field.Boolean:
		return r.IntN(2) == 0
	case field.OneOf:
		return pick(r, "gold", "silver", "Bronze")
	case field.SeveralOf:
		return [][]any{{"a"}, {"a", "b"}, {"c"}, {"b", "c"}}[r.IntN(4)]
	case field.Employee, field.Client:
		return nth(1 + r.IntN(3)).String()
	case field.Text, field.LongText, field.Email, field.Phone, field.URL:
	}
	return r.name()
}

var modelCustom = map[string]field.Type{
	"budget": field.Number, "fee": field.Money, "due": field.Date, "seen": field.DateTime, "paid": field.Boolean, "pay-day": field.Date, "tier": field.OneOf, "topics": field.SeveralOf, "advisor": field.Employee, "motto": field.Text,
}

func modelFields() []string {
	names := []string{"meta.it's", "meta.fair", "meta.none", "external_ids.erp", "consents.email", "consents.post", "custom.budget"}
	for key := range modelCustom {
		names = append(names, "custom."+key)
	}
	names = append(names, filter.Names()...)
	slices.Sort(names)
	return names
}

// filter draws a filter, as JSON.
func (r *drawn) filter(depth int) any {
	if depth < 3 && r.IntN(3) == 0 {
		group := make([]any, 1+r.IntN(3))
		for i := range group {
			group[i] = r.filter(depth + 1)
		}
		switch r.IntN(3) {
		case 0:
			return map[string]any{"and": group}
		case 1:
			return map[string]any{"or": group}
		}
		return map[string]any{"not": group[0]}
	}
	name := pick(r, modelFields()...)
	f, _ := filter.Lookup(name, func(key string) (field.Type, bool) { t, ok := r.m.custom[key]; return t, ok })
	op := pick(r, filter.Operators[f.Type]...)
	out := map[string]any{"field": name, "op": op}
	one := func() any { return r.operand(name, f) }
	switch op {
	case filter.Empty, filter.NotEmpty:
	case filter.InLast, filter.InNext:
		out["value"] = 1 + r.IntN(300)
	case filter.OneOf, filter.NoneOf, filter.HasAny, filter.HasAll, filter.HasNone:
		list := []any{}
		for range 1 + r.IntN(3) {
			list = append(list, one())
		}
		out["value"] = list
	case filter.Between:
		out["value"] = []any{one(), one()}
	default:
		out["value"] = one()
	}
	return out
}

// operand draws a value to compare with, often one that some client has.
func (r *drawn) operand(name string, f filter.Field) any {
	c := pick(r, r.m.clients...)
	switch f.Type {
	case filter.Text:
		s := r.name()
		if v, ok := r.m.value(c, name).(string); ok && r.IntN(2) == 0 {
			s = v
			if runes := []rune(v); r.IntN(2) == 0 {
				i := r.IntN(len(runes))
				s = string(runes[i:min(len(runes), i+1+r.IntN(4))])
			}
		}
		if s = domain.Text(s); s == "" || textfold.Fold(s) == "" {
			return "a"
		}
		return s
	case filter.Number:
		if r.IntN(2) == 0 {
			return json.Number(pick(r, "0", "1", "-1", "2.5", "10"))
		}
		return r.number()
	case filter.Date, filter.Time:
		switch r.IntN(4) {
		case 0:
			return pick(r, "today", "yesterday", "tomorrow", "week", "month", "year", "now", "today-30d", "month-1m", "week-2w", "year-1y", "now-36d", "now+1d")
		case 1:
			return r.time().Format(time.DateOnly)
		}
		if v, ok := r.m.value(c, name).(time.Time); ok && r.IntN(2) == 0 {
			return v.Format(time.RFC3339Nano)
		}
		return r.time().In(time.FixedZone("", 3600*(r.IntN(25)-12))).Format(time.RFC3339)
	case filter.Boolean:
		return r.IntN(2) == 0
	case filter.Choice:
		if len(f.Choices) > 0 {
			return pick(r, f.Choices...)
		}
		return pick(r, "gold", "silver", "Bronze", "none")
	case filter.Several:
		if name == "tags" {
			return pick(r, modelTags...)
		}
		return pick(r, "a", "b", "c", "d")
	case filter.Reference, filter.Unknown:
	}
	if ref := map[string]string{"project": "@my_projects", "desk": "@my_desks", "manager": "@me", "custom.advisor": "@me"}[name]; ref != "" && r.IntN(3) == 0 {
		return ref
	}
	if name == "id" {
		return c.id.String()
	}
	return nth(r.IntN(5)).String()
}

func (r *drawn) search() string {
	var words []string
	for range 1 + r.IntN(2) {
		c := pick(r, r.m.clients...)
		all := c.searched()
		if len(all) == 0 {
			return "maria"
		}
		word := []rune(pick(r, all...))
		if r.IntN(2) == 0 {
			word = word[:1+r.IntN(len(word))]
		}
		if i := r.IntN(len(word)); r.IntN(3) == 0 {
			switch r.IntN(4) {
			case 0:
				word[i] = 'x'
			case 1:
				word = slices.Delete(word, i, i+1)
			case 2:
				word = slices.Insert(word, i, 'n')
			case 3:
				if i+1 < len(word) {
					word[i], word[i+1] = word[i+1], word[i]
				}
			}
		}
		words = append(words, string(word))
	}
	if r.IntN(6) == 0 {
		return pick(r, "+49 30 1234", "030/123 456", "555 0142", "0142", "(2) 555", "49 30", "José", "mueller", "jose.nunez@exam", "o'brien", "%", "_", `\`)
	}
	return strings.Join(words, " ")
}
