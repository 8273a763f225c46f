package httpapi

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// docs serves the OpenAPI document, and a page made of it. Both are made when first
// asked for, when all operations are there.
func (a *API) docs() {
	document := sync.OnceValues(func() ([]byte, error) { return json.Marshal(a.huma.OpenAPI()) })
	page := sync.OnceValues(func() ([]byte, error) { return renderDocs(a.huma.OpenAPI()) })
	a.Document("/api/openapi.json", "application/openapi+json", document)
	a.serve("/api/docs", "text/html; charset=utf-8", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'", page)
}

// Document has a document of the API served to anybody.
func (a *API) Document(path, mediaType string, content func() ([]byte, error)) {
	a.serve(path, mediaType, "default-src 'none'; frame-ancestors 'none'", content)
}

func (a *API) serve(path, mediaType, policy string, content func() ([]byte, error)) {
	a.router.Path(path).Methods(http.MethodGet).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := content()
		if err != nil {
			problem(r.Context(), a.logger, err).write(w)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(raw) // the client may be gone
	})
}

// Pushes adds a webhook to the OpenAPI document: what is posted to who asked for it, as a
// body like the example of a type that the schema at the URL describes.
func (a *API) Pushes(name string, example any, mediaType, schema string) {
	doc := a.huma.OpenAPI()
	if doc.Webhooks == nil {
		doc.Webhooks = map[string]*huma.PathItem{}
	}
	body := doc.Components.Schemas.Schema(reflect.TypeOf(example), true, "")
	doc.Webhooks[name] = &huma.PathItem{Post: &huma.Operation{
		OperationID: "webhook-" + name, Summary: "Sent to webhooks that ask for " + name, Tags: []string{"webhooks"}, Security: []map[string][]string{},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{mediaType: {Schema: &huma.Schema{AllOf: []*huma.Schema{body, {
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"type": {Type: huma.TypeString, Enum: []any{name}},
				"data": {Type: huma.TypeObject, Properties: map[string]*huma.Schema{"event": {Ref: schema}}},
			},
		}}}}}},
		Responses: map[string]*huma.Response{"2XX": {Description: "It has been taken; anything else is tried again"}},
	}}
}

var (
	//go:embed docs.html
	docsHTML string
	docsPage = template.Must(template.New("docs").Parse(docsHTML))
)

// Parts of the page.
type (
	docsGroup struct {
		Name string
		Ops  []docsOp
	}
	docsOp struct {
		ID, Method, Path, Summary, Who string
		Params, Body, Answer           []docsField
		BodyTypes                      []string
		Status                         string
	}
	docsField struct{ Name, In, Type, Doc string }
)

func renderDocs(doc *huma.OpenAPI) ([]byte, error) {
	groups := map[string]*docsGroup{}
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete, item.Put} {
			if op == nil {
				continue
			}
			g := groups[op.Tags[0]]
			if g == nil {
				g = &docsGroup{Name: op.Tags[0]}
				groups[g.Name] = g
			}
			g.Ops = append(g.Ops, describe(doc, path, op))
		}
	}
	for _, g := range groups {
		slices.SortFunc(g.Ops, func(a, b docsOp) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
	}
	var out bytes.Buffer
	err := docsPage.Execute(&out, map[string]any{
		"Title": doc.Info.Title, "Version": doc.Info.Version, "Description": doc.Info.Description,
		"Groups": slices.SortedFunc(maps.Values(groups), func(a, b *docsGroup) int { return cmp.Compare(a.Name, b.Name) }),
	})
	return out.Bytes(), err
}

func describe(doc *huma.OpenAPI, path string, op *huma.Operation) docsOp {
	who := "whoever has signed in"
	if op.Security == nil {
		who = "anyone"
	} else if p, ok := op.Extensions["x-permission"].(string); ok {
		who = "whoever has the permission " + p
	}
	d := docsOp{ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, Who: who}
	for _, p := range op.Parameters {
		d.Params = append(d.Params, docsField{p.Name, p.In, typeName(p.Schema, p.Required), p.Description})
	}
	if op.RequestBody != nil {
		d.BodyTypes = slices.Sorted(maps.Keys(op.RequestBody.Content))
		d.Body = fields(doc, "", op.RequestBody.Content[d.BodyTypes[0]].Schema)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if !strings.HasPrefix(status, "2") {
			continue
		}
		d.Status = status
		for _, c := range op.Responses[status].Content {
			d.Answer = fields(doc, "", c.Schema)
		}
	}
	return d
}

// fields are those of a schema, an inner one written outer.inner. Those of a schema that
// is within itself, as a filter is, are told once.
func fields(doc *huma.OpenAPI, outer string, s *huma.Schema, within ...*huma.Schema) []docsField {
	s = resolve(doc, s)
	if slices.Contains(within, s) {
		return nil
	}
	within = append(within, s)
	var out []docsField
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		in := resolve(doc, p)
		out = append(out, docsField{outer + name, "", typeName(in, slices.Contains(s.Required, name)), cmp.Or(p.Description, in.Description)})
		switch {
		case len(outer) > 60: // deep enough for a reader
		case in.Type == huma.TypeArray:
			out = append(out, fields(doc, outer+name+"[].", in.Items, within...)...)
		default:
			out = append(out, fields(doc, outer+name+".", in, within...)...)
		}
	}
	return out
}

// resolve follows references, and takes what may also be null for what it is.
func resolve(doc *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	for s.Ref != "" || len(s.AnyOf) > 0 {
		if s.Ref != "" {
			s = doc.Components.Schemas.SchemaFromRef(s.Ref)
		} else {
			s = s.AnyOf[0]
		}
	}
	return s
}

func typeName(s *huma.Schema, required bool) string {
	name := cmp.Or(s.Format, s.Type, "any")
	if s.Type == huma.TypeArray && s.Items != nil {
		name = "list of " + cmp.Or(s.Items.Format, s.Items.Type, "object")
	}
	var values []string
	for _, v := range s.Enum {
		if text, ok := v.(string); ok {
			values = append(values, text)
		}
	}
	if len(values) > 0 {
		name = strings.Join(values, " | ")
	}
	if required {
		name += ", required"
	}
	return name
}
