package readapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/field"
	"annals/domain/filter"
	"annals/internal/access"
	"annals/internal/textfold"
	"annals/projections"
)

// The list, told plainly: all clients in memory, each condition looked at for each of
// them, and everything sorted. TestListModel holds the real one against it.

type modelClient struct {
	id                                             uuid.UUID
	details                                        client.Details
	status                                         client.Status
	statusReason, deactivationReason               string
	place                                          domain.Place
	tags                                           []string
	created, updated                               time.Time
	statusAt, deactivated, contacted, portalSignIn *time.Time
	portal, override, erased, favourite            bool
	revision                                       int64
	words                                          []string
	flat                                           map[string]any
	sorted                                         []any // what it is sorted by at the moment
}

type model struct {
	clients  []*modelClient
	projects map[uuid.UUID]string
	desks    map[uuid.UUID]string
	names    map[uuid.UUID]string
	custom   map[string]field.Type
	now      time.Time
	words    map[string]int // in how many places each is
}

// value is a field of a client as it is compared: a folded text, a *big.Rat, a time, a
// bool, an id, a list of texts; nil where empty.
func (m *model) value(c *modelClient, name string) any {
	text := func(s string) any {
		if s = textfold.Fold(s); s == "" {
			return nil
		}
		return s
	}
	moment := func(t *time.Time) any {
		if t == nil {
			return nil
		}
		return *t
	}
	ref := func(id uuid.UUID) any {
		if id == uuid.Nil {
			return nil
		}
		return id
	}
	switch name {
	case "id":
		return c.id
	case "name":
		return text(c.details.Name())
	case "type":
		return string(c.details.Type)
	case "status":
		return string(c.status)
	case "project":
		return ref(c.place.Project)
	case "desk":
		return ref(c.place.Desk)
	case "manager":
		return ref(c.place.Manager)
	case "tags":
		if len(c.tags) == 0 {
			return nil
		}
		return c.tags
	case "revision":
		return big.NewRat(c.revision, 1)
	case "created_at":
		return c.created
	case "updated_at":
		return c.updated
	case "status_changed_at":
		return moment(c.statusAt)
	case "deactivated_at":
		return moment(c.deactivated)
	case "last_contacted_at":
		return moment(c.contacted)
	case "portal.last_sign_in_at":
		return moment(c.portalSignIn)
	case "active":
		return c.deactivated == nil
	case "erased":
		return c.erased
	case "favourite":
		return c.favourite
	case "portal.access":
		return c.portal
	case "portal.override":
		return c.override
	case "status_reason":
		return text(c.statusReason)
	case "deactivation_reason":
		return text(c.deactivationReason)
	}
	v, ok := c.flat[name]
	if !ok {
		return nil
	}
	f, _ := filter.Lookup(name, func(key string) (field.Type, bool) { t, ok := m.custom[key]; return t, ok })
	switch v := v.(type) {
	case bool:
		return v
	case client.Consent:
		return v.Granted
	case []client.Email:
		var all []string
		for _, e := range v {
			all = append(all, e.Email)
		}
		return text(strings.Join(all, " "))
	case []client.Phone:
		var all []string
		for _, p := range v {
			all = append(all, p.Number)
		}
		return text(strings.Join(all, " "))
	case map[string]any:
		r, _ := new(big.Rat).SetString(v["amount"].(string))
		return r
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, one.(string))
		}
		return all
	case string:
		switch f.Type {
		case filter.Number:
			r, _ := new(big.Rat).SetString(v)
			return r
		case filter.Date:
			t, _ := time.Parse(time.DateOnly, v)
			return t
		case filter.Time:
			t, _ := time.Parse(time.RFC3339, v)
			return t
		case filter.Reference:
			return uuid.MustParse(v)
		case filter.Text, filter.Choice, filter.Boolean, filter.Several, filter.Unknown:
		}
		return text(v)
	}
	panic(fmt.Sprintf("%s is a %T", name, v))
}

func (m *model) meets(a *access.Actor, c *modelClient, n filter.Node) bool {
	switch {
	case len(n.And) > 0:
		return !slices.ContainsFunc(n.And, func(p filter.Node) bool { return !m.meets(a, c, p) })
	case len(n.Or) > 0:
		return slices.ContainsFunc(n.Or, func(p filter.Node) bool { return m.meets(a, c, p) })
	case n.Not != nil:
		return !m.meets(a, c, *n.Not)
	case n.Field.Name == "":
		return true
	}
	v := m.value(c, n.Field.Name)
	switch n.Op {
	case filter.Empty:
		return v == nil
	case filter.NotEmpty:
		return v != nil
	case filter.IsNot:
		n.Op = filter.Is
		return !m.meets(a, c, n)
	case filter.NoneOf:
		n.Op = filter.OneOf
		return !m.meets(a, c, n)
	case filter.NotContains:
		n.Op = filter.Contains
		return !m.meets(a, c, n)
	case filter.HasNone:
		n.Op = filter.HasAny
		return !m.meets(a, c, n)
	}
	if v == nil {
		return false
	}
	some := func(is func(filter.Value) bool) bool { return slices.ContainsFunc(n.Values, is) }
	switch v := v.(type) {
	case string:
		first := textfold.Fold(n.Values[0].Text)
		switch n.Op {
		case filter.Contains:
			return strings.Contains(v, first)
		case filter.BeginsWith:
			return strings.HasPrefix(v, first)
		case filter.EndsWith:
			return strings.HasSuffix(v, first)
		}
		return some(func(one filter.Value) bool { return textfold.Fold(one.Text) == v })
	case *big.Rat:
		at := func(i int) int {
			r, _ := new(big.Rat).SetString(n.Values[i].Text)
			return v.Cmp(r)
		}
		switch n.Op {
		case filter.Greater:
			return at(0) > 0
		case filter.AtLeast:
			return at(0) >= 0
		case filter.Less:
			return at(0) < 0
		case filter.AtMost:
			return at(0) <= 0
		case filter.Between:
			return at(0) >= 0 && at(1) <= 0
		}
		for i := range n.Values {
			if at(i) == 0 {
				return true
			}
		}
		return false
	case bool:
		return v == n.Values[0].Bool
	case uuid.UUID:
		projects, desks := access.Assigned(a.Scope)
		return some(func(one filter.Value) bool {
			switch one.Ref {
			case "@me":
				return v == a.ID
			case "@my_projects":
				return slices.Contains(projects, v)
			case "@my_desks":
				return slices.Contains(desks, v)
			}
			return v == one.ID
		})
	case []string:
		has := func(one filter.Value) bool { return slices.Contains(v, one.Text) }
		if n.Op == filter.HasAll {
			return !slices.ContainsFunc(n.Values, func(one filter.Value) bool { return !has(one) })
		}
		return some(has)
	case time.Time:
		return m.meetsTime(v, n)
	}
	panic(fmt.Sprintf("%T", v))
}

// meetsTime compares a moment, or a day, which stands for its beginning, with periods.
func (m *model) meetsTime(v time.Time, n filter.Node) bool {
	days := n.Field.Type == filter.Date
	day := func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
	now := m.now
	if days {
		now = day(now)
	}
	switch n.Op {
	case filter.InLast:
		return v.After(now.AddDate(0, 0, -n.Values[0].Days)) && !v.After(now)
	case filter.InNext:
		return !v.Before(now) && v.Before(now.AddDate(0, 0, n.Values[0].Days))
	}
	// A period is [from, to), a moment [from, from].
	period := func(i int) (from, to time.Time, moment bool) {
		from, to = n.Values[i].Moment.Range(m.now)
		if moment = from.Equal(to); moment && days {
			from = day(from)
			return from, from.AddDate(0, 0, 1), false
		}
		return from, to, moment
	}
	from, to, moment := period(0)
	until := func(to time.Time, moment bool) bool { return v.Before(to) || moment && v.Equal(to) }
	switch n.Op {
	case filter.Before:
		return v.Before(from)
	case filter.OnOrBefore:
		return until(to, moment)
	case filter.After:
		return !until(to, moment)
	case filter.OnOrAfter:
		return !v.Before(from)
	case filter.Between:
		_, end, moment := period(1)
		return !v.Before(from) && until(end, moment)
	}
	return !v.Before(from) && until(to, moment)
}

// sortValue is what a client is sorted by: of a reference the name, of a text the
// beginning.
func (m *model) sortValue(c *modelClient, name string) any {
	v := m.value(c, name)
	named := func(names map[uuid.UUID]string) any {
		id, ok := v.(uuid.UUID)
		if s := textfold.Fold(names[id]); ok && s != "" {
			return s
		}
		return nil
	}
	switch name {
	case "project":
		return named(m.projects)
	case "desk":
		return named(m.desks)
	case "manager":
		return named(m.names)
	case "status":
		return big.NewRat(int64(slices.Index([]string{"lead", "active", "inactive"}, v.(string))), 1)
	}
	switch v := v.(type) {
	case string:
		if r := []rune(v); len(r) > longestSort && name != "name" {
			return string(r[:longestSort])
		}
	case []string:
		if name == "tags" {
			return strings.Join(v, " ")
		}
		b, _ := json.Marshal(v)
		return strings.ReplaceAll(string(b), ",", ", ") // as PostgreSQL writes it
	}
	return v
}

// order compares two clients by a sort, in which what is empty comes last.
func (m *model) order(keys []string, a, b *modelClient) int {
	down := false
	for i, key := range keys {
		down = strings.HasPrefix(key, "-")
		x, y := a.sorted[i], b.sorted[i]
		c := 0
		switch {
		case x == nil && y == nil:
			continue
		case x == nil:
			return 1
		case y == nil:
			return -1
		}
		switch x := x.(type) {
		case string:
			c = strings.Compare(x, y.(string))
		case *big.Rat:
			c = x.Cmp(y.(*big.Rat))
		case time.Time:
			c = x.Compare(y.(time.Time))
		case bool:
			if y.(bool) != x {
				c = -1
				if x {
					c = 1
				}
			}
		case uuid.UUID:
			c = strings.Compare(x.String(), y.(uuid.UUID).String())
		}
		if down {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	c := strings.Compare(a.id.String(), b.id.String())
	if down {
		c = -c
	}
	return c
}

// searched are the words by which a client is found.
func (c *modelClient) searched() []string {
	d := c.details
	var words []string
	add := func(texts ...string) {
		for _, s := range texts {
			words = append(words, textfold.Words(s)...)
		}
	}
	add(d.DisplayName)
	add(d.FirstName)
	add(d.MiddleName)
	add(d.LastName)
	add(d.Company)
	add(d.Email)
	add(d.Phone, textfold.Digits(d.Phone))
	add(textfold.Digits(d.PhoneE164))
	for _, e := range d.OtherEmails {
		add(e.Email)
	}
	for _, p := range d.OtherPhones {
		add(p.Number, textfold.Digits(p.Number), textfold.Digits(p.E164))
	}
	return words
}

// meant are the words that may have been meant, by what was typed.
func (m *model) meant(q string) map[string][]string {
	all := map[string][]string{}
	for _, term := range textfold.Terms(q) {
		var near []string
		for word := range m.words {
			if meantBy(term, word) && word >= ":" && len([]rune(word)) <= 32 {
				near = append(near, word)
			}
		}
		slices.SortFunc(near, func(a, b string) int { return cmp.Or(cmp.Compare(m.words[b], m.words[a]), strings.Compare(a, b)) })
		all[term] = near[:min(len(near), mostNear)]
	}
	return all
}

// found says how well a client is found: 0 by whole words, 1 by beginnings, 2 by what may
// have been meant, and -1 not at all.
func (m *model) found(c *modelClient, q string, meant map[string][]string) int {
	terms := textfold.Terms(q)
	if len(terms) == 0 {
		return -1
	}
	words := c.words
	worst := 0
	for _, term := range terms {
		best := 3
		near := meant[term]
		digits := strings.Trim(term, "0123456789") == "" && len(term) >= 4
		for _, word := range words {
			switch {
			case word == term:
				best = 0
			case strings.HasPrefix(word, term), digits && strings.Contains(word, term):
				best = min(best, 1)
			case slices.Contains(near, word):
				best = min(best, 2)
			}
		}
		worst = max(worst, best)
	}
	if number := textfold.Digits(q); worst > 1 && len(terms) > 1 && strings.Trim(q, "0123456789+-()./ ") == "" {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, number) }) {
			worst = 1
		}
	}
	if worst == 3 {
		return -1
	}
	return worst
}

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

// TestListModel asks for lists at random, and holds what comes to the model: which
// clients, in which order, page by page in both directions, how many, and of which kinds.
func TestListModel(t *testing.T) {
	t.Parallel()
	queries := 10_000
	if testing.Short() {
		queries = 500
	}
	seed, first := uint64(time.Now().UnixNano()), 0
	if again := os.Getenv("ANNALS_MODEL"); again != "" { // as in "1796027416506980256 437"
		if _, err := fmt.Sscan(again, &seed, &first); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	ms := newModels(t)
	m := &model{
		now: time.Date(2026, 6, 17, 12, 0, 0, 0, time.UTC), custom: modelCustom, words: map[string]int{},
		projects: map[uuid.UUID]string{nth(1): "Über", nth(2): "alpha", nth(3): "Zeta"},
		desks:    map[uuid.UUID]string{nth(1): "Sales", nth(2): "sales", nth(3): "Ärzte", nth(4): "Back"},
		names:    map[uuid.UUID]string{nth(1): "Zoë", nth(2): "", nth(3): "adam"},
	}
	ms.Now = func() time.Time { return m.now }
	ms.counting = time.Minute
	r := &drawn{rand.New(rand.NewPCG(seed, 1)), m}
	ms.fillModel(t, r)

	var again string
	defer func() {
		if t.Failed() {
			t.Log("again:", again)
		}
	}()
	for i := first; i < queries; i++ {
		r = &drawn{rand.New(rand.NewPCG(seed, uint64(i)+2)), m}
		again = fmt.Sprintf("ANNALS_MODEL='%d %d'", seed, i)
		ms.askModel(t, r)
	}
}

func (ms *models) fillModel(t *testing.T, r *drawn) {
	t.Helper()
	m := r.m
	for id, name := range m.projects {
		ms.exec(t, `insert into projects (id, name, name_key, default_desk_id, created_at, revision) values ($1, $2, $3, $1, now(), 0)`, id, name, textfold.Fold(name))
	}
	for id, name := range m.desks {
		ms.exec(t, `insert into desks (id, project_id, name, name_key, created_at, revision) values ($1, $1, $2, $3, now(), 0)`, id, name, textfold.Fold(name))
	}
	for id, name := range m.names {
		ms.exec(t, `insert into names (id, name, name_key) values ($1, $2, $3)`, id, name, textfold.Fold(name))
	}
	for key, typ := range m.custom {
		ms.exec(t, `insert into custom_fields (id, key, type, label, help, heading, ordinal, required, unique_values, options, created_at, updated_at)
			values (gen_random_uuid(), $1, $2, '', '', '', 0, false, not true, '[]', now(), current_timestamp)`, key, string(typ))
	}
	null := func(id domain.ID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != domain.ID{}} }
	for range 150 {
		c := r.client()
		m.clients = append(m.clients, c)
		d := c.details
		keys, words := projections.Derived(d)
		ms.exec(t, `insert into clients (id, type, first_name, middle_name, last_name, display_name, company, email, phone, city, region, country, status, status_at, status_reason,
				project_id, desk_id, manager_id, tags, deactivated_at, deactivation_reason, portal_access, portal_override, portal_signed_in_at, last_contacted_at, created_at, updated_at,
				since, revision, erased, keys, words)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $27, $28, $29,
				$30::jsonb || jsonb_strip_nulls(jsonb_build_object('status_reason', nullif($32::text, ''), 'deactivation_reason', nullif($33::text, ''))), $31)`,
			c.id, string(d.Type), d.FirstName, d.MiddleName, d.LastName, d.DisplayName, d.Company, d.Email, d.Phone, d.Address.City, d.Address.Region, d.Address.Country, string(c.status), c.statusAt, c.statusReason,
			null(c.place.Project), null(c.place.Desk), null(c.place.Manager), append([]string{}, c.tags...), c.deactivated, c.deactivationReason, c.portal, c.override, c.portalSignIn, c.contacted, c.created, c.updated,
			c.revision, c.erased, keys, words, textfold.Fold(c.statusReason), textfold.Fold(c.deactivationReason))
		ms.exec(t, `insert into client_times (client_id, updated_at, project_id, desk_id, manager_id) values ($1, $2, $3, $4, $5)`, c.id, c.updated, null(c.place.Project), null(c.place.Desk), null(c.place.Manager))
		for _, word := range c.searched() {
			m.words[word]++
		}
		if c.favourite {
			ms.exec(t, `insert into favourites (employee_id, client_id, starred_at) values ($1, $2, now())`, nth(1), c.id)
		}
	}
	ms.exec(t, "analyze clients")
}

// askModel asks one thing.
func (ms *models) askModel(t *testing.T, r *drawn) {
	t.Helper()
	m := r.m
	scope := func(most int) (ids []domain.ID) {
		for range r.IntN(4) {
			ids = append(ids, nth(1+r.IntN(most)))
		}
		return ids
	}
	a := someone(pick(r, domain.Everywhere, domain.Everywhere, domain.InProjects, domain.OnDesks, domain.Own), scope(3), scope(4))
	var req ClientsQuery
	req.Body.Limit = pick(r, 500, 500, 500, 500, 100, 50, 20, 7)
	var node filter.Node
	if r.IntN(4) > 0 {
		raw, _ := json.Marshal(r.filter(0))
		req.Body.Filter = raw
		var err error
		if node, err = filter.Parse("filter", raw, func(key string) (field.Type, bool) { t, ok := m.custom[key]; return t, ok }); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	if r.IntN(3) == 0 {
		req.Body.Q = r.search()
	}
	for range r.IntN(4) {
		name := pick(r, modelFields()...)
		if r.IntN(2) == 0 {
			name = pick(r, "name", "created_at", "updated_at", "status", "desk", "company")
		}
		if !slices.Contains(req.Body.Sort, name) && !slices.Contains(req.Body.Sort, "-"+name) {
			req.Body.Sort = append(req.Body.Sort, pick(r, "", "-")+name)
		}
	}
	keys, levelled := req.Body.Sort, false
	if len(keys) == 0 {
		if keys = []string{"-created_at"}; strings.TrimSpace(req.Body.Q) != "" && len(textfold.Terms(req.Body.Q)) > 0 {
			keys, levelled = []string{"-created_at"}, true
		}
	}
	var want []*modelClient
	level, meant := map[uuid.UUID]int{}, m.meant(req.Body.Q)
	for _, c := range m.clients {
		if !a.May(domain.ClientsView, c.place) || !m.meets(a, c, node) {
			continue
		}
		if strings.TrimSpace(req.Body.Q) != "" {
			if level[c.id] = m.found(c, req.Body.Q, meant); level[c.id] < 0 {
				continue
			}
		}
		want = append(want, c)
	}
	for _, c := range want {
		c.sorted = c.sorted[:0]
		for _, key := range keys {
			c.sorted = append(c.sorted, m.sortValue(c, strings.TrimPrefix(key, "-")))
		}
	}
	slices.SortFunc(want, func(x, y *modelClient) int {
		if c := cmp.Compare(level[x.id], level[y.id]); c != 0 && levelled {
			return c
		}
		return m.order(keys, x, y)
	})
	if r.IntN(4) == 0 {
		req.Body.Facets = []string{"status", "type", "active", "project", "desk", "manager", "tags"}
	}
	described := func() string {
		b, _ := json.Marshal(req.Body)
		return fmt.Sprintf("%s as %+v", b, a.Authority)
	}
	ctx := as(t, a)
	var got []uuid.UUID
	var last *clientPage
	for {
		page, err := ms.Query(ctx, &req)
		if err != nil {
			t.Fatalf("%s: %v", described(), err)
		}
		if page.Body.Total.Count != len(want) || !page.Body.Total.Exact {
			t.Fatalf("%s: %+v are counted, and it is %d", described(), page.Body.Total, len(want))
		}
		for _, item := range page.Body.Items {
			got = append(got, item.ID)
		}
		if req.Body.Facets != nil {
			m.checkFacets(t, want, page.Body.Facets, described())
		}
		last = page
		if req.Body.Cursor = page.Body.NextCursor; req.Body.Cursor == "" || len(got) > len(want) {
			break
		}
	}
	ids := make([]uuid.UUID, len(want))
	for i, c := range want {
		ids[i] = c.id
	}
	if !slices.Equal(got, ids) {
		t.Fatalf("%s: %d clients, want %d\n%s", described(), len(got), len(ids), m.difference(got, ids, keys))
	}
	// And back again, from the last page to the first.
	rest := got[:len(got)-len(last.Body.Items)]
	for back := last.Body.PrevCursor; back != ""; {
		req.Body.Cursor = back
		page, err := ms.Query(ctx, &req)
		if err != nil {
			t.Fatalf("%s: %v", described(), err)
		}
		n := len(page.Body.Items)
		if n == 0 || n > len(rest) {
			t.Fatalf("%s: %d on the way back, of %d", described(), n, len(rest))
		}
		for i, item := range page.Body.Items {
			if item.ID != rest[len(rest)-n+i] {
				t.Fatalf("%s: on the way back %s instead of %s", described(), item.ID, rest[len(rest)-n+i])
			}
		}
		rest, back = rest[:len(rest)-n], page.Body.PrevCursor
	}
	if len(rest) > 0 {
		t.Fatalf("%s: the way back ends %d before the beginning", described(), len(rest))
	}
}

func (m *model) difference(got, want []uuid.UUID, keys []string) string {
	by := map[uuid.UUID]*modelClient{}
	for _, c := range m.clients {
		by[c.id] = c
	}
	var out strings.Builder
	for i := range max(len(got), len(want)) {
		var g, w uuid.UUID
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w && out.Len() < 2000 {
			show := func(id uuid.UUID) string {
				c := by[id]
				if c == nil {
					return "nothing"
				}
				values := []any{id, c.details.Name()}
				for _, k := range keys {
					values = append(values, m.sortValue(c, strings.TrimPrefix(k, "-")))
				}
				return fmt.Sprint(values...)
			}
			fmt.Fprintf(&out, "%d: %s, want %s\n", i, show(g), show(w))
		}
	}
	return out.String()
}

func (m *model) checkFacets(t *testing.T, want []*modelClient, got map[string]facet, described string) {
	t.Helper()
	for name, f := range got {
		counts := map[string]int64{}
		for _, c := range want {
			v := m.value(c, name)
			if v == nil && name == "tags" {
				continue
			}
			if list, ok := v.([]string); ok {
				for _, one := range list {
					counts[one]++
				}
				continue
			}
			counts[fmt.Sprint(v)]++
		}
		found := map[string]int64{}
		for i, v := range f.Values {
			found[fmt.Sprint(v.Value)] = v.Count
			if i > 0 && f.Values[i-1].Count < v.Count {
				t.Fatalf("%s: %s is not sorted: %+v", described, name, f.Values)
			}
		}
		if !f.Exact || !reflect.DeepEqual(found, counts) {
			t.Fatalf("%s: %s has %v, want %v", described, name, found, counts)
		}
	}
}
