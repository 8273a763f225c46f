package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/mux"

	"annals/domain"
	"annals/internal/access"
)

// BenchmarkFrame is what the frame costs a request: who asks is known, nothing is done.
func BenchmarkFrame(b *testing.B) {
	router := mux.NewRouter()
	who := domain.ID{1}
	New(router, Config{
		Logger: slog.New(slog.DiscardHandler), Limits: Limits{Actor: Limit{1e9, 1e9}, Address: Limit{1e9, 1e9}},
		Authenticate: func(context.Context, string) (*access.Actor, error) { return &access.Actor{Who: who}, nil },
		Refused:      func(context.Context, Refusal) {},
	})
	router.HandleFunc("/nothing/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }).Methods(http.MethodGet)
	r := httptest.NewRequest(http.MethodGet, "/nothing/9b2f8a52-4a83-4b0f-8f5e-3d0f5b1c2a6d", nil)
	r.Header.Set("Authorization", "Bearer annals_s_0123456789012345678901234567890123456789")
	b.ReportAllocs()
	for b.Loop() {
		router.ServeHTTP(httptest.NewRecorder(), r)
	}
}
