package apitest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/mux"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// oas31 is the OpenAPI Initiative's schema of OpenAPI 3.1 documents, of 2022-10-07
// (Apache-2.0), without the schemas in them.
//
//go:embed oas31.schema.json
var oas31 []byte

// contract is the OpenAPI document, as something to hold answers against.
type contract struct {
	router   *mux.Router
	document Map
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

const documentURL = "https://annals.test/openapi.json"

func readContract(tb testing.TB, router *mux.Router) *contract {
	tb.Helper()
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/api/openapi.json", nil))
	if w.Code != http.StatusOK {
		tb.Fatalf("openapi.json: %d %s", w.Code, w.Body)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		tb.Fatalf("openapi.json: %v", err)
	}
	c := &contract{router: router, document: doc.(Map), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(documentURL, doc); err != nil {
		tb.Fatal(err)
	}
	return c
}

// ValidDocument checks the OpenAPI document itself against the standard.
func (s *System) ValidDocument(tb testing.TB) Map {
	tb.Helper()
	standard, err := jsonschema.UnmarshalJSON(bytes.NewReader(oas31))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	const url = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
	if err := c.AddResource(url, standard); err != nil {
		tb.Fatal(err)
	}
	schema, err := c.Compile(url)
	if err != nil {
		tb.Fatal(err)
	}
	if err := schema.Validate(s.contract.document); err != nil {
		tb.Errorf("openapi.json is not OpenAPI 3.1: %v", err)
	}
	return s.contract.document
}

// complaints are how an answer differs from what the document promises.
func (c *contract) complaints(req *http.Request, r *Response) []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Cache-Control") != "no-store" {
		complain("security headers are missing: %v", r.Header)
	}
	mt, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Status >= 400 {
		if mt != "application/problem+json" {
			complain("a problem is %q", r.Header.Get("Content-Type"))
		}
		if r.Text("status") != strconv.Itoa(r.Status) || r.Text("code") == "" || r.Text("detail") == "" || r.Text("title") == "" {
			complain("a problem lacks something")
		}
	}
	match := mux.RouteMatch{}
	if !c.router.Match(req, &match) || match.Route == nil {
		return out
	}
	path, err := match.Route.GetPathTemplate()
	if err != nil || !strings.HasPrefix(path, "/api/v1/") {
		return out
	}
	pointer := []string{"paths", path, strings.ToLower(req.Method), "responses"}
	responses, _ := find(c.document, pointer).(Map)
	if responses == nil {
		complain("the document does not have %s %s", req.Method, path)
		return out
	}
	status := strconv.Itoa(r.Status)
	if _, ok := responses[status]; !ok {
		status = "default"
		if r.Status < 400 {
			complain("the document does not have status %d", r.Status)
			return out
		}
	}
	if len(r.Body) == 0 && mt != "application/x-ndjson" { // of which there may be no line
		if find(responses, []string{status, "content"}) != nil {
			complain("the answer is empty")
		}
		return out
	}
	pointer = append(pointer, status, "content", mt, "schema")
	if find(c.document, pointer) == nil {
		complain("the document does not have media type %s of status %s", mt, status)
		return out
	}
	if find(c.document, append(slices.Clone(pointer), "format")) == "binary" {
		return out
	}
	schema, err := c.schema(pointer)
	if err != nil {
		complain("schema: %v", err)
		return out
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.UseNumber()
	for n := 0; ; n++ {
		var v any
		if err := dec.Decode(&v); err != nil {
			if !errors.Is(err, io.EOF) || n == 0 && len(r.Body) > 0 {
				complain("is not JSON: %v", err)
			}
			return out
		}
		if err := schema.Validate(v); err != nil {
			complain("%v", err)
		}
	}
}

func (c *contract) schema(pointer []string) (*jsonschema.Schema, error) {
	escaped := make([]string, len(pointer))
	for i, p := range pointer {
		escaped[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p)
	}
	at := documentURL + "#/" + strings.Join(escaped, "/")
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.schemas[at]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile(at)
	if err == nil {
		c.schemas[at] = s
	}
	return s, err
}

func find(v any, pointer []string) any {
	for _, p := range pointer {
		m, ok := v.(Map)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}
