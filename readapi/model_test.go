package readapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/field"
	"annals/domain/filter"
	"annals/internal/access"
	"annals/internal/textfold"
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
