package domain

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestScope(t *testing.T) {
	if (Scope{}).Covers(ID{}, ID{}) || (Scope{}).Covers(ID{1}, ID{}) {
		t.Error("the zero scope covers something")
	}
	// A scope that grows never loses what it covered.
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.MapOf(rapid.Map(rapid.Byte(), func(b byte) ID { return ID{b % 4} }), rapid.Just(true))
		s := Scope{Projects: ids.Draw(t, "projects"), Desks: ids.Draw(t, "desks")}
		p, d := ID{rapid.ByteMax(3).Draw(t, "project")}, ID{rapid.ByteMax(3).Draw(t, "desk")}
		before := s.Covers(p, d)
		s.Projects[ID{9}], s.Desks[ID{9}] = true, true
		if s.Projects[p] = true; before && !s.Covers(p, d) {
			t.Fatal("a wider scope covers less")
		}
	})
}

// fewIDs are a few, so that those drawn independently often meet; the first is none.
var fewIDs = []ID{{}, {1}, {2}, {3}}

func anID(t *rapid.T, label string) ID { return rapid.SampledFrom(fewIDs).Draw(t, label) }

func someIDs(t *rapid.T, label string) []ID {
	return rapid.SliceOfDistinct(rapid.SampledFrom(fewIDs[1:]), rapid.ID[ID]).Draw(t, label)
}

var (
	someReach = rapid.SampledFrom([]Reach{Everywhere, InProjects, OnDesks, Own, Nothing})
	someScope = rapid.Custom(func(t *rapid.T) Scope { return ScopeOf(someIDs(t, "projects"), someIDs(t, "desks")) })
	somePlace = rapid.Custom(func(t *rapid.T) Place {
		return Place{Project: anID(t, "project"), Desk: anID(t, "desk"), Manager: anID(t, "manager")}
	})
	// someRights are of three permissions, nothing now and then written as such.
	someRights = rapid.Custom(func(t *rapid.T) Rights {
		r := Rights{}
		for _, p := range Permissions[:3] {
			if rapid.Bool().Draw(t, "has "+string(p)) {
				r[p] = someReach.Draw(t, string(p))
			}
		}
		return r
	})
)

// TestMay holds the rule of visibility against the sentences that describe it, each
// written out for itself.
func TestMay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Authority{ID: anID(t, "who"), Scope: someScope.Draw(t, "scope")}
		reach, at := someReach.Draw(t, "reach"), somePlace.Draw(t, "place")
		if reach != Nothing {
			a.Rights = Rights{ClientsView: reach}
		}
		worksFor := slices.Contains(slices.Collect(maps.Keys(a.Scope.Projects)), at.Project)
		worksOn := worksFor && slices.Contains(slices.Collect(maps.Keys(a.Scope.Desks)), at.Desk)
		none := ID{}
		want := map[string]bool{
			// Who is the manager of a client, and would still be taken as one.
			"own": a.ID != none && at.Manager == a.ID && (at.Desk == none && worksFor || at.Desk != none && worksOn),
			// Clients on assigned desks: one without a desk is on none.
			"desk":    at.Desk != none && worksOn,
			"project": worksFor,
			"all":     true,
		}
		switch reach { // each includes the shorter ones
		case Nothing:
			want = nil
		case Own:
			want = map[string]bool{"own": want["own"]}
		case OnDesks:
			want = map[string]bool{"own": want["own"], "desk": want["desk"]}
		case InProjects:
			delete(want, "all")
		case Everywhere:
		}
		may := slices.Contains(slices.Collect(maps.Values(want)), true)
		if got := a.May(ClientsView, at); got != may {
			t.Fatalf("%+v within %q: %v, want %v of %+v", at, reach, got, may, want)
		}
		if a.May(ClientsEdit, at) {
			t.Fatal("may do what they have no right to")
		}
		if project := at.Project; a.MayIn(ClientsView, project) != (reach == Everywhere || reach == InProjects && worksFor) {
			t.Fatalf("in project %v within %q: %v", project, reach, a.MayIn(ClientsView, project))
		}
	})
}

// TestMayBySentence is the same by examples.
func TestMayBySentence(t *testing.T) {
	me, other, retail, wholesale, north, south := ID{1}, ID{2}, ID{3}, ID{4}, ID{5}, ID{6}
	scope := ScopeOf([]ID{retail}, []ID{north})
	for _, c := range []struct {
		what string
		at   Place
		want [5]bool // within nothing, own, desk, project, all
	}{
		{"mine on my desk", Place{retail, north, me}, [5]bool{false, true, true, true, true}},
		{"a colleague's on my desk", Place{retail, north, other}, [5]bool{false, false, true, true, true}},
		{"nobody's on my desk", Place{retail, north, ID{}}, [5]bool{false, false, true, true, true}},
		{"mine without a desk", Place{retail, ID{}, me}, [5]bool{false, true, true, true, true}},
		{"a colleague's without a desk", Place{retail, ID{}, other}, [5]bool{false, false, false, true, true}},
		{"nobody's without a desk", Place{retail, ID{}, ID{}}, [5]bool{false, false, false, true, true}},
		{"mine on a desk that I have left", Place{retail, south, me}, [5]bool{false, false, false, true, true}},
		{"nobody's on another desk", Place{retail, south, ID{}}, [5]bool{false, false, false, true, true}},
		{"mine in a project that I have left", Place{wholesale, ID{}, me}, [5]bool{false, false, false, false, true}},
		{"on my desk, were it in another project", Place{wholesale, north, me}, [5]bool{false, false, false, false, true}},
		{"nowhere", Place{}, [5]bool{false, false, false, false, true}},
		{"mine, nowhere", Place{Manager: me}, [5]bool{false, false, false, false, true}},
	} {
		for reach, want := range c.want {
			a := Authority{ID: me, Rights: Rights{ClientsView: Reach(reach)}, Scope: scope}
			if got := a.May(ClientsView, c.at); got != want {
				t.Errorf("%s, within %q: %v", c.what, Reach(reach), got)
			}
			if a.ID = (ID{}); reach == int(Own) && a.May(ClientsView, c.at) {
				t.Errorf("%s is a key's own", c.what)
			}
		}
	}
	if (Authority{}).May(ClientsView, Place{}) || (Authority{}).MayIn(RolesManage, ID{}) {
		t.Error("the zero authority may something")
	}
	if !Root.May(ClientsErase, Place{}) || !Root.MayIn(RolesManage, ID{}) {
		t.Error("the system may not something")
	}
}

// TestLongerReach: whatever somebody may, they may as well with a longer reach, more
// assignments, or further rights.
func TestLongerReach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Authority{ID: anID(t, "who"), Rights: someRights.Draw(t, "rights"), Scope: someScope.Draw(t, "scope")}
		b := Authority{ID: a.ID, Rights: maps.Clone(a.Rights), Scope: ScopeOf(append(slices.Collect(maps.Keys(a.Scope.Projects)), anID(t, "more")), append(slices.Collect(maps.Keys(a.Scope.Desks)), anID(t, "more")))}
		for p, r := range someRights.Draw(t, "more") {
			b.Rights[p] = max(b.Rights[p], r)
		}
		at, p := somePlace.Draw(t, "place"), rapid.SampledFrom(Permissions[:3]).Draw(t, "permission")
		if a.May(p, at) && !b.May(p, at) || a.MayIn(p, at.Project) && !b.MayIn(p, at.Project) {
			t.Fatalf("%+v may %s at %+v, and %+v may not", a, p, at, b)
		}
		if a.MayIn(p, at.Project) && !a.May(p, at) {
			t.Fatalf("%+v may %s in a project, and not with its client %+v", a, p, at)
		}
	})
}

// TestRightsLaws: rights are ordered by what they permit; the narrower of two is the
// most that is within both, and the union the least that neither goes beyond.
func TestRightsLaws(t *testing.T) {
	lacks := func(a, b Rights) bool { _, is := a.Lacks(b); return is }
	same := func(a, b Rights) bool { return slices.Equal(a.Grants(), b.Grants()) }
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := someRights.Draw(t, "a"), someRights.Draw(t, "b"), someRights.Draw(t, "c")
		both, either := a.Within(b), RightsOf(append(a.Grants(), b.Grants()...)...)
		all := AllRights()
		for law, holds := range map[string]bool{
			"nobody lacks what they have":                  !lacks(a, a),
			"nobody lacks nothing":                         !lacks(a, nil) && !lacks(nil, nil),
			"who may everything lacks nothing":             !lacks(all, a),
			"who may nothing lacks all that there is":      lacks(nil, a) == (len(a.Grants()) > 0),
			"who lack nothing of each other have the same": lacks(a, b) || lacks(b, a) || same(a, b),
			"what is lacked of less is lacked of more":     lacks(b, c) || !lacks(a, c) || lacks(a, b),
			"what is within both lacks to neither":         !lacks(a, both) && !lacks(b, both),
			"and is the most that is so":                   lacks(a, c) || lacks(b, c) || !lacks(both, c),
			"within does not mind the order":               same(both, b.Within(a)),
			"nor how it is put together":                   same(both.Within(c), a.Within(b.Within(c))),
			"within oneself, or everything, is as before":  same(a.Within(a), a) && same(a.Within(all), a),
			"within nothing is nothing":                    len(a.Within(nil)) == 0 && len(Rights(nil).Within(a)) == 0,
			"the union lacks nothing of either":            !lacks(either, a) && !lacks(either, b),
			"and is the least that is so":                  lacks(c, a) || lacks(c, b) || !lacks(c, either),
			"a list of rights gives them again":            same(RightsOf(a.Grants()...), a),
		} {
			if !holds {
				t.Fatalf("%s: not so of %v, %v, %v", law, a, b, c)
			}
		}
		if g, is := a.Lacks(b); is && (b[g.Permission] != g.Reach || a[g.Permission] >= g.Reach) {
			t.Fatalf("%v lacks of %v: %v", a, b, g)
		}
	})
}

// TestScopeLaws: the same for assignments.
func TestScopeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := someScope.Draw(t, "a"), someScope.Draw(t, "b"), someScope.Draw(t, "c")
		both, before := a.Within(b), ScopeOf(slices.Collect(maps.Keys(a.Projects)), slices.Collect(maps.Keys(a.Desks)))
		at := somePlace.Draw(t, "place")
		switch {
		case !a.Holds(a) || !a.Holds(Scope{}) || !a.Holds(both) || !b.Holds(both):
			t.Fatalf("%v and %v do not hold %v", a, b, both)
		case a.Holds(c) && b.Holds(c) && !both.Holds(c):
			t.Fatalf("%v is not the most within %v and %v", both, a, b)
		case both.Covers(at.Project, at.Desk) != (a.Covers(at.Project, at.Desk) && b.Covers(at.Project, at.Desk)):
			t.Fatalf("%v covers something else than %v and %v do", both, a, b)
		case a.Holds(b) && b.Covers(at.Project, at.Desk) && !a.Covers(at.Project, at.Desk):
			t.Fatalf("%v holds %v and covers less", a, b)
		case !a.Holds(before) || !before.Holds(a):
			t.Fatal("it was changed")
		}
		if none := (Scope{}).Within(a); len(none.Projects)+len(none.Desks)+len(a.Within(Scope{}).Projects) > 0 {
			t.Fatal("something is within nothing")
		}
	})
}

// TestCheckRightsIn: what passes gives nobody who is assigned there anything that
// whoever gives it may not do there; and what they have where they are, they can give.
func TestCheckRightsIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		by := Authority{ID: ID{1}, Rights: someRights.Draw(t, "rights"), Scope: someScope.Draw(t, "scope")}
		gives, in := someRights.Draw(t, "gives"), someScope.Draw(t, "in")
		got := Authority{ID: ID{2}, Rights: gives, Scope: in}
		err := CheckRightsIn("roles", gives, in, by)
		if err == nil && CheckRights("roles", gives, by) != nil {
			t.Fatal("what goes further is given")
		}
		more := false // is there a place where it is more?
		for _, p := range Permissions[:3] {
			for _, project := range fewIDs {
				for _, desk := range fewIDs {
					for _, mine := range []bool{false, true} { // of one's own, or of somebody else
						at, his := Place{project, desk, ID{9}}, Place{project, desk, ID{9}}
						if mine {
							at.Manager, his.Manager = by.ID, got.ID
						}
						more = more || got.May(p, his) && !by.May(p, at)
					}
				}
			}
		}
		if err == nil && more {
			t.Fatalf("%+v gave %v in %v", by, gives, in)
		}
		if CheckRightsIn("roles", gives, in, Root) != nil {
			t.Fatal("the system may not give something")
		}
		if err := CheckRightsIn("roles", by.Rights, by.Scope, by); err != nil {
			t.Fatalf("%+v cannot give what they have where they are: %v", by, err)
		}
	})
}

func TestCheckGrants(t *testing.T) {
	by := Authority{Rights: Rights{ClientsView: OnDesks, ClientsEdit: Everywhere}}
	for _, c := range []struct {
		what   string
		grants []Grant
		want   string
	}{
		{"none", nil, ""},
		{"as far as one may", []Grant{{ClientsView, OnDesks}, {ClientsEdit, Everywhere}}, ""},
		{"not as far as one may", []Grant{{ClientsView, Own}, {ClientsEdit, OnDesks}}, ""},
		{"further", []Grant{{ClientsEdit, Own}, {ClientsView, InProjects}}, "f[1] not_yours"},
		{"what one may not do", []Grant{{ClientsErase, Own}}, "f[0] not_yours"},
		{"within nothing", []Grant{{ClientsErase, Nothing}}, "f[0].reach required"},
		{"beyond everywhere", []Grant{{ClientsEdit, Everywhere + 1}}, "f[0].reach required"},
		{"what there is not", []Grant{{"", Own}, {"Clients.view", Own}, {"clients.view ", Own}}, "f[0].permission unknown, f[1].permission unknown, f[2].permission unknown"},
		{"twice", []Grant{{ClientsView, Own}, {ClientsView, Own}}, "f[1].permission repeated"},
		{"twice, further", []Grant{{ClientsView, Own}, {ClientsView, Everywhere}}, "f[1].permission repeated"},
	} {
		var got []string
		for _, e := range All(CheckGrants("f", c.grants, by)) {
			got = append(got, e.Field+" "+e.Code)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// TestPermissions: the names are part of the API and of the log.
func TestPermissions(t *testing.T) {
	if sorted := slices.Sorted(slices.Values(Permissions)); len(slices.Compact(sorted)) != len(Permissions) || len(AllRights()) != len(Permissions) {
		t.Error("a permission is there twice")
	}
	in := `[{"permission":"clients.view","reach":"own"},{"permission":"clients.view","reach":"desk"},{"permission":"clients.view","reach":"project"},{"permission":"clients.view","reach":"all"}]`
	want := []Grant{{ClientsView, Own}, {ClientsView, OnDesks}, {ClientsView, InProjects}, {ClientsView, Everywhere}}
	var got []Grant
	if err := json.Unmarshal([]byte(in), &got); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%s = %v, %v", in, got, err)
	}
	if out, err := json.Marshal(got); string(out) != in || err != nil {
		t.Errorf("%v = %s, %v", got, out, err)
	}
	for _, bad := range []string{`""`, `"Own"`, `"everywhere"`, `1`, `"own "`} {
		if r := Reach(0); json.Unmarshal([]byte(bad), &r) == nil {
			t.Errorf("%s is taken for a reach", bad)
		}
	}
}

func TestIs(t *testing.T) {
	ann, bob := uuid.New(), uuid.New()
	for _, c := range []struct {
		who      Authority
		employee ID
		want     bool
	}{
		{Authority{ID: ann}, ann, true},
		{Authority{ID: ann}, bob, false},
		{Authority{Behalf: ann}, ann, true},
		{Authority{Behalf: ann}, bob, false},
		{Authority{}, ID{}, false},
		{Authority{ID: ann}, ID{}, false},
	} {
		if got := c.who.Is(c.employee); got != c.want {
			t.Errorf("%+v is %v: %v", c.who, c.employee, got)
		}
	}
}
