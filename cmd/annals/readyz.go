package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"annals/projections"
)

// readiness is the answer of /readyz.
type readiness struct {
	Ready      bool        `json:"ready"`
	Error      string      `json:"error,omitempty"`
	Projectors []projector `json:"projectors,omitempty"`
}

// projector is how a read model is doing: the one in use, and one that is being built.
type projector struct {
	Name        string     `json:"name"`
	Version     int        `json:"version"`
	State       string     `json:"state"`
	Position    string     `json:"position"`
	LagSeconds  float64    `json:"lag_seconds"`
	Parked      int        `json:"parked_streams"`
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt *time.Time `json:"last_error_at,omitempty"`
}

// readyz answers 200 when everything is in order and 503 otherwise, and either way
// how the read models are doing. A parked stream is not in order, but no reason to
// take the others from those who work with them.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	var answer readiness
	status := http.StatusOK
	if err := s.check(r.Context()); err != nil {
		answer.Error, status = err.Error(), http.StatusServiceUnavailable
	} else {
		answer.Ready = true
		answer.Projectors = s.projectors(r.Context())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // whoever asked may be gone
}

func (s *server) projectors(ctx context.Context) (all []projector) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found, err := projections.StatusOf(ctx, s.pool, s.log)
	if err != nil {
		s.logger.WarnContext(ctx, "status of the read models", "err", err)
	}
	for _, f := range found {
		if f.State != "live" && f.State != "building" {
			continue
		}
		p := projector{f.Name, f.Version, f.State, f.Position.String(), f.Lag.Seconds(), len(f.Parked), f.Error, nil}
		if f.Error != "" {
			p.LastErrorAt = new(f.ErrorAt)
		}
		all = append(all, p)
	}
	return all
}
