// Package httpapi is the frame of the HTTP API: huma operations on gorilla/mux,
// with one way to say who may call them, to answer errors, and to bound what a
// request may take. What the operations do is in packages commands and readapi.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"annals/domain"
	"annals/internal/access"
)

// Who may call an operation.
type Who int

// The kinds of caller.
const (
	SignedIn Who = iota // employees
	Admins              // administrators
	Anyone              // also those who have not signed in
)

// API takes operations.
type API struct {
	huma   huma.API
	router *mux.Router
	logger *slog.Logger
}

// Config is what an [API] needs.
type Config struct {
	Version string
	Logger  *slog.Logger
	// Authenticate finds who a bearer token belongs to, or fails with
	// [domain.Unauthorized].
	Authenticate func(ctx context.Context, token string) (*access.Actor, error)
}

var replaceErrors = sync.OnceFunc(func() { huma.NewError = invalid })

// New returns an API without operations on router.
func New(router *mux.Router, cfg Config) *API {
	replaceErrors()
	conf := huma.DefaultConfig("Annals", cfg.Version)
	conf.Info.Description = "The CRM that remembers. Commands append events; reads answer from models built of them."
	conf.OpenAPIPath, conf.DocsPath, conf.SchemasPath = "/api/openapi", "/api/docs", ""
	conf.CreateHooks = nil // no $schema links in answers
	conf.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	conf.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[domain.Field[domain.ID]](), reflect.TypeFor[*uuid.UUID]())
	conf.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	a := &API{huma: humamux.New(router, conf), router: router, logger: cfg.Logger}
	router.Use(a.frame(cfg))
	router.NotFoundHandler = answer(newProblem(http.StatusNotFound, "not_found", "there is nothing at this path"))
	router.MethodNotAllowedHandler = answer(newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take this method"))
	return a
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

func answer(p *Problem) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { p.write(w) })
}

// requestTimeout bounds every request from its first byte to its last; reads that
// wait for a read model bound themselves below it.
const requestTimeout = 30 * time.Second

// frame finds out who asks, and puts it into the request's context.
func (a *API) frame(cfg Config) mux.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			c := access.Caller{UserAgent: truncate(r.UserAgent(), 300), Request: uuid.New()}
			if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
				c.IP = at.Addr().Unmap()
			}
			h := w.Header()
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "no-store")
			h.Set("Request-Id", c.Request.String())
			if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
				c.Actor, c.Denied = cfg.Authenticate(ctx, strings.TrimSpace(token))
			}
			next.ServeHTTP(w, r.WithContext(access.With(ctx, c)))
		})
	}
}

func truncate(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// Op describes an operation.
type Op struct {
	ID, Method, Path string
	Summary          string
	Who              Who
	Status           int      // of success; 200 if zero
	Tag              string   // groups operations in the document
	Body             any      // an example of the body's type, where the handler reads it raw
	Produces         []string // media types of a streamed answer
}

// Handle adds an operation to the API. Errors of the handler are answered as
// problems; only [domain.Error] is shown to callers.
func Handle[I, O any](a *API, op Op, h func(context.Context, *I) (*O, error)) {
	o := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary,
		DefaultStatus: op.Status, Tags: []string{op.Tag}, MaxBodyBytes: 1 << 20, BodyReadTimeout: 15 * time.Second,
	}
	if op.Who != Anyone {
		o.Security = []map[string][]string{{"bearer": {}}}
	}
	if op.Body != nil {
		t := reflect.TypeOf(op.Body)
		o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/merge-patch+json": {Schema: a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")},
			"application/json":             {Schema: a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")},
		}}
		o.SkipValidateBody = true
	}
	// Before anything of the request is looked at: who may not call an operation
	// learns nothing of what it takes.
	o.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		if err := op.Who.admits(access.From(ctx.Context())); err != nil {
			_, w := humamux.Unwrap(ctx)
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
}

func (w Who) admits(c access.Caller) error {
	switch {
	case w == Anyone:
		return nil
	case c.Denied != nil:
		return c.Denied
	case c.Actor == nil:
		return domain.Errorf(domain.Unauthorized, "unauthorized", "sign in first: POST /api/v1/session, then send Authorization: Bearer TOKEN")
	case w == Admins && !c.Actor.Admin:
		return domain.Errorf(domain.Forbidden, "forbidden", "only administrators may do this")
	}
	return nil
}

// GetOp describes a read for those who have signed in. Its id is made of its path.
func GetOp(path, summary string) Op {
	words := strings.FieldsFunc(strings.TrimPrefix(path, "/api/v1/"), func(c rune) bool { return strings.ContainsRune("/{}", c) })
	return Op{ID: "get-" + strings.Join(words, "-"), Method: http.MethodGet, Path: path, Summary: summary, Tag: words[0]}
}
