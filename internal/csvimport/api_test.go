package csvimport_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/csvimport"
)

const (
	project = "0f0e0d0c-0b0a-4908-8706-050403020100"
	token   = "a-token"
)

// northwind maps the columns of the sample.
var northwind = map[string]string{
	"company": "CompanyName", "last_name": "ContactName", "email": "Email", "phone": "Phone",
	"address.street": "Address", "address.city": "City", "address.region": "Region",
	"address.postal_code": "PostalCode", "address.country": "Country",
}

// api is the import's side of the HTTP API, with the rules of the domain and an
// idempotency store. The whole of it is tried in cmd/annals.
type api struct {
	*httptest.Server

	before func(w http.ResponseWriter, r *http.Request) (done bool) // called first, if not nil

	mu       sync.Mutex
	done     map[string]bool // by idempotency key
	accepted []client.Register
	forget   bool // keep no commands
	calls    int
}

type there struct{}

func (there) Exists() bool { return true }

func newAPI(tb testing.TB) *api {
	tb.Helper()
	a := &api{done: map[string]bool{}}
	a.Server = httptest.NewServer(a)
	tb.Cleanup(a.Close)
	return a
}

func (a *api) client() csvimport.Client { return csvimport.Client{URL: a.URL, Token: token} }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.calls++
	a.mu.Unlock()
	if a.before != nil && a.before(w, r) {
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/api/v1/clients" || r.Header.Get("Content-Type") != "application/json" {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		problem(w, http.StatusUnauthorized, "the token is not valid")
		return
	}
	key := r.Header.Get("Idempotency-Key")
	var c client.Register
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil || len(key) != len("import-")+32 {
		problem(w, http.StatusBadRequest, "body or key")
		return
	}
	a.mu.Lock()
	replayed := a.done[key]
	a.mu.Unlock()
	if !replayed {
		world := domain.World{{Category: domain.Project, ID: c.ProjectID}: there{}}
		_, err := client.Aggregate.Decide(client.State{}, c, world, domain.Meta{By: domain.Root})
		if err != nil {
			problem(w, http.StatusUnprocessableEntity, "", domain.All(err)...)
			return
		}
		a.mu.Lock()
		a.done[key] = true
		if !a.forget {
			a.accepted = append(a.accepted, c)
		}
		a.mu.Unlock()
	} else {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"id":"5b0e8c3e-0000-4000-8000-000000000000","revision":0,"position":"1"}`)
}

func problem(w http.ResponseWriter, status int, detail string, faults ...*domain.Error) {
	type fault struct {
		Field   string `json:"field"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	p := struct {
		Title  string  `json:"title"`
		Status int     `json:"status"`
		Detail string  `json:"detail,omitempty"`
		Errors []fault `json:"errors,omitempty"`
	}{Title: http.StatusText(status), Status: status, Detail: detail}
	for _, f := range faults {
		p.Errors = append(p.Errors, fault{f.Field, f.Code, f.Msg})
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}
