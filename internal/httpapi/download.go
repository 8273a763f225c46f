package httpapi

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"annals/internal/access"
)

// Download is a file on its way out.
type Download struct {
	Name      string // what it is saved as
	MediaType string // one of those that the operation answers, with parameters
	Size      int64
	Header    http.Header // what else is said of it
	// Open begins to read it. The context ends when nobody takes anything for a while.
	Open func(context.Context) (io.ReadCloser, error)
}

// HandleDownload adds an operation that answers a file of one of the media types, for
// browsers to save and never to run. Where its bytes end too soon, or fail, the
// connection is cut: the client sees that it does not have all of it.
func HandleDownload[I any](a *API, op Op, media []string, h func(context.Context, *I) (*Download, error)) {
	content := map[string]*huma.MediaType{}
	for _, m := range media {
		content[m] = &huma.MediaType{Schema: binary()}
	}
	attachment(a, op, content, func(ctx context.Context, in *I) (func(http.ResponseWriter), error) {
		d, err := h(ctx, in)
		if err != nil {
			return nil, err
		}
		taking, progress := patient(ctx, a.timeout)
		bytes, err := d.Open(taking)
		if err != nil {
			err = stalled(taking, err)
			progress(false)
			return nil, err
		}
		return func(w http.ResponseWriter) {
			defer progress(false)
			defer bytes.Close() //nolint:errcheck // nothing was written
			a.send(taking, w, d, bytes, progress)
		}, nil
	})
}

func binary() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }

// attachment adds an operation that answers one of the contents, for browsers to save.
func attachment[I any](a *API, op Op, content map[string]*huma.MediaType, h func(context.Context, *I) (func(http.ResponseWriter), error)) {
	type output struct {
		Body func(huma.Context)
	}
	o := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, Tags: []string{op.Tag},
		Security:  []map[string][]string{{"bearer": {}}, {"cookie": {}}},
		Responses: map[string]*huma.Response{"200": {Description: "The bytes of the file", Content: content, Headers: downloadHeaders()}},
	}
	if op.Needs != "" {
		o.Extensions = map[string]any{"x-permission": string(op.Needs)}
	}
	o.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		if err := op.admits(access.From(ctx.Context())); err != nil {
			_, w := humamux.Unwrap(ctx)
			problem(ctx.Context(), a.logger, err).write(w)
			return
		}
		next(ctx)
	}}
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*output, error) {
		send, err := h(ctx, in)
		if err != nil {
			return nil, problem(ctx, a.logger, err)
		}
		return &output{func(ctx huma.Context) {
			_, w := humamux.Unwrap(ctx)
			send(w)
		}}, nil
	})
}

func downloadHeaders() map[string]*huma.Param {
	header := func(doc string) *huma.Param {
		return &huma.Param{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return map[string]*huma.Param{
		"Content-Disposition": header("attachment, and what the file is called (RFC 6266)"),
		"ETag":                header("Names these bytes"),
		"Repr-Digest":         header("SHA-256 of the bytes (RFC 9530)"),
		"Annals-Position":     header("The answer shows everything up to this position of the log"),
	}
}

// confined has a browser that shows a file in spite of everything run nothing in it, as
// nobody.
const confined = "sandbox; default-src 'none'; frame-ancestors 'none'"

// send answers the file. It panics, as net/http takes it, when the file ends elsewhere
// than it should.
func (a *API) send(ctx context.Context, w http.ResponseWriter, d *Download, from io.Reader, progress func(bool)) {
	h := w.Header()
	maps.Copy(h, d.Header)
	h.Set("Content-Type", d.MediaType)
	h.Set("Content-Disposition", disposition(d.Name))
	h.Set("Content-Security-Policy", confined)
	h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
	h.Set("Accept-Ranges", "none")
	conn, began := http.NewResponseController(w), time.Now() //nolint:forbidigo // deadlines of the connection
	w.WriteHeader(http.StatusOK)
	buf := make([]byte, 32<<10)
	for sent := int64(0); ; {
		n, err := from.Read(buf)
		left := d.Size - sent - int64(n)
		if err == nil && left == 0 {
			_, err = io.ReadFull(from, make([]byte, 1)) // that nothing follows is found out before the last bytes go
		}
		if ended := errors.Is(err, io.EOF); ended != (left == 0) || err != nil && !ended {
			a.logger.ErrorContext(ctx, "a file could not be sent to its end", "request_id", access.From(ctx).Request.String(), "left", left, "err", err)
			panic(http.ErrAbortHandler)
		}
		now := time.Now() //nolint:forbidigo // the same
		_ = conn.SetWriteDeadline(deadline(now, began, a.timeout, sent))
		if _, gone := w.Write(buf[:n]); gone != nil {
			panic(http.ErrAbortHandler)
		}
		sent += int64(n)
		progress(true)
		if err != nil {
			return
		}
	}
}

// disposition has a file saved under its name: RFC 6266, with the name in ASCII for
// those who know no other, and in UTF-8 as RFC 8187 has it.
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return -1
		case r > 0x7e, strings.ContainsRune(`"\/%`, r): // a percent sign would be decoded by some
			return '_'
		}
		return r
	}, name)
	out := `attachment; filename="` + plain + `"`
	if plain == name {
		return out
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return out + "; filename*=UTF-8''" + b.String()
}

const upperHex = "0123456789ABCDEF"
