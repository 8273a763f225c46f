package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/eventlog"
)

// Problem is how every error is answered: RFC 9457 problem details.
type Problem struct { //nolint:errname // its name in RFC 9457
	Title  string       `json:"title" doc:"The HTTP status in words"`
	Status int          `json:"status"`
	Code   string       `json:"code" doc:"What went wrong, for programs; stable"`
	Detail string       `json:"detail" doc:"What went wrong, for people"`
	Errors []FieldError `json:"errors,omitempty" doc:"What is wrong with which field"`
	Items  []domain.ID  `json:"items,omitempty" doc:"What is in the way: ids of clients, of employees"`
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
	return noted(ctx, problemOf(ctx, logger, err))
}

// waiting is an error that knows when it will have passed.
type waiting interface {
	error
	RetryAfter() time.Duration
}

func problemOf(ctx context.Context, logger *slog.Logger, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return newProblem(499, "canceled", "the client went away")
	}
	all, trace := domain.All(err), access.From(ctx).Request.String()
	if len(all) == 0 {
		if e := outage(err); e != nil {
			all = []*domain.Error{e}
		} else {
			all = []*domain.Error{domain.Errorf(domain.Internal, "internal", "something went wrong on our side")}
		}
		if all[0].Kind == domain.Internal || all[0].Kind == domain.Unavailable {
			logger.ErrorContext(ctx, "request failed", "request_id", trace, "err", err)
		}
	}
	p := newProblem(statuses[all[0].Kind], all[0].Code, all[0].Error())
	if p.Status >= http.StatusInternalServerError {
		p.Trace = trace
	}
	for _, e := range all {
		p.Items = append(p.Items, e.Items...)
		if e.Field != "" {
			p.Errors = append(p.Errors, FieldError{e.Field, e.Code, e.Msg})
		}
	}
	if len(p.Errors) > 0 && p.Status == http.StatusUnprocessableEntity {
		p.Code, p.Detail = "invalid", join(p.Errors)
	}
	p.header = http.Header{}
	switch p.Status {
	case http.StatusUnauthorized:
		p.header.Set("Www-Authenticate", `Bearer realm="annals"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		p.header.Set("Retry-After", "1")
	}
	if e, ok := errors.AsType[waiting](err); ok {
		p.header.Set("Retry-After", strconv.Itoa(seconds(e.RetryAfter().Seconds())))
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

// outage is an error of the log or the database as its receiver may see it, or nil
// where the error is nothing of theirs to tell.
func outage(err error) *domain.Error {
	switch {
	case errors.Is(err, eventlog.ErrErased):
		return domain.Errorf(domain.Conflict, "erased", "the person has been erased: there is nothing left to change")
	case errors.Is(err, eventlog.ErrDeleted):
		return domain.Errorf(domain.NotFound, "deleted", "this has been deleted for good")
	case errors.Is(err, eventlog.ErrTooLarge):
		return domain.Errorf(domain.TooLarge, "too_large", "this is larger than the log takes at once")
	case errors.Is(err, eventlog.ErrUnknown):
		return domain.Errorf(domain.Unavailable, "outcome_unknown",
			"the log did not answer in time, and may or may not have taken this: send it again with the same Idempotency-Key")
	case errors.Is(err, eventlog.ErrUnavailable):
		return domain.Errorf(domain.Unavailable, "log_unavailable", "the log cannot be reached; try again")
	case errors.Is(err, context.DeadlineExceeded):
		return domain.Errorf(domain.Unavailable, "timeout", "this took too long; try again later")
	case databaseAway(err):
		return domain.Errorf(domain.Unavailable, "database_unavailable", "the database cannot be reached; try again")
	}
	return nil
}

// databaseAway says whether PostgreSQL, and not what it was asked, is to blame.
func databaseAway(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		for _, class := range []string{"08", "53", "57"} { // connection, resources, operator intervention
			if strings.HasPrefix(e.Code, class) {
				return true
			}
		}
		return false
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	return connecting || network || pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

var codes = map[int]string{
	http.StatusBadRequest:          "malformed",
	http.StatusUnprocessableEntity: "invalid",
}

// faults are what huma says is wrong with a value, and how we say it. What is not
// among them is told in huma's words.
var faults = []struct{ prefix, code, message string }{
	{validation.MsgUnexpectedProperty, "unknown_field", "is not a field of this"},
	{"unknown query parameter", "unknown_parameter", "is not a parameter of this"},
	{"expected value to be one of", "unknown", "has to be one of%s"},
	{"expected length <=", "too_long", "has more than%s characters"},
	{"expected array length <=", "too_many", "has more than%s elements"},
	{"expected number >=", "out_of_range", "has to be at least%s"},
	{"expected number <=", "out_of_range", "has to be at most%s"},
	{"expected string to be RFC 4122 uuid", "uuid", "is not an id, as in 9b2f8a52-4a83-4b0f-8f5e-3d0f5b1c2a6d"},
	{"invalid value", "malformed", "is malformed"},
	{"expected array", "type", "has to be a list"},
	{"expected boolean", "type", "has to be true or false"},
	{"expected integer", "type", "has to be a whole number"},
	{"expected string", "type", "has to be a text"},
	{"expected object", "type", "has to be an object"},
	{"invalid integer", "type", "has to be a whole number"},
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
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		p.Errors = append(p.Errors, fieldError(d.ErrorDetail()))
	}
	slices.SortStableFunc(p.Errors, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	if len(p.Errors) > 0 {
		p.Detail = join(p.Errors)
	}
	return p
}

func fieldError(at *huma.ErrorDetail) FieldError {
	field := at.Location
	for _, in := range []string{"body", "query", "path", "header"} {
		if inner, ok := strings.CutPrefix(field, in+"."); ok {
			field = inner
			break
		}
	}
	if name, ok := strings.CutPrefix(at.Message, "expected required property "); ok { // huma names the object around it
		name, _, _ = strings.Cut(name, " ")
		if field == "body" {
			return FieldError{name, "required", "is required"}
		}
		return FieldError{field + "." + name, "required", "is required"}
	}
	for _, f := range faults {
		if rest, ok := strings.CutPrefix(at.Message, f.prefix); ok {
			return FieldError{field, f.code, strings.Replace(f.message, "%s", rest, 1)}
		}
	}
	return FieldError{field, "invalid", at.Message}
}

func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}
