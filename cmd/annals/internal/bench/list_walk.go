package bench

import (
	"context"
	"runtime/debug"
	"runtime/metrics"

	"annals/internal/access"
	"annals/readapi"
)

// walked is how many clients of a list are read one page after the other.
const walked = 1_000_000

// listed reads a list page by page, and looks at how much memory that takes.
func (r *run) listed(ctx context.Context, api *readapi.API, k kind) error {
	r.Logger.InfoContext(ctx, "reading a list page by page")
	ctx = access.With(ctx, access.Caller{Actor: k.who[0]})
	in := shape{sort: []string{"name"}}.request(500)
	debug.FreeOSMemory() // what filling took
	n, most, begun := 0, resident(), now()
	for n < walked {
		page, err := api.Query(ctx, in)
		if err != nil {
			return err
		}
		n += len(page.Body.Items)
		most = max(most, resident())
		if in.Body.Cursor = page.Body.NextCursor; in.Body.Cursor == "" {
			break
		}
	}
	f := Figure{
		Name: "list", What: number(float64(n)) + " clients read page by page, in the process", Value: float64(most) / 1e6, Unit: "MB",
		Note: number(float64(n)/now().Sub(begun).Seconds()) + " clients/s",
	}
	r.add(f.target("≤ 300 MB", f.Value <= 300))
	return nil
}

// resident is how many bytes of memory the process has of the system.
func resident() uint64 {
	all := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(all)
	return all[0].Value.Uint64() - all[1].Value.Uint64()
}
