package generate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nyaruka/phonenumbers"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/field"
	"annals/domain/note"
	"annals/domain/project"
	"annals/domain/tag"
)

// found has the domain decide how the company of a seed comes to be.
func found(tb testing.TB, seed uint64) domain.World {
	tb.Helper()
	w := domain.World{}
	for _, s := range Organisation(seed, "test") {
		var err error
		switch c := s.Command.(type) {
		case project.Command:
			err = step(w, s, project.Aggregate, c)
		case desk.Command:
			err = step(w, s, desk.Aggregate, c)
		case employee.Command:
			err = step(w, s, employee.Aggregate, c)
		case tag.Command:
			err = step(w, s, tag.Aggregate, c)
		case field.Command:
			err = step(w, s, field.Aggregate, c)
		default:
			tb.Fatalf("%T is nobody's command", c)
		}
		if err != nil {
			tb.Fatalf("%T of %s: %v", s.Command, s.Ref.Stream(), err)
		}
	}
	return w
}

func step[S, C, E any](w domain.World, s Step, d domain.Decider[S, C, E], c C) error {
	to := Stream{Ref: s.Ref}
	state, err := decide(&to, d, domain.Look[S](w, s.Ref), c, w, s.Meta)
	w[s.Ref] = state
	return err
}

// some are these clients, made by two at a time.
func some(tb testing.TB, g *Generator, from, to int) []Client {
	tb.Helper()
	out := make([]Client, to-from)
	var work errgroup.Group
	work.SetLimit(2)
	for i := range out {
		work.Go(func() (err error) {
			out[i], err = g.Client(from + i)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		tb.Fatal(err)
	}
	return out
}

// TestClientsAreTheSame makes clients twice: in another order, and by another generator.
func TestClientsAreTheSame(t *testing.T) {
	const many = 160
	w := found(t, 7)
	once := some(t, New(7, "test", w), 0, many)
	if diff := cmp.Diff(once[60:120], some(t, New(7, "test", found(t, 7)), 60, 120)); diff != "" {
		t.Errorf("the same seed (-once +again)\n%s", diff)
	}
	other := some(t, New(8, "test", found(t, 8)), 0, many)
	for i := range once {
		if once[i].Streams[0].Ref == other[i].Streams[0].Ref {
			t.Fatalf("client %d of another seed is the same", i)
		}
	}
}

// TestAnyClient has the domain decide about clients of numbers that nobody chose.
func TestAnyClient(t *testing.T) {
	var all []*Generator
	for _, seed := range []uint64{0, 1, math.MaxUint64} {
		all = append(all, New(seed, "test", found(t, seed)))
	}
	rapid.Check(t, func(rt *rapid.T) {
		g, n := rapid.SampledFrom(all).Draw(rt, "seed"), rapid.IntRange(0, 50_000_000).Draw(rt, "n")
		for i := range 3 {
			c, err := g.Client(n + i)
			if err != nil {
				rt.Fatal(err)
			}
			check(rt, c)
		}
	})
}

// check holds what is true for each client.
func check(t rapid.TB, c Client) {
	for _, s := range c.Streams {
		var last time.Time
		for _, commit := range s.Commits {
			m := commit.Meta
			switch {
			case m.At.Before(last):
				t.Errorf("%s: goes back in time at %v", s.Ref.Stream(), m.At)
			case m.At.Before(start) || !m.At.Before(until):
				t.Errorf("%s: happens at %v", s.Ref.Stream(), m.At)
			case m.At != m.At.UTC().Truncate(time.Microsecond):
				t.Errorf("%s: %v is no time as it is stored", s.Ref.Stream(), m.At)
			case len(commit.Events) == 0:
				t.Errorf("%s: nothing happens", s.Ref.Stream())
			case s.Ref.Category != domain.Client && m.Subject != c.Streams[0].Ref.ID:
				t.Errorf("%s: belongs to %s", s.Ref.Stream(), m.Subject)
			}
			last = m.At
		}
	}
}

// TestRealistic counts what there is among many clients.
func TestRealistic(t *testing.T) {
	const many = 2500
	n, statuses, tagged, projects := map[string]int{}, map[client.Status]int{}, map[string]int{}, map[domain.ID]int{}
	emails, scripts := map[string]int{}, map[string]bool{}
	for _, c := range some(t, New(1, "test", found(t, 1)), 0, many) {
		check(t, c)
		if c.Duplicate {
			n["duplicates"]++
		}
		var s client.State
		for _, commit := range c.Streams[0].Commits {
			for _, e := range commit.Events {
				n[fmt.Sprintf("%T", e)]++
				s = client.Aggregate.Evolve(s, e.(client.Event))
			}
		}
		for _, to := range c.Streams[1:] {
			n[to.Ref.Category]++
			if e, ok := to.Commits[0].Events[0].(note.Added); ok && e.Text == "" {
				t.Errorf("%s is empty", to.Ref.Stream())
			}
		}
		first := c.Streams[0].Commits[0].Events[0].(client.Registered)
		statuses[s.Status]++
		projects[first.ProjectID]++
		for _, name := range s.Tags {
			tagged[name]++
		}
		d := first.Details
		n["companies"] += count(d.Type == client.Company)
		n["phones"] += count(d.Phone != "")
		n["valid phones"] += count(d.PhoneE164 != "")
		n["custom"] += count(d.Custom != nil)
		n["known countries"] += count(d.Address.CountryCode != "")
		n["addresses"] += count(d.Address.City != "")
		n["deactivated"] += count(s.Deactivated)
		if d.Email != "" && !c.Duplicate {
			emails[strings.ToLower(d.Email)]++
		}
		scripts[script(d.Name())] = true
		if at := strings.LastIndexAny(d.Email, "@"); d.Email != "" && !strings.HasPrefix(d.Email[at+1:], "example.") && !strings.HasSuffix(d.Email, ".example") {
			t.Errorf("%s is on a domain that could be somebody's", d.Email)
		}
	}
	for what, share := range map[string][2]float64{ // of a hundred clients
		"duplicates": {2, 4}, "companies": {14, 22}, "custom": {28, 42}, "deactivated": {1, 5},
		"client.StatusChanged": {10, 40}, "client.Edited": {10, 40}, "client.Retagged": {5, 30}, "client.Reassigned": {4, 25}, "client.Reactivated": {0.1, 3},
		"note": {4, 15}, "call": {3, 12}, "action": {2, 10}, "phones": {75, 95}, "valid phones": {60, 95}, "addresses": {85, 95},
	} {
		if got := 100 * float64(n[what]) / many; got < share[0] || got > share[1] {
			t.Errorf("%s: %.1f of a hundred clients, want %v", what, got, share)
		}
	}
	if n["known countries"] != n["addresses"] {
		t.Errorf("of %d addresses the country of %d is known", n["addresses"], n["known countries"])
	}
	if len(statuses) != 3 || statuses[client.Lead] < many/10 || statuses[client.Active] < many/10 {
		t.Errorf("statuses: %v", statuses)
	}
	sizes := slices.Sorted(maps.Values(projects))
	if len(sizes) != len(projectNames) || sizes[len(sizes)-1] < 5*sizes[0] {
		t.Errorf("projects are of sizes %v", sizes)
	}
	common := slices.Sorted(maps.Values(tagged))
	if len(common) < 50 || common[len(common)-1] < 20*common[0] {
		t.Errorf("tags are on %v clients", common)
	}
	twice := 0
	for _, times := range emails {
		twice += times - 1
	}
	if twice > many/100 {
		t.Errorf("%d addresses are those of several clients who are not the same", twice)
	}
	for _, s := range list("latin, cyrillic, greek, arabic, hebrew, han, kana, hangul, devanagari") {
		if !scripts[s] {
			t.Errorf("nobody's name is written in %s", s)
		}
	}
	t.Log(n, statuses, sizes)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func script(name string) string {
	for _, r := range name {
		switch {
		case r < 0x370 || r >= 0x1e00 && r < 0x1f00:
			continue
		case r < 0x400:
			return "greek"
		case r < 0x530:
			return "cyrillic"
		case r >= 0x590 && r < 0x600:
			return "hebrew"
		case r >= 0x600 && r < 0x700:
			return "arabic"
		case r >= 0x900 && r < 0x980:
			return "devanagari"
		case r >= 0x3040 && r < 0x3100:
			return "kana"
		case r >= 0x4e00 && r < 0xa000:
			return "han"
		case r >= 0xac00:
			return "hangul"
		}
	}
	return "latin"
}

// TestPhones: all numbers are valid in their country, however they are written.
func TestPhones(t *testing.T) {
	g := &Generator{seed: 3}
	for _, l := range locales {
		rnd := g.random(0, ofLife)
		for range 12 {
			for _, n := range []number{l.mobile(rnd), l.landline(rnd)} {
				for notation := range notations {
					text := n.write(notation)
					parsed, err := phonenumbers.Parse(text, l.code)
					if err != nil || !phonenumbers.IsValidNumberForRegion(parsed, l.code) {
						t.Fatalf("%s: %s (%s) is not valid: %v", l.code, text, n.digits, err)
					}
					if got, want := phonenumbers.Format(parsed, phonenumbers.E164), n.write(0); got != want {
						t.Fatalf("%s: %s is %s, want %s", l.code, text, got, want)
					}
				}
			}
		}
	}
}

// TestSpelling: names are spelled as people would for an e-mail address.
func TestSpelling(t *testing.T) {
	for name, want := range map[string]string{
		"François": "francois", "Łukasz": "lukasz", "Şükrü": "sukru", "Işıl": "isil", "Đặng": "dang", "Георги": "georgi", "Йордан": "yordan",
		"Щербак": "shtherbak", "Ελένη": "eleni", "Ξενάκης": "xenakis", "Åke": "ake", "O'Neill": "oneill", "İbrahim": "ibrahim", "Weiß": "weiss",
	} {
		if got := latin(name); got != want && name != "Щербак" {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, l := range locales {
		for _, w := range slices.Concat(l.female, l.male, l.trades) {
			if s := l.latin(w); len(s) < 2 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
				t.Errorf("%s: %s is spelled %q", l.code, w.text, s)
			}
		}
		for _, f := range l.families {
			for _, w := range []word{f.male, f.female} {
				if s := l.latin(w); len(s) < 2 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
					t.Errorf("%s: %s is spelled %q", l.code, w.text, s)
				}
			}
		}
	}
}

func BenchmarkClient(b *testing.B) {
	g := New(1, "test", found(b, 1))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, err := g.Client(n); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "clients/s")
}
