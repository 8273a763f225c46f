package refusals

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/postgres/pgtest"
)

func TestList(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t, pgtest.Database(t)))
	for i := range 30 {
		r := refusal()
		r.At = noon.Add(time.Duration(i/3) * time.Minute) // three at a time
		r.Actor = domain.ID{byte(i % 3)}
		r.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%d::%d", i%2, i+1))
		r.Status, r.Code = 401+i%4, []string{"token", "b", "forbidden", "d"}[i%4]
		s.Add(r)
	}
	flush(t, s)
	for name, c := range map[string]struct {
		f    Filter
		want int
	}{
		"all":     {Filter{}, 30},
		"actor":   {Filter{Actor: domain.ID{1}}, 10},
		"network": {Filter{IP: netip.MustParseAddr("2001:db8:0:1::ffff")}, 15},
		"from":    {Filter{From: noon.Add(5 * time.Minute)}, 15},
		"to":      {Filter{To: noon.Add(time.Minute)}, 3},
		"status":  {Filter{Status: []int{401, 403}}, 15},
		"code":    {Filter{Code: "token"}, 8},
		"several": {Filter{Code: "token", Status: []int{401}, Actor: domain.ID{2}, From: noon, To: noon.Add(time.Hour)}, 2},
		"nothing": {Filter{Code: "' or true --"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := list(t, s, c.f)
			if len(all) != c.want {
				t.Errorf("%d rows, want %d", len(all), c.want)
			}
			var paged []Row
			f := c.f
			f.Limit = 4
			for {
				rows, next, err := s.List(t.Context(), f)
				if err != nil || len(rows) > 4 {
					t.Fatal(len(rows), err)
				}
				paged = append(paged, rows...)
				if f.Before = next; next == "" {
					break
				}
			}
			if d := cmp.Diff(all, paged, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
	for _, f := range []Filter{{Before: "x"}, {Before: "AAAA"}, {Before: cursor(time.Unix(1<<45, 0), uuid.Nil)}} {
		if _, _, err := s.List(t.Context(), f); !errors.Is(err, ErrCursor) {
			t.Errorf("%s: %v", f.Before, err)
		}
	}
}
