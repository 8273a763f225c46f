package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/eventlog"
)

const secret = "s3cret-of-somebody"

// serve runs an operation whose handler is h, for which the token "good" is good.
func serve(t *testing.T, h func(context.Context, *input) (*output, error)) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	var logs bytes.Buffer
	router := mux.NewRouter()
	api := New(router, Config{
		Version: "1", Logger: slog.New(slog.NewTextHandler(&logs, nil)),
		Authenticate: func(_ context.Context, token string) (*access.Actor, error) {
			switch token {
			case "good":
				return &access.Actor{Who: uuid.New()}, nil
			case "away":
				return nil, fmt.Errorf("session: %w", &pgconn.PgError{Code: "57P01", Message: "terminating connection"})
			}
			return nil, domain.Errorf(domain.Unauthorized, "token", "the token is not valid")
		},
	})
	Handle(api, Op{ID: "op", Method: http.MethodPost, Path: "/op/{id}", Summary: "Something", Tag: "things"}, h)
	Handle(api, Op{ID: "open", Method: http.MethodGet, Path: "/open", Summary: "Something open", Tag: "things", Anyone: true},
		func(ctx context.Context, _ *struct{}) (*struct{}, error) { _, err := h(ctx, nil); return nil, err })
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	return server, &logs
}

type input struct {
	ID   uuid.UUID `path:"id"`
	Body struct {
		Name string `json:"name" maxLength:"5"`
		Deep struct {
			Number int `json:"number" minimum:"1" maximum:"3"`
		} `json:"deep"`
		Trees []tree `json:"trees,omitempty"`
	}
}

// tree is within itself, as a filter is.
type tree struct {
	And []tree `json:"and,omitempty"`
	Or  []tree `json:"or,omitempty"`
	Not *tree  `json:"not,omitempty"`
}

type output struct {
	Body struct {
		Name string `json:"name"`
	}
}

func do(t *testing.T, server *httptest.Server, method, path, token, body string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Status, res.Header}, string(raw)
}

// answer is a response without its body.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
}

const good = `{"name":"x","deep":{"number":1}}`

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		logged bool
	}{
		"invalid":      {domain.Fault("name", "taken", "is taken"), 422, "invalid", false},
		"several":      {errors.Join(domain.Fault("a.b", "x", "y"), domain.Fault("c", "x", "y")), 422, "invalid", false},
		"not found":    {domain.Errorf(domain.NotFound, "thing.absent", "gone"), 404, "thing.absent", false},
		"conflict":     {domain.Errorf(domain.Conflict, "c", "x"), 409, "c", false},
		"forbidden":    {domain.Errorf(domain.Forbidden, "f", "x"), 403, "f", false},
		"unauthorized": {domain.Errorf(domain.Unauthorized, "u", "x"), 401, "u", false},
		"precondition": {domain.Errorf(domain.Precondition, "p", "x"), 412, "p", false},
		"too many":     {domain.Errorf(domain.TooMany, "m", "x"), 429, "m", false},
		"too large":    {domain.Errorf(domain.TooLarge, "l", "x"), 413, "l", false},
		"unavailable":  {domain.Errorf(domain.Unavailable, "a", "x"), 503, "a", false},
		"wrapped":      {fmt.Errorf("while: %w", domain.Errorf(domain.Conflict, "c", "x")), 409, "c", false},
		"a bug":        {errors.New("nil map of " + secret), 500, "internal", true},
		"log away":     {fmt.Errorf("read %s: %w", secret, eventlog.ErrUnavailable), 503, "log_unavailable", true},
		"log unknown":  {errors.Join(eventlog.ErrUnknown, errors.New(secret)), 503, "outcome_unknown", true},
		"log deleted":  {fmt.Errorf("read: %w", eventlog.ErrDeleted), 404, "deleted", false},
		"erased":       {fmt.Errorf("append: %w", eventlog.ErrErased), 409, "erased", false},
		"log large":    {fmt.Errorf("append: %w", eventlog.ErrTooLarge), 413, "too_large", false},
		"timeout":      {fmt.Errorf("list: %w", context.DeadlineExceeded), 503, "timeout", true},
		"db connect":   {fmt.Errorf("list: %w", &pgconn.ConnectError{}), 503, "database_unavailable", true},
		"db shutdown":  {fmt.Errorf("list: %w", &pgconn.PgError{Code: "57P01", Message: secret}), 503, "database_unavailable", true},
		"db gone":      {fmt.Errorf("list: %w", io.ErrUnexpectedEOF), 503, "database_unavailable", true},
		"db bug":       {fmt.Errorf("list: %w", &pgconn.PgError{Code: "42601", Message: secret}), 500, "internal", true},
	} {
		t.Run(name, func(t *testing.T) {
			server, logs := serve(t, func(context.Context, *input) (*output, error) { return nil, c.err })
			res, body := do(t, server, "POST", "/op/"+uuid.NewString(), "good", good)
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != c.status || p.Status != c.status || p.Code != c.code || p.Detail == "" || p.Title == "" || res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %v %s", res.Status, res.Header, body)
			}
			if strings.Contains(body, secret) {
				t.Errorf("told: %s", body)
			}
			if (logs.Len() > 0) != c.logged || c.logged && (p.Trace == "" || !strings.Contains(logs.String(), p.Trace) || res.Header.Get("Request-Id") != p.Trace) {
				t.Errorf("trace %s, logged %s", p.Trace, logs)
			}
			if retry := res.Header.Get("Retry-After") != ""; retry != (c.status == 503 || c.status == 429) {
				t.Errorf("Retry-After %v", retry)
			}
			if asks := res.Header.Get("Www-Authenticate") != ""; asks != (c.status == 401) {
				t.Errorf("WWW-Authenticate %v", asks)
			}
		})
	}
}

func TestPanics(t *testing.T) {
	server, logs := serve(t, func(context.Context, *input) (*output, error) { panic(secret) })
	for range 2 { // and it goes on
		res, body := do(t, server, "POST", "/op/"+uuid.NewString(), "good", good)
		if res.StatusCode != http.StatusInternalServerError || strings.Contains(body, secret) || !strings.Contains(body, `"code":"internal"`) || !strings.Contains(body, res.Header.Get("Request-Id")) {
			t.Errorf("%s %s", res.Status, body)
		}
	}
	if !strings.Contains(logs.String(), "httpapi_test.go") || strings.Count(logs.String(), "request panicked") != 2 {
		t.Errorf("logged: %s", logs)
	}
}

func TestAuthentication(t *testing.T) {
	server, logs := serve(t, func(ctx context.Context, _ *input) (*output, error) {
		if c := access.From(ctx); c.IP.String() != "127.0.0.1" || c.UserAgent != "Go-http-client/1.1" || c.Request == uuid.Nil {
			t.Errorf("caller %+v", c)
		}
		return &output{}, nil
	})
	for token, status := range map[string]int{"": 401, "bad-" + secret: 401, "good": 200, "away": 503} {
		if res, body := do(t, server, "POST", "/op/"+uuid.NewString(), token, good); res.StatusCode != status {
			t.Errorf("%s: %s %s", token, res.Status, body)
		}
		if res, body := do(t, server, "GET", "/open", token, ""); res.StatusCode/100 != 2 {
			t.Errorf("open to %s: %s %s", token, res.Status, body)
		}
	}
	if strings.Contains(logs.String(), secret) {
		t.Errorf("logged: %s", logs)
	}
}

func TestInput(t *testing.T) {
	server, _ := serve(t, func(context.Context, *input) (*output, error) { return &output{}, nil })
	for body, want := range map[string]string{
		good:                                                    "",
		`{"name":"x"}`:                                          "deep required",
		`{"name":"x","deep":{}}`:                                "deep.number required",
		`{"name":"x","deep":{"number":4}}`:                      "deep.number out_of_range",
		`{"name":"x","deep":{"number":0}}`:                      "deep.number out_of_range",
		`{"name":"x","deep":{"number":1.5}}`:                    "deep.number type",
		`{"name":"x","deep":{"number":"1"}}`:                    "deep.number type",
		`{"name":"` + secret + `","deep":{}}`:                   "deep.number required name too_long",
		`{"name":{},"deep":[]}`:                                 "deep type name type",
		`{"name":"x","deep":{"number":1,"a":"` + secret + `"}}`: "deep.a unknown_field",
	} {
		res, text := do(t, server, "POST", "/op/"+uuid.NewString(), "good", body)
		var p Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Field+" "+e.Code)
		}
		if strings.Join(got, " ") != want || (want != "") != (res.StatusCode == http.StatusUnprocessableEntity) || strings.Contains(text, secret) {
			t.Errorf("%s: %s %s", body, res.Status, text)
		}
	}
}

func TestDocs(t *testing.T) {
	server, _ := serve(t, func(context.Context, *input) (*output, error) { return &output{}, nil })
	res, page := do(t, server, "GET", "/api/docs", "", "")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	for _, part := range []string{"/op/{id}", "Something open", "deep.number", "whoever has signed in", "anyone", "openapi.json", "uuid, required"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	if n := strings.Count(page, "trees[]."); n != 3 {
		t.Errorf("the page tells %d fields of what is within itself, and there are 3", n)
	}
	if other := regexp.MustCompile(`(?i)<script|https?://|//[a-z]|@import|url\(`).FindString(page); other != "" {
		t.Errorf("the page needs something from elsewhere: %s", other)
	}
	res, document := do(t, server, "GET", "/api/openapi.json", "", "")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/openapi+json" || !json.Valid([]byte(document)) || !strings.Contains(document, `"openapi":"3.1.0"`) {
		t.Errorf("%s %v %s", res.Status, res.Header, document)
	}
}

func FuzzObject(f *testing.F) {
	for _, seed := range []string{good, "", "null", "[]", `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, "{}{}", `{"a":}`, "\xff", `{"a":"\ud800"}`, strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if checkObject(raw) != nil {
			return
		}
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil || m == nil {
			t.Fatalf("%q is taken for an object: %v", raw, err)
		}
		if names := fieldNames(t, raw); names != count(m) {
			t.Fatalf("%q has %d fields, and %d are read", raw, names, count(m))
		}
	})
}

// count is how many fields there are in v.
func count(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, in := range v {
			n += count(in)
		}
	case []any:
		for _, in := range v {
			n += count(in)
		}
	}
	return n
}

// fieldNames counts the colons outside texts.
func fieldNames(t *testing.T, raw []byte) int {
	t.Helper()
	n, text := 0, false
	for i := 0; i < len(raw); i++ {
		switch {
		case text && raw[i] == '\\':
			i++
		case raw[i] == '"':
			text = !text
		case raw[i] == ':' && !text:
			n++
		}
	}
	return n
}
