package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// commands measures commands through the whole of a server that does everything
// at once: the API, the log and the read models.
func (r *run) commands(ctx context.Context) error {
	if r.appended == 0 { // the limit
		apart := &run{Config: r.Config, report: &Report{}}
		apart.Profile = ""
		if err := apart.appends(ctx); err != nil {
			return err
		}
		r.appended = apart.appended
	}
	return r.served(ctx, func(url string, o *office) error {
		empty, failed, err := repeat(ctx, r.Duration/2, func(ctx context.Context, _ *rand.Rand) error {
			_, err := o.do(ctx, http.MethodGet, "/healthz", nil, false)
			return err
		})
		if failed > 0 {
			return fmt.Errorf("empty requests: %d failed: %w", failed, err)
		}
		who, failed, err := repeat(ctx, r.Duration/2, func(ctx context.Context, _ *rand.Rand) error {
			_, err := o.do(ctx, http.MethodGet, "/api/v1/me", nil, true)
			return err
		})
		if failed > 0 {
			return fmt.Errorf("requests: %d failed: %w", failed, err)
		}
		var mixed took
		err = r.profiled(ctx, "commands", url, func() error {
			mixed, failed, err = repeat(ctx, r.Duration, func(ctx context.Context, rnd *rand.Rand) error {
				_, err := o.mixed(ctx, rnd)
				return err
			})
			return nil
		})
		if err != nil {
			return err
		}
		if failed > 0 {
			return fmt.Errorf("%d commands failed: %w", failed, err)
		}
		f := Figure{
			Name: "commands", What: fmt.Sprintf("%d connections, mixed", connections), Value: mixed.rate(), Unit: "commands/s", P50: mixed.at(50), P99: mixed.at(99),
			Limit: r.appended, LimitIs: "appends with 64 callers", Note: number(float64(len(mixed.each))) + " commands: register 30 %, edit, assign and retag 20 % each, status 10 %; none failed",
		}
		r.add(f)
		f.Limit, f.LimitIs, f.Note = empty.rate(), "empty requests to the same server", ""
		r.add(f)
		r.add(Figure{
			Name: "commands", What: "who is signed in, asked instead", Value: who.rate(), Unit: "requests/s", P50: who.at(50), P99: who.at(99),
			Limit: empty.rate(), LimitIs: "empty requests to the same server",
		})
		return nil
	})
}
