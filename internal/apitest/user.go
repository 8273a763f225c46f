package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// Map is a JSON object.
type Map = map[string]any

// User is somebody at the API. The zero token is nobody.
type User struct {
	*System
	Token, ID, Email string
	After            string // position of the last command, which reads wait for
}

// At is the same user at another process.
func (u *User) At(s *System) *User {
	v := *u
	v.System = s
	return &v
}

// Raw is a body that is sent as it is.
type Raw string

// Do sends a request with a body, nil for none, and headers as name, value, name,
// value. The answer has been held against the OpenAPI document.
func (u *User) Do(tb testing.TB, method, path string, body any, headers ...string) *Response {
	tb.Helper()
	var in io.Reader
	switch body := body.(type) {
	case nil:
	case Raw:
		in = strings.NewReader(string(body))
	default:
		raw, err := json.Marshal(body)
		if err != nil {
			tb.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(tb.Context(), method, u.URL+path, in)
	if err != nil {
		tb.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if u.Token != "" {
		req.Header.Set("Authorization", "Bearer "+u.Token)
	}
	if u.After != "" && method == http.MethodGet {
		req.Header.Set("Annals-After", u.After)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	r := &Response{Request: method + " " + path, Status: res.StatusCode, Header: res.Header, Body: raw}
	for _, complaint := range u.contract.complaints(req, r) {
		tb.Errorf("%s: %s\n%s", r.Request, complaint, r.Body)
	}
	return r
}

// Get reads.
func (u *User) Get(tb testing.TB, path string, headers ...string) *Response {
	tb.Helper()
	return u.Do(tb, http.MethodGet, path, nil, headers...)
}

// Post carries out a command. Reads of this user wait for what it did.
func (u *User) Post(tb testing.TB, path string, body any, headers ...string) *Response {
	tb.Helper()
	return u.command(tb, http.MethodPost, path, body, headers...)
}

// Patch edits.
func (u *User) Patch(tb testing.TB, path string, body any, headers ...string) *Response {
	tb.Helper()
	return u.command(tb, http.MethodPatch, path, body, headers...)
}

// Put sets.
func (u *User) Put(tb testing.TB, path string, body any, headers ...string) *Response {
	tb.Helper()
	return u.command(tb, http.MethodPut, path, body, headers...)
}

// Delete removes.
func (u *User) Delete(tb testing.TB, path string, body any, headers ...string) *Response {
	tb.Helper()
	return u.command(tb, http.MethodDelete, path, body, headers...)
}

func (u *User) command(tb testing.TB, method, path string, body any, headers ...string) *Response {
	tb.Helper()
	r := u.Do(tb, method, path, body, headers...)
	if at := r.Header.Get("Annals-Position"); at != "" {
		u.After = at
	}
	return r
}

// Create carries out a command that has to make something, and returns its id.
func (u *User) Create(tb testing.TB, path string, body any) string {
	tb.Helper()
	r := u.Post(tb, path, body)
	r.Want(tb, http.StatusCreated)
	return r.Text("id")
}

// Project makes a project.
func (u *User) Project(tb testing.TB, name string) string {
	tb.Helper()
	return u.Create(tb, "/api/v1/projects", Map{"name": name})
}

// Desk makes a desk.
func (u *User) Desk(tb testing.TB, project, name string) string {
	tb.Helper()
	return u.Create(tb, "/api/v1/desks", Map{"project_id": project, "name": name})
}

// Client makes a client of the last name, with what else is given.
func (u *User) Client(tb testing.TB, project, name string, more ...Map) string {
	tb.Helper()
	body := Map{"last_name": name, "project_id": project}
	for _, m := range more {
		maps.Copy(body, m)
	}
	return u.Create(tb, "/api/v1/clients", body)
}

// Password signs in who [User.EmployeeWithPassword] makes.
const Password = "tr0ub4dor and 3" //nolint:gosec // of nobody

// Employee makes an agent with assignments and a session.
func (u *User) Employee(tb testing.TB, name string, projects, desks []string) *User {
	tb.Helper()
	return u.employee(tb, Map{"name": name}, projects, desks)
}

// EmployeeAs is [User.Employee] with other roles.
func (u *User) EmployeeAs(tb testing.TB, name string, roles, projects, desks []string) *User {
	tb.Helper()
	return u.employee(tb, Map{"name": name, "roles": list(roles)}, projects, desks)
}

// EmployeeWithPassword is [User.Employee], who can sign in again.
func (u *User) EmployeeWithPassword(tb testing.TB, name string, projects, desks []string) *User {
	tb.Helper()
	return u.employee(tb, Map{"name": name, "password": Password}, projects, desks)
}

func (u *User) employee(tb testing.TB, body Map, projects, desks []string) *User {
	tb.Helper()
	body["email"] = strings.ToLower(strings.ReplaceAll(body["name"].(string), " ", ".")) + "-" + uuid.NewString()[:8] + "@example.com"
	if body["roles"] == nil {
		body["roles"] = []string{"agent"}
	}
	e := &User{System: u.System, ID: u.Create(tb, "/api/v1/employees", body), Email: body["email"].(string)}
	if len(projects) > 0 {
		u.Assign(tb, e.ID, projects, desks)
	}
	e.After = u.After
	return e.Session(tb)
}

// Assign sets what an employee works for.
func (u *User) Assign(tb testing.TB, id string, projects, desks []string) {
	tb.Helper()
	u.Post(tb, "/api/v1/employees/"+id+"/assign", Map{"projects": list(projects), "desks": list(desks)}).Want(tb, http.StatusOK)
}

func list(ids []string) []string { return append([]string{}, ids...) }

// Response is an answer.
type Response struct {
	Request string
	Status  int
	Header  http.Header
	Body    []byte
}

// Want ends the test if the status is another one.
func (r *Response) Want(tb testing.TB, status int) *Response {
	tb.Helper()
	if r.Status != status {
		tb.Fatalf("%s: status %d, want %d\n%s", r.Request, r.Status, status, r.Body)
	}
	return r
}

// Problem ends the test unless the answer is a problem of that status and code and,
// if given, with faults of exactly these fields in any order.
func (r *Response) Problem(tb testing.TB, status int, code string, fields ...string) *Response {
	tb.Helper()
	r.Want(tb, status)
	if got := r.Text("code"); got != code {
		tb.Fatalf("%s: code %q, want %q\n%s", r.Request, got, code, r.Body)
	}
	if len(fields) > 0 {
		got := map[string]bool{}
		for _, e := range r.List("errors") {
			got[fmt.Sprint(e.(Map)["field"])] = true
		}
		for _, f := range fields {
			if !got[f] {
				tb.Fatalf("%s: no fault of %s\n%s", r.Request, f, r.Body)
			}
		}
		if len(got) != len(fields) {
			tb.Fatalf("%s: faults %v, want %v\n%s", r.Request, got, fields, r.Body)
		}
	}
	return r
}

// JSON is the answer as JSON.
func (r *Response) JSON() Map {
	var m Map
	if err := json.Unmarshal(r.Body, &m); err != nil {
		return nil
	}
	return m
}

// At is a value of the answer by its path, as in project.name or items.0.id.
func (r *Response) At(path string) any {
	var v any = r.JSON()
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case Map:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// Text is a value of the answer as text.
func (r *Response) Text(path string) string {
	switch v := r.At(path).(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// List is a list of the answer.
func (r *Response) List(path string) []any {
	l, _ := r.At(path).([]any)
	return l
}

// Column is one field of every item of a list.
func (r *Response) Column(field string) []string {
	out := []string{}
	for i := range r.List("items") {
		out = append(out, r.Text(fmt.Sprintf("items.%d.%s", i, field)))
	}
	return out
}
