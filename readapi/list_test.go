package readapi_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"annals/internal/apitest"
	"annals/internal/textfold"
)

// shop is a project with clients of all kinds, most with something left empty.
type shop struct {
	u       *apitest.User
	project string
	list    string // path of its clients
	ids     []string
}

func newShop(t *testing.T, s *apitest.System) *shop {
	t.Helper()
	a := s.Admin(t)
	p := a.Project(t, "Shop")
	sh := &shop{u: a, project: p, list: "/api/v1/clients?project=" + p}
	desks := []string{a.Desk(t, p, "Beta"), a.Desk(t, p, "alpha")}
	managers := []string{a.Employee(t, "zoe", []string{p}, desks).ID, a.Employee(t, "Adam", []string{p}, desks).ID}
	for i, m := range []Map{
		{"first_name": "Ann", "last_name": "Zimmer", "email": "ann@example.com", "company": "beta"},
		{"first_name": "ann", "last_name": "zimmer", "email": "ANN@example.org", "address": Map{"city": "Ulm", "street": "a"}},
		{"last_name": "Ångström", "phone": "555 1", "status": "active", "desk_id": desks[0]},
		{"last_name": "Angstrom", "phone": "555 2", "status": "inactive", "desk_id": desks[1], "manager_id": managers[0]},
		{"type": "company", "company": "Alpha", "website": "alpha.example", "tags": []string{"b", "a"}},
		{"type": "company", "company": "alpha", "address": Map{"city": "ulm", "country": "DE", "region": "BW", "postal_code": "89073"}},
		{"first_name": "Émile", "middle_name": "Q", "email": "emile@example.com", "manager_id": managers[1], "status": "active"},
		{"first_name": "emile", "middle_name": "q", "manager_id": managers[1], "desk_id": desks[0], "website": "b.example"},
		{"last_name": "O'Hara, \"x\" \\ %_", "company": "100%_safe\\"},
		{"last_name": "李"},
	} {
		m["project_id"] = p
		if m["type"] == nil && m["last_name"] == nil {
			m["type"] = "person"
		}
		sh.ids = append(sh.ids, a.Create(t, "/api/v1/clients", m))
		if i%3 == 0 {
			a.Post(t, "/api/v1/clients/"+sh.ids[i]+"/retag", Map{"add": []string{"third"}}).Want(t, 200)
		}
	}
	a.Post(t, "/api/v1/clients/"+sh.ids[1]+"/deactivate", Map{"reason": "x"}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+sh.ids[6]+"/deactivate", Map{"reason": "x"}).Want(t, 200)
	return sh
}

// sortKeys is how a column of an item is compared: empty for what comes last.
var sortKeys = map[string]func(item Map) string{
	"name": func(m Map) string { return textfold.Fold(m["name"].(string)) },
	"status": func(m Map) string {
		return map[string]string{"lead": "1", "active": "2", "inactive": "3"}[m["status"].(string)]
	},
	"revision": func(m Map) string {
		return fmt.Sprintf("%010d", int(m["revision"].(float64)))
	},
}

func sortKey(column string, item Map) string {
	if f := sortKeys[column]; f != nil {
		return f(item)
	}
	switch column {
	case "street", "city", "region", "postal_code", "country":
		column = "address." + column
	case "project", "desk", "manager":
		column += ".name"
	}
	var v any = item
	for name := range strings.SplitSeq(column, ".") {
		in, _ := v.(Map)
		v = in[name]
	}
	if v == nil {
		return ""
	}
	return textfold.Fold(fmt.Sprint(v))
}

// sorted checks that items are in the order of a sort.
func sorted(t *testing.T, sort string, items []any) {
	t.Helper()
	for i := 1; i < len(items); i++ {
		a, b := items[i-1].(Map), items[i].(Map)
		order := 0
		for column := range strings.SplitSeq(sort, ",") {
			column, down := strings.CutPrefix(column, "-")
			x, y := sortKey(column, a), sortKey(column, b)
			switch {
			case x == y:
				continue
			case x == "":
				order = 1
			case y == "":
				order = -1
			case down:
				order = cmp.Compare(y, x)
			default:
				order = cmp.Compare(x, y)
			}
			break
		}
		byID := cmp.Compare(a["id"].(string), b["id"].(string))
		if sort[strings.LastIndex(sort, ",")+1] == '-' {
			byID = -byID
		}
		if order = cmp.Or(order, byID); order >= 0 {
			t.Errorf("sorted by %s, %v\ncomes before %v", sort, a, b)
		}
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	sh := newShop(t, s)
	columns := []string{
		"name", "type", "first_name", "middle_name", "last_name", "company", "email", "phone", "website", "street", "city", "region", "postal_code",
		"country", "address.street", "address.city", "address.region", "address.postal_code", "address.country", "status", "project", "desk",
		"manager", "deactivated_at", "created_at", "updated_at", "revision",
	}
	sorts := []string{}
	for _, c := range columns {
		sorts = append(sorts, c, "-"+c)
	}
	sorts = append(sorts, "status,-name", "-status,name", "manager,desk,-created_at", "-company,city,-email,phone", "type,-status,-desk,manager,city,-email,phone,website")
	for _, sort := range sorts {
		all := sh.u.Get(t, sh.list+"&sort="+sort).Want(t, 200)
		if len(all.List("items")) != len(sh.ids) {
			t.Fatalf("%s: %s", sort, all.Body)
		}
		sorted(t, sort, all.List("items"))
		// Page by page it is the same.
		var paged []string
		for cursor := ""; ; {
			r := sh.u.Get(t, sh.list+"&limit=3&sort="+sort+"&cursor="+cursor).Want(t, 200)
			paged = append(paged, r.Column("id")...)
			if r.At("total.count") != float64(len(sh.ids)) {
				t.Errorf("%s: total %v", sort, r.At("total"))
			}
			if cursor = r.Text("next_cursor"); cursor == "" {
				break
			}
		}
		if !slices.Equal(paged, all.Column("id")) {
			t.Errorf("%s: by pages %v, at once %v", sort, paged, all.Column("id"))
		}
	}
	newest := sh.u.Get(t, sh.list).Column("id")
	if !slices.Equal(newest, sh.u.Get(t, sh.list+"&sort=-created_at").Column("id")) || newest[0] != sh.ids[len(sh.ids)-1] {
		t.Errorf("without a sort: %v", newest)
	}
}

func TestSortNames(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	for _, sort := range []string{"nothing", "Name", "name;drop table clients", "name desc", "status.name", "--name", "-", ",", "name,", "name,,email", "c.name", strings.TrimSuffix(strings.Repeat("name,", 9), ",")} {
		a.Get(t, "/api/v1/clients?sort="+url.QueryEscape(sort)).Problem(t, 422, "invalid", "sort")
	}
	a.Get(t, "/api/v1/clients?sort="+url.QueryEscape("-status, name")).Want(t, 200)
	for _, limit := range []string{"0", "-1", "501", "x", "1e2", "99999999999999999999", "1.5"} {
		a.Get(t, "/api/v1/clients?limit="+limit).Problem(t, 422, "invalid", "limit")
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	sh := newShop(t, s)
	for _, limit := range []int{1, 2, len(sh.ids) - 1, len(sh.ids), len(sh.ids) + 1, 500} {
		seen, pages := 0, 0
		for cursor := ""; ; pages++ {
			r := sh.u.Get(t, fmt.Sprintf("%s&limit=%d&cursor=%s", sh.list, limit, cursor)).Want(t, 200)
			seen += len(r.List("items"))
			if len(r.List("items")) > limit {
				t.Errorf("%d items of %d", len(r.List("items")), limit)
			}
			if cursor = r.Text("next_cursor"); cursor == "" {
				break
			}
		}
		if want := (len(sh.ids) - 1) / limit; seen != len(sh.ids) || pages != want {
			t.Errorf("limit %d: %d items, %d cursors instead of %d", limit, seen, pages, want)
		}
	}
	if r := sh.u.Get(t, sh.list+"&q=nobodyatall").Want(t, 200); string(mustJSON(r.At("items"))) != "[]" || r.At("next_cursor") != nil {
		t.Errorf("nothing: %s", r.Body)
	}
	// The longest values that there can be still make a cursor that is taken back.
	long := Map{
		"first_name": strings.Repeat("漢", 100), "last_name": strings.Repeat("字", 100), "company": strings.Repeat("社", 200), "project_id": sh.project,
		"address": Map{"street": strings.Repeat("街", 200), "city": strings.Repeat("市", 100), "region": strings.Repeat("州", 100), "country": strings.Repeat("国", 100)},
	}
	sh.u.Create(t, "/api/v1/clients", long)
	long["first_name"] = "x"
	sh.u.Create(t, "/api/v1/clients", long)
	by := "&limit=1&sort=-last_name,first_name,company,street,city,region,country,name"
	first := sh.u.Get(t, sh.list+"&q="+url.QueryEscape(strings.Repeat("社", 200))+by).Want(t, 200)
	second := sh.u.Get(t, sh.list+"&q="+url.QueryEscape(strings.Repeat("社", 200))+by+"&cursor="+first.Text("next_cursor")).Want(t, 200)
	if len(second.List("items")) != 1 || second.Text("items.0.first_name") != strings.Repeat("漢", 100) {
		t.Errorf("%s", second.Body)
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// What does not change itself is visited once, however much changes around it.
func TestPagesWhileChanging(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Changing")
	var still, moving []string
	for i := range 12 {
		still = append(still, a.Client(t, p, fmt.Sprintf("M%02d", i)))
		moving = append(moving, a.Client(t, p, fmt.Sprintf("Z%02d", i)))
	}
	seen := map[string]int{}
	step := 0
	for cursor := ""; ; step++ {
		r := a.Get(t, "/api/v1/clients?sort=last_name&limit=5&project="+p+"&cursor="+cursor).Want(t, 200)
		for _, id := range r.Column("id") {
			seen[id]++
		}
		if cursor = r.Text("next_cursor"); cursor == "" {
			break
		}
		for i, id := range moving { // to the front and back to the end, and new ones at both
			if i%5 == step%5 {
				a.Patch(t, "/api/v1/clients/"+id, Map{"last_name": fmt.Sprintf("%c%02d", "AZ"[(step+1)%2], i)}).Want(t, 200)
			}
		}
		if step < 5 {
			a.Client(t, p, fmt.Sprintf("A-new%02d", step))
			a.Client(t, p, fmt.Sprintf("Zz-new%02d", step))
		}
	}
	for _, id := range still {
		if seen[id] != 1 {
			t.Errorf("%s was visited %d times", id, seen[id])
		}
	}
}

func TestCursors(t *testing.T) {
	s := apitest.Shared(t)
	sh := newShop(t, s)
	real := sh.u.Get(t, sh.list+"&limit=2&sort=name,created_at").Text("next_cursor")
	raw, err := base64.RawURLEncoding.DecodeString(real)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(s string, v ...any) string {
		return base64.RawURLEncoding.EncodeToString(mustJSON(Map{"s": s, "v": v}))
	}
	id := sh.ids[0]
	for name, c := range map[string]struct{ sort, cursor string }{
		"garbage":            {"name,created_at", "garbage"},
		"not base64":         {"name,created_at", "%21%21"},
		"not JSON":           {"name,created_at", base64.RawURLEncoding.EncodeToString([]byte("{"))},
		"JSON of else":       {"name,created_at", base64.RawURLEncoding.EncodeToString([]byte(`[1]`))},
		"null":               {"name,created_at", base64.RawURLEncoding.EncodeToString([]byte(`null`))},
		"cut short":          {"name,created_at", real[:len(real)-5]},
		"of another sort":    {"name", real},
		"of no sort":         {"", real},
		"too few values":     {"name,created_at", forged("name,created_at", "a", id)},
		"too many values":    {"name,created_at", forged("name,created_at", "a", "2026-01-01", "x", id)},
		"no id":              {"name,created_at", forged("name,created_at", "a", "2026-01-01", nil)},
		"a bad id":           {"name,created_at", forged("name,created_at", "a", "2026-01-01", "x")},
		"a bad time":         {"name,created_at", forged("name,created_at", "a", "yesterday'; drop table x", id)},
		"a time far away":    {"name,created_at", forged("name,created_at", "a", "99999999-01-01", id)},
		"numbers":            {"name,created_at", forged("name,created_at", 1, 2, 3)},
		"objects":            {"name,created_at", forged("name,created_at", Map{}, Map{}, Map{})},
		"a bad number":       {"revision", forged("revision", "1 or 1=1", id)},
		"a number too large": {"revision", forged("revision", "99999999999999999999999", id)},
		"a zero byte":        {"email", forged("email", "a\x00b", id)},
		"a bad status":       {"status", forged("status", "lead", id)},
		"much":               {"name", strings.Repeat("A", 20001)},
	} {
		t.Run(name, func(t *testing.T) {
			sh.u.Get(t, sh.list+"&sort="+c.sort+"&cursor="+c.cursor).Problem(t, 422, "invalid", "cursor")
		})
	}
	// A cursor holds values and not a right: with those of somebody else one still sees only what is one's own.
	nobody := sh.u.Employee(t, "No Body", nil, nil)
	if r := nobody.Get(t, sh.list+"&sort=name,created_at&cursor="+real).Want(t, 200); len(r.List("items")) != 0 {
		t.Errorf("%s", r.Body)
	}
	if !json.Valid(raw) {
		t.Errorf("cursor %s", raw)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "P"), a.Project(t, "Q")
	d, e := a.Desk(t, p, "D"), a.Desk(t, q, "E")
	m := a.Employee(t, "Em", []string{p, q}, []string{d, e}).ID
	n := a.Employee(t, "En", []string{p}, []string{d}).ID
	names := map[string]string{}
	for name, more := range map[string]Map{
		"one":   {"desk_id": d, "manager_id": m, "status": "lead", "tags": []string{"red", "blue"}},
		"two":   {"desk_id": d, "manager_id": n, "status": "active", "tags": []string{"red"}},
		"three": {"status": "inactive", "tags": []string{"Red Wine", "ä"}},
		"four":  {"manager_id": m},
	} {
		names[a.Client(t, p, name, more)] = name
	}
	names[a.Client(t, q, "five", Map{"desk_id": e, "manager_id": m, "status": "active"})] = "five"
	ids := map[string]string{}
	for id, name := range names {
		ids[name] = id
	}
	a.Post(t, "/api/v1/clients/"+ids["two"]+"/deactivate", Map{"reason": "x"}).Want(t, 200)
	all := "project=" + p + "&project=" + q
	for filter, want := range map[string]string{
		all:                                  "five four one three two",
		"project=" + p:                       "four one three two",
		"project=" + q:                       "five",
		"project=" + strings.ToUpper(q):      "five",
		"project=" + p + "&desk=" + e:        "",
		all + "&desk=" + d:                   "one two",
		all + "&desk=" + d + "&desk=" + e:    "five one two",
		all + "&desk=none":                   "four three",
		all + "&desk=none&desk=" + e:         "five four three",
		all + "&manager=" + m:                "five four one",
		all + "&manager=" + m + "&desk=none": "four",
		all + "&manager=none":                "three",
		all + "&manager=none&manager=" + n:   "three two",
		all + "&status=lead":                 "four one",
		all + "&status=active&status=lead":   "five four one two",
		all + "&tag=red":                     "one two",
		all + "&tag=blue&tag=%C3%A4":         "one three",
		all + "&tag=Red+Wine":                "three",
		all + "&tag=+Red++Wine+":             "three",
		all + "&tag=a%CC%88":                 "three",
		all + "&tag=re":                      "",
		all + "&tag=r%25d":                   "",
		all + "&active=true":                 "five four one three",
		all + "&active=false":                "two",
		all + "&q=o":                         "one",
		all + "&q=t&status=active":           "two",
		all + "&desk=&status=":               "five four one three two",
	} {
		r := a.Get(t, "/api/v1/clients?"+filter).Want(t, 200)
		var got []string
		for _, id := range r.Column("id") {
			got = append(got, names[id])
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want || r.Text("total.count") != strconv.Itoa(len(got)) {
			t.Errorf("%s: %v of %s, want %s", filter, got, r.Text("total.count"), want)
		}
	}
	testSpans(t, a, "project="+p, ids["one"])
}

// testSpans: from is included, to is not; of a day, all of it counts.
func testSpans(t *testing.T, a *apitest.User, all, id string) {
	t.Helper()
	a.Post(t, "/api/v1/clients/"+id+"/status", Map{"status": "inactive"}).Want(t, 200)
	record := a.Get(t, "/api/v1/clients/"+id)
	for _, column := range []string{"created", "updated"} {
		at := record.Text(column + "_at")
		day := at[:10]
		for span, want := range map[string]bool{
			column + "_from=" + at:                                                       true,
			column + "_to=" + at:                                                         false,
			column + "_from=" + day:                                                      true,
			column + "_to=" + day:                                                        true,
			column + "_from=" + day + "&" + column + "_to=" + day:                        true,
			column + "_from=2000-01-01":                                                  true,
			column + "_to=2000-01-01":                                                    false,
			column + "_from=2100-01-01":                                                  false,
			column + "_from=2100-01-01&" + column + "_to=2000-01-01":                     false,
			column + "_to=2100-01-01T00:00:00Z":                                          true,
			column + "_from=" + url.QueryEscape("2000-01-01T00:00:00.000001+14:00"):      true,
			column + "_from=0001-01-01&" + column + "_to=9999-12-31":                     true,
			column + "_to=" + url.QueryEscape(strings.Replace(at, "Z", "-01:00", 1)):     true,
			column + "_from=" + url.QueryEscape(strings.Replace(at, "Z", "-01:00", 1)):   false,
			column + "_from=" + url.QueryEscape(strings.Replace(at, "Z", "+01:00", 1)):   true,
			column + "_to=" + url.QueryEscape(strings.Replace(at, "Z", "+01:00", 1)):     false,
			column + "_from=" + at + "&" + column + "_to=" + "2100-01-01T00:00:00.5Z":    true,
			column + "_from=" + at + "&" + column + "_to=" + at:                          false,
			"created_from=2000-01-01&updated_from=2000-01-01&created_to=" + day + "&q=1": false,
		} {
			r := a.Get(t, "/api/v1/clients?"+all+"&"+span).Want(t, 200)
			if got := slices.Contains(r.Column("id"), id); got != want {
				t.Errorf("%s: %v", span, got)
			}
		}
	}
}

func TestBadFilters(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	many := func(name, value string) string { return strings.Repeat("&"+name+"="+value, 101)[1:] }
	zero := "00000000-0000-0000-0000-000000000000"
	for query, field := range map[string]string{
		"project=x": "project", "project=none%00": "project", "desk=x": "desk", "desk=none&desk=%27": "desk", "manager=me": "manager",
		"status=gone": "status", "status=Lead": "status", "status=lead&status=%00": "status", "active=yes": "active",
		"created_from=yesterday": "created_from", "created_to=2026-13-01": "created_to", "updated_from=2026-02-30": "updated_from",
		"updated_to=1": "updated_to", "created_from=2026-01-01T25:00:00Z": "created_from", "created_to=2026-01-01%00": "created_to",
		"q=%00": "q", "q=a%00b": "q", "q=%ff": "q", "q=" + strings.Repeat("x", 201): "q", "tag=%00": "tag", "tag=%ff": "tag", "tag=" + strings.Repeat("x", 51): "tag",
		many("project", zero): "project", many("tag", "x"): "tag", many("status", "lead"): "status", many("desk", "none"): "desk",
		"name=x": "name", "Q=x": "Q", "offset=5": "offset", "project[]=" + zero: "project[]",
	} {
		a.Get(t, "/api/v1/clients?"+query).Problem(t, 422, "invalid", field)
	}
	for path, field := range map[string]string{
		"/api/v1/desks?project=x": "project", "/api/v1/employees?project=x": "project", "/api/v1/employees?desk=x": "desk", "/api/v1/projects?name=x": "name",
		"/api/v1/projects?sort=email": "sort", "/api/v1/projects?cursor=x": "cursor", "/api/v1/clients/" + zero + "/history?sort=at": "sort",
		"/api/v1/clients/" + zero + "/replay?revision=-2": "revision", "/api/v1/clients/" + zero + "/replay?revision=x": "revision",
		"/api/v1/clients/" + zero + "/replay?as_of=x": "as_of",
	} {
		a.Get(t, path).Problem(t, 422, "invalid", field)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Search")
	names := map[string]string{}
	for name, m := range map[string]Map{
		"garcia": {"first_name": "José María", "last_name": "García Núñez", "email": "Jose.Garcia@Example.com", "phone": "(5) 555-4729"},
		"straße": {"last_name": "Groß", "company": "Straßenbau Łódź GmbH & Co. KG", "phone": "+49 (0)30 12.34/56"},
		"meta":   {"last_name": "100%_safe", "company": `back\slash`},
		"plain":  {"last_name": "100xxsafe", "company": "backslash", "email": "plain_text@example.org"},
		"kanji":  {"type": "company", "company": "株式会社 漢字"},
		"ohara":  {"last_name": "O'Hara; drop table clients; --"},
		"ﬁsh":    {"last_name": "Ｆｕｌｌ Ｗｉｄｔｈ", "company": "ﬁsh"},
	} {
		m["project_id"] = p
		names[a.Create(t, "/api/v1/clients", m)] = name
	}
	for q, want := range map[string]string{
		"García": "garcia", "garcia": "garcia", "GARCÍA": "garcia", "gArCi": "garcia", "arc": "", "gracia": "garcia", "garciaa": "garcia", "granz": "", "Garci\u0301a": "garcia",
		"jose garcia": "garcia", "garcia jose": "garcia", " nunez   maria ": "garcia", "jose nobody": "",
		"jose.garcia@example.com": "garcia", "@example.com": "garcia", "@EXAMPLE": "garcia plain",
		"5554729": "garcia", "555-4729": "garcia", "(5) 555-4729": "garcia", "555 4729": "garcia", "555.4729": "garcia", "55-54-729": "garcia",
		"4729": "garcia", "(5)5554729": "garcia", "+5-555-4729": "garcia", "555-4720": "",
		"strasse": "straße", "STRASSEN": "straße", "lodz": "straße", "gross": "straße", "GmbH & Co.": "straße", "123456": "straße", "030123456": "straße", "12/34-56": "straße",
		"100%": "meta plain", "%": "", "_": "", "100%_safe": "meta", `\`: "", `back\slash`: "meta", "100__safe": "meta", "100xxsafe": "plain", "%%": "", "_%": "",
		"株式": "kanji", "漢字": "kanji", "株式会社 漢字": "kanji",
		"o'hara": "ohara", "ohara": "ohara", "hara": "ohara", "'": "", "drop table": "ohara", "--": "", "; --": "",
		"full width": "ﬁsh", "fish": "ﬁsh", "ＦＵＬＬ": "ﬁsh",
		"": "all", "   ": "all",
	} {
		r := a.Get(t, "/api/v1/clients?project="+p+"&q="+url.QueryEscape(q)).Want(t, 200)
		var got []string
		for _, id := range r.Column("id") {
			got = append(got, names[id])
		}
		slices.Sort(got)
		if want == "all" {
			if len(got) != len(names) {
				t.Errorf("%q finds %v", q, got)
			}
			continue
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q finds %v, want %s", q, got, want)
		}
	}
	// What is edited is found by its new words only.
	id := a.Client(t, p, "Before", Map{"phone": "111 222"})
	a.Patch(t, "/api/v1/clients/"+id, Map{"last_name": "After", "phone": nil}).Want(t, 200)
	for q, want := range map[string]int{"before": 0, "after": 1, "111222": 0} {
		if r := a.Get(t, "/api/v1/clients?project="+p+"&q="+q); len(r.List("items")) != want {
			t.Errorf("%s: %s", q, r.Body)
		}
	}
}
