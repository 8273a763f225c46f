// Package httpapi is the frame of the HTTP API: huma operations on gorilla/mux,
// with one way to say who may call them, to answer errors, and to bound what a
// request may take. What the operations do is in packages commands and readapi.
package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"

	"annals/domain"
	"annals/internal/access"
)

// API takes operations.
type API struct {
	huma         huma.API
	router       *mux.Router
	logger       *slog.Logger
	authenticate func(ctx context.Context, token string) (*access.Actor, error)
	now          func() time.Time
	refused      func(context.Context, Refusal)
	origins      *http.CrossOriginProtection
	proxies      proxies
	limits       *limits
	timeout      time.Duration
}

// Config is what an [API] needs.
type Config struct {
	Version string
	Logger  *slog.Logger
	// Authenticate finds who a token belongs to, or fails with [domain.Unauthorized].
	Authenticate func(ctx context.Context, token string) (*access.Actor, error)
	// Now is the clock; nil: the machine's. Limits take it to run evenly: a clock that
	// is set back has to keep its monotonic reading, as that of time.Now does.
	Now func() time.Time
	// Refused is told of requests that were refused, by who they are or what they may,
	// and has to return at once; nil: nobody is told. Those are the answers 401, 403 and
	// 429, all with the code locked, and 404 where the path names what is not there, or
	// may not be seen.
	Refused func(context.Context, Refusal)
	// Origins holds back what other sites have a browser send; nil: see [Origins].
	Origins *http.CrossOriginProtection
	// TrustedProxies are the networks of the proxies before us, whose X-Forwarded-For
	// and X-Forwarded-Proto count. Nobody else's do.
	TrustedProxies []netip.Prefix
	Limits         Limits
}

// configure sets what huma keeps for the whole process.
var configure = sync.OnceFunc(func() {
	huma.NewError = invalid
	huma.ValidateStrictCasing = true // Email is not email, or both could be given
})

// New returns an API without operations on router.
func New(router *mux.Router, cfg Config) *API {
	configure()
	conf := huma.DefaultConfig("Annals", cfg.Version)
	conf.Info.Description = "The CRM that remembers. Commands append events; reads answer from models built of them."
	conf.OpenAPIPath, conf.DocsPath, conf.SchemasPath = "", "", "" // see docs
	conf.CreateHooks = nil                                         // no $schema links in answers
	conf.RejectUnknownQueryParameters = true                       // a filter with a typing error must not find everything
	conf.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.ID](), reflect.TypeFor[idSchema]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[domain.ID]](), reflect.TypeFor[optionalID]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[string]](), reflect.TypeFor[string]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[bool]](), reflect.TypeFor[bool]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[int]](), reflect.TypeFor[int]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[time.Time]](), reflect.TypeFor[optionalTime]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[[]domain.Grant]](), reflect.TypeFor[[]domain.Grant]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Reach](), reflect.TypeFor[reachSchema]())
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Permission](), reflect.TypeFor[permissionSchema]())
	conf.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer"},
		"cookie": {Type: "apiKey", In: "cookie", Name: cookieName},
	}
	a := &API{
		huma: humamux.New(router, conf), router: router, logger: cfg.Logger,
		authenticate: cfg.Authenticate, now: cfg.Now, refused: cfg.Refused,
		origins: cfg.Origins, proxies: cfg.TrustedProxies, limits: newLimits(cfg.Limits), timeout: requestTimeout,
	}
	if a.now == nil {
		a.now = time.Now //nolint:forbidigo // the machine's clock
	}
	if a.origins == nil {
		a.origins = http.NewCrossOriginProtection()
	}
	router.SkipClean(true) // or the router would redirect from //path, past the frame
	router.Use(a.frame)
	router.NotFoundHandler = a.frame(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		newProblem(http.StatusNotFound, "not_found", "there is nothing at this path").write(w)
	}))
	router.MethodNotAllowedHandler = a.frame(http.HandlerFunc(a.otherMethod))
	a.docs()
	return a
}

// otherMethod answers a request whose path is there, but not with its method.
func (a *API) otherMethod(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		as := r.Clone(r.Context())
		as.Method = method
		if match := (mux.RouteMatch{}); a.router.Match(as, &match) && match.MatchErr == nil {
			if r.Method == http.MethodHead && method == http.MethodGet {
				a.router.ServeHTTP(w, as) // net/http leaves out the body
				return
			}
			allowed = append(allowed, method)
		}
	}
	p := newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take this method")
	p.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	p.write(w)
}

// What ids, reaches and permissions are in the document.
type (
	idSchema         struct{}
	optionalID       struct{}
	optionalTime     struct{}
	reachSchema      struct{}
	permissionSchema struct{}
)

func (idSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid"}
}

func (optionalID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid", Nullable: true}
}

func (optionalTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

func (reachSchema) Schema(huma.Registry) *huma.Schema {
	return oneOf("How far a permission goes; each includes those before it", domain.Own, domain.OnDesks, domain.InProjects, domain.Everywhere)
}

func (permissionSchema) Schema(huma.Registry) *huma.Schema {
	return oneOf("What is permitted", domain.Permissions...)
}

func oneOf[T any](doc string, values ...T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Description: doc}
	for _, v := range values {
		s.Enum = append(s.Enum, fmt.Sprint(v))
	}
	return s
}

// schemaName names a type after its package too, since many are called Create.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	if path := t.PkgPath(); strings.Contains(path, "/domain/") {
		pkg := path[strings.LastIndexByte(path, '/')+1:]
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// Op describes an operation.
type Op struct {
	ID, Method, Path string
	Summary          string
	Anyone           bool // also those who have not signed in
	// Needs is the permission that the operation takes; none if empty. Where the path
	// holds an id, the operation checks it, since what may not be seen has to be
	// answered as what is not there; otherwise it is checked before the request is read.
	Needs  domain.Permission
	Status int    // of success; 200 if zero
	Also   int    // another status of success, which the output then says with a field Status; none if zero
	Tag    string // groups operations in the document
	Body   any    // an example of what a merge patch is one of; nil: the body is what the input says
	Lines  any    // an example of a line of a streamed answer; nil: the answer is what the output says
	Events any    // an example of what an event of a stream holds, see HandleEvents
	Media  string // content type of an answer that is no JSON; the output's Body is then its bytes
	Hidden bool   // left out of the document
}

// Handle adds an operation to the API. Errors of the handler are answered as
// problems; only [domain.Error] is shown to callers.
func Handle[I, O any](a *API, op Op, h func(context.Context, *I) (*O, error)) {
	schemas := a.huma.OpenAPI().Components.Schemas
	o := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary,
		Hidden: op.Hidden, DefaultStatus: op.Status, Tags: []string{op.Tag}, MaxBodyBytes: maxBody + 1, BodyReadTimeout: -1, // see readBody
	}
	if op.Needs != "" {
		o.Extensions = map[string]any{"x-permission": string(op.Needs)}
	}
	if !op.Anyone {
		o.Security = []map[string][]string{{"bearer": {}}, {"cookie": {}}}
	}
	if op.Body != nil {
		s := patchSchema(schemas, reflect.TypeOf(op.Body))
		o.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/merge-patch+json": {Schema: s}, "application/json": {Schema: s}}}
		o.SkipValidateBody = true // null empties
	}
	if op.Lines != nil {
		s := schemas.Schema(reflect.TypeOf(op.Lines), true, "")
		o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: s}}}}
	}
	if op.Events != nil {
		s := schemas.Schema(reflect.TypeOf(op.Events), true, "")
		o.Responses = map[string]*huma.Response{"200": {Description: "Server-sent events, each of which holds this", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: s}}}}
	}
	if op.Media != "" {
		s := &huma.Schema{Type: huma.TypeString, Format: "binary"}
		o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{op.Media: {Schema: s}}}}
	}
	if o.Responses == nil {
		o.Responses = map[string]*huma.Response{}
	}
	field, body := reflect.TypeFor[I]().FieldByName("Body")
	optional := body && field.Type.Kind() == reflect.Pointer
	// Before anything of the request is looked at: who may not call an operation
	// learns nothing of what it takes.
	o.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humamux.Unwrap(ctx)
		err := op.admits(access.From(ctx.Context()))
		if err == nil && body {
			began := a.now()
			err = readBody(w, r, optional)
			if err == nil && a.now().Sub(began) > fresh {
				ctx, err = a.again(ctx, op)
			}
		}
		if err != nil {
			problem(ctx.Context(), a.logger, err).write(w)
			return
		}
		next(ctx)
	}}
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, problem(ctx, a.logger, err)
		}
		return out, nil
	})
	if op.Also != 0 {
		all := o.Responses // which huma has filled in
		as := *all[strconv.Itoa(op.Status)]
		as.Description = http.StatusText(op.Also)
		all[strconv.Itoa(op.Also)] = &as
	}
}

// fresh is how long it counts who somebody is and what they may: a body can take long
// to arrive, and its sender may have lost their rights meanwhile.
const fresh = 100 * time.Millisecond

// again finds out anew who asks.
func (a *API) again(ctx huma.Context, op Op) (huma.Context, error) {
	inner, err := a.anew(ctx.Context(), op)
	return huma.WithContext(ctx, inner), err
}

// patchSchema is that of a merge patch of t: everything in it may be null.
func patchSchema(schemas huma.Registry, t reflect.Type) *huma.Schema {
	s := *schemas.Schema(t, false, "")
	s.Required = nil
	s.Properties = maps.Clone(s.Properties)
	for name, p := range s.Properties {
		if p.Ref != "" {
			inner := t
			for _, f := range reflect.VisibleFields(t) {
				if n, _, _ := strings.Cut(f.Tag.Get("json"), ","); n == name {
					inner = f.Type
				}
			}
			p = patchSchema(schemas, inner)
		}
		one := *p
		one.Nullable = one.Type != "" // what may be anything may be null
		if one.Enum != nil {
			one.Enum = append(slices.Clone(one.Enum), nil)
		}
		s.Properties[name] = &one
	}
	return &s
}

func (op Op) admits(c access.Caller) error {
	switch {
	case op.Anyone:
		return nil
	case c.Denied != nil:
		return c.Denied
	case c.Actor == nil:
		return domain.Errorf(domain.Unauthorized, "unauthorized", "sign in first: POST /api/v1/session, then send Authorization: Bearer TOKEN")
	case op.Needs != "" && c.Actor.Rights[op.Needs] == domain.Nothing && !strings.Contains(op.Path, "{"):
		return domain.Errorf(domain.Forbidden, "forbidden", "this takes the permission %s, which none of your roles has", op.Needs)
	}
	return nil
}

// GetOp describes a read for those who have signed in. Its id is made of its path.
func GetOp(path, summary string) Op {
	words := strings.FieldsFunc(strings.TrimPrefix(path, "/api/v1/"), func(c rune) bool { return strings.ContainsRune("/{}", c) })
	return Op{ID: "get-" + strings.Join(words, "-"), Method: http.MethodGet, Path: path, Summary: summary, Tag: words[0]}
}
