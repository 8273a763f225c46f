package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

// An export has no length beforehand. Where it cannot be made to its end the connection
// is cut, so that nobody takes a part of it for the whole.
func TestExportIsWholeOrCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size int
		err  error
	}{
		"whole":             {size: 100},
		"long and whole":    {size: 1 << 20},
		"cut at once":       {err: errors.New("no")},
		"cut in the middle": {size: 1 << 20, err: errors.New("no")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := mux.NewRouter()
			api := New(router, Config{Logger: slog.New(slog.DiscardHandler)})
			HandleExport(api, Op{ID: "get", Method: http.MethodGet, Path: "/export", Summary: "Get", Tag: "x", Anyone: true}, struct{ A string }{}, []string{"text/html"},
				func(context.Context, *struct{}) (*Export, error) {
					return &Export{Name: "a.html", MediaType: "text/html; charset=utf-8", Write: func(_ context.Context, w io.Writer) error {
						_, err := io.WriteString(w, strings.Repeat("x", c.size))
						return errors.Join(err, c.err)
					}}, nil
				})
			server := httptest.NewServer(router)
			t.Cleanup(server.Close)
			res, err := server.Client().Get(server.URL + "/export")
			if err != nil {
				if c.err == nil {
					t.Fatal(err)
				}
				return
			}
			defer res.Body.Close()
			raw, err := io.ReadAll(res.Body)
			if (err == nil) != (c.err == nil) || err == nil && len(raw) != c.size {
				t.Errorf("%d bytes, %v", len(raw), err)
			}
			if h := res.Header; h.Get("Content-Security-Policy") != confined || h.Get("Content-Disposition") != `attachment; filename="a.html"` || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%v", h)
			}
		})
	}
}
