package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"annals/internal/access"
)

// Export is a file that is made while it is sent, however long it gets.
type Export struct {
	Name      string // what it is saved as
	MediaType string // one of those that the operation answers, with parameters
	Header    http.Header
	// Write makes the file. The context ends when nobody takes anything for a while.
	Write func(context.Context, io.Writer) error
}

// HandleExport adds an operation that answers such a file, for browsers to save and never
// to run: as JSON like the example, unless that is nil, or in one of the other media types. Where it cannot be
// made to its end the connection is cut: the client sees that it does not have all of it.
func HandleExport[I any](a *API, op Op, example any, media []string, h func(context.Context, *I) (*Export, error)) {
	content := map[string]*huma.MediaType{}
	if example != nil {
		content["application/json"] = &huma.MediaType{Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(example), true, "")}
	}
	for _, m := range media {
		content[m] = &huma.MediaType{Schema: binary()}
	}
	attachment(a, op, content, func(ctx context.Context, in *I) (func(http.ResponseWriter), error) {
		e, err := h(ctx, in)
		if err != nil {
			return nil, err
		}
		return func(w http.ResponseWriter) { a.export(ctx, w, e) }, nil
	})
}

// export answers the file. It panics, as net/http takes it, where that fails.
func (a *API) export(ctx context.Context, w http.ResponseWriter, e *Export) {
	taking, progress := patient(ctx, a.timeout)
	defer progress(false)
	h := w.Header()
	maps.Copy(h, e.Header)
	h.Set("Content-Type", e.MediaType)
	h.Set("Content-Disposition", disposition(e.Name))
	h.Set("Content-Security-Policy", confined)
	h.Set("Accept-Ranges", "none")
	w.WriteHeader(http.StatusOK)
	to := &taker{w: w, conn: http.NewResponseController(w), began: time.Now(), timeout: a.timeout, progress: progress} //nolint:forbidigo // deadlines of the connection
	out := bufio.NewWriterSize(to, 32<<10)
	err := e.Write(taking, out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		return
	}
	if !to.gone {
		a.logger.ErrorContext(ctx, "a file could not be made to its end", "request_id", access.From(ctx).Request.String(), "err", stalled(taking, err))
	}
	panic(http.ErrAbortHandler)
}

// taker writes to who may be slow, as long as they take something.
type taker struct {
	w        http.ResponseWriter
	conn     *http.ResponseController
	began    time.Time
	timeout  time.Duration
	progress func(bool)
	sent     int64
	gone     bool // nobody takes anything any more
}

var errGone = errors.New("nobody takes the answer any more")

func (t *taker) Write(p []byte) (int, error) {
	now := time.Now() //nolint:forbidigo // deadlines of the connection
	_ = t.conn.SetWriteDeadline(deadline(now, t.began, t.timeout, t.sent))
	n, err := t.w.Write(p)
	t.sent += int64(n)
	if err != nil {
		t.gone = true
		return n, errors.Join(errGone, err)
	}
	t.progress(true)
	return n, nil
}
