package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"annals/internal/access"
)

const (
	// around is how many bytes a form may have beside its file.
	around = 64 << 10
	// slowest is how many bytes a second have to be sent or taken on average, from a few
	// seconds on: a connection is not held by somebody who sends a byte now and then.
	slowest = 64 << 10
)

// Upload is a request whose body is a file, of which nothing has been read yet.
type Upload struct {
	api   *API
	op    Op
	began time.Time
	body  *body
	form  *multipart.Reader // nil: the body is the file
	most  int64
}

// File is what is uploaded. Reading it fails with an error that can be answered when it
// is larger than allowed, comes too slowly, or does not come whole: then nothing of it
// is to be kept.
type File struct {
	io.Reader
	Name, Description string // of a form; else empty
}

type uploadKey struct{}

// HandleUpload adds an operation, a POST, that takes one file of at most so many bytes: as
// multipart/form-data with its bytes in the part file, after fields name and
// description, or as the bytes themselves. The handler is called before anything is
// read, so that it can refuse; its context ends when nothing arrives for a while.
func HandleUpload[I, O any](a *API, op Op, most int64, h func(context.Context, *I, *Upload) (*O, error)) {
	o := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, DefaultStatus: op.Status, Tags: []string{op.Tag},
		Security: []map[string][]string{{"bearer": {}}, {"cookie": {}}},
	}
	if op.Needs != "" {
		o.Extensions = map[string]any{"x-permission": string(op.Needs)}
	}
	o.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humamux.Unwrap(ctx)
		err := op.admits(access.From(ctx.Context()))
		var u *Upload
		if err == nil {
			u, err = a.upload(op, w, r, most)
		}
		if err != nil {
			problem(ctx.Context(), a.logger, err).write(w)
			return
		}
		next(huma.WithValue(ctx, uploadKey{}, u))
	}}
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
		u := ctx.Value(uploadKey{}).(*Upload)
		ctx, u.body.progress = patient(ctx, a.timeout)
		defer u.body.progress(false)
		out, err := h(ctx, in, u)
		if err != nil {
			return nil, problem(context.WithoutCancel(ctx), a.logger, stalled(ctx, err))
		}
		return out, nil
	})
	// Not before, or huma would read the body.
	a.huma.OpenAPI().Paths[op.Path].Post.RequestBody = uploadBody(most)
}

func uploadBody(most int64) *huma.RequestBody {
	text := func(doc string, most int) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: doc, MaxLength: &most}
	}
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary", Description: fmt.Sprintf("The file, at most %d bytes", most)}
	form := &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: map[string]*huma.Schema{
		"name":        text("What the file is called, if not as the part file says. It stands before that", 255),
		"description": text("It stands before the file", 2000),
		"file":        binary,
	}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"multipart/form-data": {Schema: form}, "application/octet-stream": {Schema: binary},
	}}
}

// patient returns a context that ends when there has been no progress for so long, and
// what tells it of progress, or that it is over.
func patient(ctx context.Context, patience time.Duration) (context.Context, func(more bool)) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // of the frame, whose time is for small requests
	timer := time.AfterFunc(patience, func() { cancel(context.DeadlineExceeded) })
	return ctx, func(more bool) {
		if more {
			timer.Reset(patience)
			return
		}
		timer.Stop()
		cancel(context.Canceled)
	}
}

// stalled is err, or that it took too long where that is why.
func stalled(ctx context.Context, err error) error {
	if _, told := errors.AsType[*Problem](err); !told && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// upload refuses what can be seen to be wrong without reading any of it.
func (a *API) upload(op Op, w http.ResponseWriter, r *http.Request, most int64) (*Upload, error) {
	u := &Upload{api: a, op: op, began: a.now(), most: most}
	u.body = &body{from: r.Body, conn: http.NewResponseController(w), began: time.Now(), timeout: a.timeout, most: most} //nolint:forbidigo // deadlines of the connection
	if r.Header.Get("Content-Encoding") != "" {
		return nil, newProblem(http.StatusUnsupportedMediaType, "content_encoding", "files are taken as they are, without Content-Encoding")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && strings.HasPrefix(media, "multipart/") {
		if media != "multipart/form-data" || params["boundary"] == "" {
			return nil, newProblem(http.StatusUnsupportedMediaType, "media_type", "of the multipart types only form-data is taken, with a boundary")
		}
		u.form, u.body.most = multipart.NewReader(u.body, params["boundary"]), around
		most += around
	}
	if r.ContentLength > most {
		return nil, u.tooLarge()
	}
	return u, nil
}

func (u *Upload) tooLarge() error {
	return newProblem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the file is larger than %d bytes", u.most))
}

// File reads what stands before the file's bytes.
func (u *Upload) File() (*File, error) {
	if u.form == nil {
		return &File{Reader: &bounded{u: u, from: u.body, left: u.most}}, nil
	}
	f := &File{}
	seen := map[string]bool{}
	for {
		part, err := u.form.NextRawPart()
		if err != nil {
			return nil, u.malformed(err, "file", "required", "is required: the part of the form that has the file's bytes")
		}
		name := part.FormName()
		if seen[name] {
			return nil, malformed(name, "duplicate", "stands twice in the form")
		}
		seen[name] = true
		switch name {
		case "file":
			switch part.Header.Get("Content-Transfer-Encoding") {
			case "", "7bit", "8bit", "binary":
			default:
				return nil, malformed("file", "encoding", "has a Content-Transfer-Encoding, which RFC 7578 has no use for")
			}
			if !seen["name"] {
				f.Name = fileName(part)
			}
			u.body.most = u.body.read + u.most + around
			f.Reader = &bounded{u: u, from: part, left: u.most, end: u.end}
			return f, nil
		case "name":
			f.Name, err = u.field(part, name)
		case "description":
			f.Description, err = u.field(part, name)
		default:
			err = malformed("form", "unknown_field", "takes name, description and then file")
		}
		if err != nil {
			return nil, err
		}
	}
}

// fileName is what the part says, paths and all: [multipart.Part.FileName] takes that
// for a path of this system only. Browsers escape three characters, and no others
// (https://html.spec.whatwg.org/#multipart-form-data).
func fileName(p *multipart.Part) string {
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return unescaped.Replace(params["filename"])
}

var unescaped = strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n")

func (u *Upload) field(p *multipart.Part, name string) (string, error) {
	raw, err := io.ReadAll(p)
	if err != nil {
		return "", u.malformed(err, name, "syntax", "is not well-formed")
	}
	if !utf8.Valid(raw) {
		return "", malformed(name, "encoding", "is not valid UTF-8")
	}
	return string(raw), nil
}

// end finds the end of the form after its file.
func (u *Upload) end() error {
	switch _, err := u.form.NextRawPart(); {
	case errors.Is(err, io.EOF) && u.body.failed == nil:
		return nil
	case err != nil:
		return u.malformed(err, "body", "truncated", "did not arrive whole")
	}
	return malformed("form", "order", "has something after the file")
}

// malformed is what is wrong with a form that cannot be read: with the connection, or
// with the form.
func (u *Upload) malformed(err error, field, code, message string) error {
	if u.body.failed != nil {
		return u.body.failed
	}
	if errors.Is(err, errFull) || errors.Is(err, multipart.ErrMessageTooLarge) {
		return malformed("form", "too_large", fmt.Sprintf("has more than %d bytes beside its file", around))
	}
	return malformed(field, code, message)
}

// Again is called after the file has been read: it finds out anew who asks, since who
// sent it slowly may have lost their rights meanwhile. The context is for what follows.
func (u *Upload) Again(ctx context.Context) (context.Context, error) {
	if u.api.now().Sub(u.began) <= fresh {
		return ctx, nil
	}
	return u.api.anew(ctx, u.op)
}

// anew finds out anew who asks.
func (a *API) anew(ctx context.Context, op Op) (context.Context, error) {
	c := access.From(ctx)
	if c.Actor == nil {
		return ctx, nil
	}
	c.Actor, c.Denied = a.authenticate(ctx, c.Actor.Token)
	return access.With(ctx, c), op.admits(c)
}

var errFull = errors.New("more bytes than expected")

// body is a request's body as it arrives: not more than so many bytes, and not too
// slowly.
type body struct {
	from     io.Reader
	conn     *http.ResponseController
	began    time.Time
	timeout  time.Duration
	read     int64
	most     int64
	progress func(more bool)
	failed   error // answered, once the body cannot be read any further
}

func (b *body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	if b.read >= b.most {
		// There may be nothing but the end.
		p = p[:min(len(p), 1)]
	}
	now := time.Now() //nolint:forbidigo // deadlines of the connection
	_ = b.conn.SetReadDeadline(deadline(now, b.began, b.timeout, b.read))
	_ = b.conn.SetWriteDeadline(now.Add(b.timeout + b.timeout/3)) // of the answer
	n, err := b.from.Read(p)
	if b.read += int64(n); b.read > b.most {
		return 0, errFull
	}
	b.progress(true)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = bodyError(err) // the deadline stands: net/http reads what is left of the body before it answers
		return n, b.failed
	}
	if err != nil {
		_ = b.conn.SetReadDeadline(time.Time{}) // it would cancel the request's context while the operation runs
	}
	return n, err
}

// deadline is when a connection is given up on which so many bytes have gone.
func deadline(now, began time.Time, timeout time.Duration, bytes int64) time.Time {
	average := began.Add(timeout + time.Duration(bytes)*time.Second/slowest)
	if idle := now.Add(timeout); idle.Before(average) {
		return idle
	}
	return average
}

// bounded is the bytes of a file, at most so many, and the end of what is around it.
type bounded struct {
	u    *Upload
	from io.Reader
	left int64
	end  func() error // nil: there is nothing around it
	over bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.over {
		return 0, io.EOF
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 || errors.Is(err, errFull) {
		return 0, b.u.tooLarge()
	}
	switch {
	case errors.Is(err, io.EOF):
		if b.end != nil {
			if err := b.end(); err != nil {
				return n, err
			}
		}
		b.over = true
		return n, io.EOF
	case err != nil && b.u.body.failed != nil:
		return n, b.u.body.failed
	case err != nil:
		return n, malformed("body", "truncated", "did not arrive whole")
	}
	return n, nil
}
