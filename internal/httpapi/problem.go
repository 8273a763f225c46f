package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"annals/domain"
	"annals/internal/access"
)

// Problem is how every error is answered: RFC 9457 problem details.
type Problem struct {
	Title  string       `json:"title" doc:"The HTTP status in words"`
	Status int          `json:"status"`
	Code   string       `json:"code" doc:"What went wrong, for programs; stable"`
	Detail string       `json:"detail" doc:"What went wrong, for people"`
	Errors []FieldError `json:"errors,omitempty" doc:"What is wrong with which field"`
	Trace  string       `json:"request_id,omitempty" doc:"Names the request in the server's log"`

	header http.Header
}

// FieldError is what is wrong with one field of the input.
type FieldError struct {
	Field   string `json:"field" doc:"Path of the field, as in address.city"`
	Code    string `json:"code" doc:"What is wrong, for programs; stable"`
	Message string `json:"message" doc:"What is wrong, for people"`
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

var statuses = map[domain.Kind]int{
	domain.Internal:     http.StatusInternalServerError,
	domain.Invalid:      http.StatusUnprocessableEntity,
	domain.NotFound:     http.StatusNotFound,
	domain.Conflict:     http.StatusConflict,
	domain.Forbidden:    http.StatusForbidden,
	domain.Unauthorized: http.StatusUnauthorized,
	domain.Precondition: http.StatusPreconditionFailed,
	domain.Unavailable:  http.StatusServiceUnavailable,
	domain.TooMany:      http.StatusTooManyRequests,
	domain.TooLarge:     http.StatusRequestEntityTooLarge,
}

// problem is err as it is answered. What its receiver may not see is logged.
func problem(ctx context.Context, logger *slog.Logger, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	all := domain.All(err)
	if len(all) == 0 {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return newProblem(499, "canceled", "the client went away")
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return newProblem(http.StatusServiceUnavailable, "timeout", "this took too long; try again later")
		}
		id := access.From(ctx).Request.String()
		logger.ErrorContext(ctx, "request failed", "request_id", id, "err", err)
		p := newProblem(http.StatusInternalServerError, "internal", "something went wrong on our side")
		p.Trace = id
		return p
	}
	p := newProblem(statuses[all[0].Kind], all[0].Code, all[0].Error())
	for _, e := range all {
		if e.Field != "" {
			p.Errors = append(p.Errors, FieldError{e.Field, e.Code, e.Msg})
		}
	}
	if len(p.Errors) > 0 && p.Status == http.StatusUnprocessableEntity {
		p.Code, p.Detail = "invalid", join(p.Errors)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		p.header = http.Header{"Www-Authenticate": {`Bearer realm="annals"`}}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		p.header = http.Header{"Retry-After": {"1"}}
	}
	return p
}

func newProblem(status int, code, detail string) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = "Status " + strconv.Itoa(status)
	}
	return &Problem{Title: title, Status: status, Code: code, Detail: detail}
}

func join(all []FieldError) string {
	var b strings.Builder
	for i, e := range all {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(e.Field + ": " + e.Message)
	}
	return b.String()
}

var codes = map[int]string{
	http.StatusBadRequest:            "malformed",
	http.StatusNotFound:              "not_found",
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusRequestTimeout:        "timeout",
	http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType:  "media_type",
	http.StatusUnprocessableEntity:   "invalid",
	http.StatusNotAcceptable:         "not_acceptable",
}

// invalid is what huma finds wrong with a request before it reaches a handler.
// The values are left out: they may be secret.
func invalid(status int, msg string, errs ...error) huma.StatusError {
	code := codes[status]
	if code == "" {
		code = "error"
	}
	p := newProblem(status, code, msg)
	for _, err := range errs {
		d, ok := err.(huma.ErrorDetailer) //nolint:errorlint // huma gives the details themselves
		if !ok {
			if err != nil {
				p.Detail += ": " + err.Error()
			}
			continue
		}
		at := d.ErrorDetail()
		field := at.Location
		for _, in := range []string{"body.", "query.", "path.", "header."} {
			field = strings.TrimPrefix(field, in)
		}
		message := at.Message
		if name, ok := strings.CutPrefix(message, "expected required property "); ok { // huma names the object around it
			name, _, _ = strings.Cut(name, " ")
			field, message = strings.TrimPrefix(strings.TrimPrefix(field+"."+name, "body."), "."), "is required"
		}
		p.Errors = append(p.Errors, FieldError{field, "invalid", message})
	}
	if len(p.Errors) > 0 {
		p.Detail = join(p.Errors)
	}
	return p
}

func (p *Problem) write(w http.ResponseWriter) {
	for k, v := range p.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}
