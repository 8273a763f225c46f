package commands_test

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/internal/apitest"
)

// TestBodies holds every operation with a body to the same reading of JSON.
func TestBodies(t *testing.T) {
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Bodies")
	c := a.Client(t, p, "Body")
	e := a.Employee(t, "Body", nil, nil)
	secret := "s3cret-that-nobody-echoes"
	for _, op := range []struct{ method, path string }{
		{"POST", "/api/v1/session"},
		{"POST", "/api/v1/projects"},
		{"POST", "/api/v1/desks"},
		{"POST", "/api/v1/employees"},
		{"POST", "/api/v1/employees/" + e.ID + "/assign"},
		{"POST", "/api/v1/clients"},
		{"PATCH", "/api/v1/clients/" + c},
		{"POST", "/api/v1/clients/" + c + "/assign"},
		{"POST", "/api/v1/clients/" + c + "/retag"},
		{"POST", "/api/v1/clients/" + c + "/status"},
		{"POST", "/api/v1/clients/" + c + "/deactivate"},
	} {
		for name, b := range map[string]struct {
			body   string
			status int
			code   string
			field  string
		}{
			"nothing":          {"", 400, "malformed", "body"},
			"white space":      {" \n", 400, "malformed", "body"},
			"no JSON":          {"name=" + secret, 400, "malformed", "body"},
			"cut short":        {`{"password":"` + secret, 400, "malformed", "body"},
			"trailing garbage": {`{} ` + secret, 400, "malformed", "body"},
			"two objects":      {`{}{}`, 400, "malformed", "body"},
			"a comma too many": {`{"name":"` + secret + `",}`, 400, "malformed", "body"},
			"a comment":        {`{} // no`, 400, "malformed", "body"},
			"not UTF-8":        {"{\"name\":\"\xff" + secret + "\"}", 400, "malformed", "body"},
			"twice":            {`{"x":"` + secret + `","x":2}`, 400, "malformed", "x"},
			"twice, escaped":   {`{"name":"` + secret + `","n\u0061me":2}`, 400, "malformed", "name"},
			"twice inside":     {`{"address":{"city":"a","city":"b"}}`, 400, "malformed", "address.city"},
			"twice in a list":  {`{"tags":[{},{"a":1,"a":2}]}`, 400, "malformed", "tags[1].a"},
			"too deep":         {`{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, 400, "malformed", "body"},
			"far too deep":     {strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), 400, "malformed", "body"},
			"null":             {"null", 422, "invalid", "body"},
			"a list":           {"[]", 422, "invalid", "body"},
			"a text":           {`"` + secret + `"`, 422, "invalid", "body"},
			"unknown field":    {`{"surprise":"` + secret + `"}`, 422, "invalid", ""},
		} {
			t.Run(op.method+" "+op.path+" "+name, func(t *testing.T) {
				r := a.Do(t, op.method, op.path, Raw(b.body))
				r.Problem(t, b.status, b.code)
				if got := r.Text("errors.0.field"); b.field != "" && got != b.field {
					t.Errorf("field %q, want %q", got, b.field)
				}
				if name == "unknown field" && !strings.Contains(string(r.Body), `"field":"surprise","code":"unknown_field"`) {
					t.Errorf("the unknown field is not named: %s", r.Body)
				}
				if strings.Contains(string(r.Body), secret) {
					t.Errorf("echoed: %s", r.Body)
				}
			})
		}
		t.Run(op.method+" "+op.path+" sizes", func(t *testing.T) {
			a.Do(t, op.method, op.path, Raw(`{"x":"`+strings.Repeat("x", 1<<20)+`"}`)).Problem(t, 413, "too_large")
			a.Do(t, op.method, op.path, Raw(`{"surprise":"`+strings.Repeat("x", 1<<20-15)+`"}`)).Problem(t, 422, "invalid") // all of 1 MiB
			chunked(t, a, op.method, op.path)
		})
		for _, mt := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/json; charset=latin1", "json", "/", "application/cbor"} {
			a.Do(t, op.method, op.path, Raw("{}"), "Content-Type", mt).Problem(t, 415, "media_type")
		}
	}
	for _, mt := range []string{"", "application/json", "application/json; charset=UTF-8", "APPLICATION/JSON"} {
		a.Do(t, "POST", "/api/v1/clients/"+c+"/retag", Raw(" {}\n"), "Content-Type", mt).Want(t, 200)
	}
	if got := a.Get(t, "/api/v1/clients/"+c).Text("revision"); got != "0" {
		t.Errorf("revision %s", got)
	}
}

// chunked sends more than is taken, without saying so beforehand.
func chunked(t *testing.T, u *apitest.User, method, path string) {
	t.Helper()
	body := io.MultiReader(strings.NewReader(`{"x":"`), io.LimitReader(xs{}, 2<<20), strings.NewReader(`"}`))
	req, err := http.NewRequestWithContext(t.Context(), method, u.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the server hung up while we were sending, which it may
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s %s: %s", method, path, res.Status)
	}
}

type xs struct{}

func (xs) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestFields(t *testing.T) {
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Fields")
	other := a.Project(t, "Other")
	d := a.Desk(t, p, "Sales")
	c := "/api/v1/clients/" + a.Client(t, p, "Field")
	e := "/api/v1/employees/" + a.Employee(t, "Field", nil, nil).ID
	long := func(n int) string { return strings.Repeat("ä", n) }
	many := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = uuid.NewString()
		}
		return out
	}
	client := func(more Map) Map {
		m := Map{"last_name": "X", "project_id": p}
		maps.Copy(m, more)
		return m
	}
	for name, x := range map[string]struct {
		path   string
		body   Map
		fields []string
	}{
		"project without name":        {"/api/v1/projects", Map{}, []string{"name"}},
		"project of spaces":           {"/api/v1/projects", Map{"name": " \u00a0 "}, []string{"name"}},
		"project of null":             {"/api/v1/projects", Map{"name": nil}, []string{"name"}},
		"project of a number":         {"/api/v1/projects", Map{"name": 5}, []string{"name"}},
		"project of a long name":      {"/api/v1/projects", Map{"name": long(201)}, []string{"name"}},
		"desk of nothing":             {"/api/v1/desks", Map{}, []string{"name", "project_id"}},
		"desk of no project":          {"/api/v1/desks", Map{"name": "x", "project_id": uuid.NewString()}, []string{"project_id"}},
		"desk of no id":               {"/api/v1/desks", Map{"name": "x", "project_id": "north"}, []string{"project_id"}},
		"desk of null":                {"/api/v1/desks", Map{"name": "x", "project_id": nil}, []string{"project_id"}},
		"desk of the zero id":         {"/api/v1/desks", Map{"name": "x", "project_id": uuid.Nil.String()}, []string{"project_id"}},
		"employee of nothing":         {"/api/v1/employees", Map{}, []string{"name", "email"}},
		"employee of a bad address":   {"/api/v1/employees", Map{"name": "x", "email": "x"}, []string{"email"}},
		"employee of a short one":     {"/api/v1/employees", Map{"name": "x", "email": "x@y.z", "password": "1234567"}, []string{"password"}},
		"employee of a long one":      {"/api/v1/employees", Map{"name": "x", "email": "x@y.z", "password": long(200)}, []string{"password"}},
		"employee of a huge one":      {"/api/v1/employees", Map{"name": "x", "email": "x@y.z", "password": long(300)}, []string{"password"}},
		"employee of no such role":    {"/api/v1/employees", Map{"name": "x", "email": "x@y.z", "roles": []string{"agent", "god"}}, []string{"roles[1]"}},
		"employee of many roles":      {"/api/v1/employees", Map{"name": "x", "email": "x@y.z", "roles": many(51)}, []string{"roles"}},
		"employee of everything":      {"/api/v1/employees", Map{"name": "", "email": "x", "password": "x", "roles": []string{"x"}}, []string{"name", "email", "password", "roles[0]"}},
		"assigned to no project":      {e + "/assign", Map{"projects": many(1)}, []string{"projects"}},
		"assigned to many":            {e + "/assign", Map{"projects": many(1001)}, []string{"projects"}},
		"assigned to no id":           {e + "/assign", Map{"projects": []string{"x"}}, []string{"projects[0]"}},
		"assigned to a text":          {e + "/assign", Map{"projects": p}, []string{"projects"}},
		"assigned to a desk alone":    {e + "/assign", Map{"desks": []string{d}}, []string{"desks"}},
		"assigned to a foreign desk":  {e + "/assign", Map{"projects": []string{other}, "desks": []string{d}}, []string{"desks"}},
		"client of nothing":           {"/api/v1/clients", Map{}, []string{"project_id"}},
		"client of a project alone":   {"/api/v1/clients", Map{"project_id": p}, []string{"last_name"}},
		"client of no project":        {"/api/v1/clients", client(Map{"project_id": uuid.NewString()}), []string{"project_id"}},
		"client of no type":           {"/api/v1/clients", client(Map{"type": "robot"}), []string{"type"}},
		"client of no status":         {"/api/v1/clients", client(Map{"status": "gone"}), []string{"status"}},
		"client of a bad address":     {"/api/v1/clients", client(Map{"address": "Varna"}), []string{"address"}},
		"client of a bad city":        {"/api/v1/clients", client(Map{"address": Map{"city": 5}}), []string{"address.city"}},
		"client of a long city":       {"/api/v1/clients", client(Map{"address": Map{"city": long(101)}}), []string{"address.city"}},
		"client of an unknown inside": {"/api/v1/clients", client(Map{"address": Map{"planet": "x"}}), []string{"address.planet"}},
		"client of faults all over":   {"/api/v1/clients", client(Map{"email": "x", "phone": "x", "website": "x x", "address": Map{"city": long(101)}}), []string{"email", "phone", "website", "address.city"}},
		"client of many tags":         {"/api/v1/clients", client(Map{"tags": many(101)}), []string{"tags"}},
		"client of an empty tag":      {"/api/v1/clients", client(Map{"tags": []string{"a", " "}}), []string{"tags[1]"}},
		"client of a long tag":        {"/api/v1/clients", client(Map{"tags": []string{long(51)}}), []string{"tags[0]"}},
		"client of a foreign desk":    {"/api/v1/clients", client(Map{"project_id": other, "desk_id": d}), []string{"desk_id"}},
		"client of no manager":        {"/api/v1/clients", client(Map{"manager_id": uuid.NewString()}), []string{"manager_id"}},
		"client with an id":           {"/api/v1/clients", client(Map{"id": uuid.NewString()}), []string{"id"}},
		"client in another case":      {"/api/v1/clients", client(Map{"Last_Name": "x"}), []string{"Last_Name"}},
		"tags of a text":              {c + "/retag", Map{"add": "x"}, []string{"add"}},
		"tags of numbers":             {c + "/retag", Map{"add": []int{1}}, []string{"add[0]"}},
		"tags both ways":              {c + "/retag", Map{"add": []string{"x"}, "remove": []string{"x"}}, []string{"remove"}},
		"too many tags":               {c + "/retag", Map{"add": many(101)}, []string{"add"}},
		"status of nothing":           {c + "/status", Map{}, []string{"status"}},
		"status of null":              {c + "/status", Map{"status": nil}, []string{"status"}},
		"status of another":           {c + "/status", Map{"status": "Lead"}, []string{"status"}},
		"deactivate without reason":   {c + "/deactivate", Map{}, []string{"reason"}},
		"deactivate of spaces":        {c + "/deactivate", Map{"reason": " "}, []string{"reason"}},
		"deactivate of much":          {c + "/deactivate", Map{"reason": long(1001)}, []string{"reason"}},
		"sign in with nothing":        {"/api/v1/session", Map{}, []string{"email", "password"}},
		"sign in with numbers":        {"/api/v1/session", Map{"email": 5, "password": 5}, []string{"email", "password"}},
		"sign in with much":           {"/api/v1/session", Map{"email": long(255), "password": long(257)}, []string{"email", "password"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := a.Do(t, "POST", x.path, x.body).Problem(t, 422, "invalid", x.fields...)
			for i := range r.List("errors") {
				in := r.At("errors").([]any)[i].(Map)
				if in["code"] == "" || in["message"] == "" || in["code"] == "invalid" {
					t.Errorf("fault %v", in)
				}
			}
		})
	}
	// Null stands for nothing where nothing may stand.
	a.Client(t, p, "Null", Map{
		"desk_id": nil, "manager_id": nil, "status": nil, "tags": nil, "email": nil, "address": nil, "type": nil, "first_name": nil,
	})
}

func TestPaths(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	for _, path := range []string{"/", "/api", "/api/v1", "/api/v1/", "/api/v2/clients", "/api/v1/clients/", "/api/v1/nothing", "/api/v1/clients/" + uuid.NewString() + "/nothing"} {
		a.Get(t, path).Problem(t, 404, "not_found")
	}
	for path, allow := range map[string]string{
		"/api/v1/clients":                                    "GET, POST",
		"/api/v1/clients/" + uuid.NewString():                "GET, PATCH",
		"/api/v1/clients/" + uuid.NewString() + "/retag":     "POST",
		"/api/v1/session":                                    "POST, DELETE",
		"/api/v1/employees/" + uuid.NewString() + "/nothing": "",
	} {
		r := a.Do(t, "PUT", path, nil)
		if allow == "" {
			r.Problem(t, 404, "not_found")
			continue
		}
		if r.Problem(t, 405, "method_not_allowed"); r.Header.Get("Allow") != allow {
			t.Errorf("%s allows %q, want %q", path, r.Header.Get("Allow"), allow)
		}
	}
	if r := a.Do(t, "HEAD", "/api/openapi.json", nil); r.Status != 200 || len(r.Body) != 0 {
		t.Errorf("HEAD: %d %s", r.Status, r.Body)
	}
	for _, id := range []string{"x", "1", "../../etc/passwd", "%00", "%ff", uuid.NewString() + "0", "%27%20or%201=1", strings.Repeat("a", 5000)} {
		for _, path := range []string{"/api/v1/clients/", "/api/v1/projects/", "/api/v1/desks/", "/api/v1/employees/"} {
			if r := a.Get(t, path+id); r.Status != 422 && r.Status != 404 && r.Status != 400 {
				t.Errorf("%s: %d %s", r.Request, r.Status, r.Body)
			}
		}
		if r := a.Post(t, "/api/v1/clients/"+id+"/retag", Map{}); r.Status != 422 && r.Status != 404 && r.Status != 400 && r.Status != 405 {
			t.Errorf("%s: %d %s", r.Request, r.Status, r.Body)
		}
	}
	a.Get(t, "/api/v1/clients/x").Problem(t, 422, "invalid", "id")
	for _, path := range []string{"/api/v1/clients/", "/api/v1/clients/%s/history", "/api/v1/clients/%s/replay", "/api/v1/projects/", "/api/v1/desks/", "/api/v1/employees/"} {
		if !strings.Contains(path, "%s") {
			path += "%s"
		}
		if r := a.Get(t, strings.Replace(path, "%s", uuid.NewString(), 1)); r.Status != 404 || !strings.HasSuffix(r.Text("code"), ".absent") {
			t.Errorf("%s: %d %s", r.Request, r.Status, r.Body)
		}
	}
	a.Get(t, "/api/v1/clients?q=%zz").Problem(t, 400, "malformed", "query")
	a.Get(t, "/api/v1/clients?project_id=x").Problem(t, 422, "invalid", "project_id")
}
