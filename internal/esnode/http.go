package esnode

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// newHTTP answers what is no gRPC: whether the node lives, and what it is. gRPC that comes through a general HTTP
// client is handed on.
func (n *Node) newHTTP() *http.Server {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /health/live", n.live)
	routes.HandleFunc("GET /info", n.info)
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				n.grpc.ServeHTTP(w, r)
				return
			}
			routes.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(n.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

func (n *Node) live(w http.ResponseWriter, _ *http.Request) {
	if n.Err() != nil || n.run.Err() != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (n *Node) info(w http.ResponseWriter, r *http.Request) {
	authentication := "insecure"
	if n.cfg.secure() {
		authentication = "internal"
	}
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]any{
		"esVersion": protocolVersion,
		"state":     "leader",
		"features":  map[string]bool{"projections": false, "userManagement": false, "atomPub": false},
		"authentication": map[string]any{
			"type":       authentication,
			"properties": map[string]string{},
		},
	})
	if err != nil {
		n.cfg.Logger.DebugContext(r.Context(), "node: answer /info", slog.Any("error", err))
	}
}
