package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/access"
	"annals/internal/postgres/pgtest"
	"annals/internal/reader"
	"annals/projections"
	"annals/readapi"
)

func TestZZ(t *testing.T) {
	n := 100000
	fmt.Sscan(os.Getenv("N"), &n)
	ctx := context.Background()
	r := &run{Config: Config{Clients: n, Logger: slog.New(slog.DiscardHandler)}}
	url := pgtest.Database(t)
	f := newFirm()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(r.emptyModels(ctx, url))
	check(f.indexed(ctx, r, url))
	start := time.Now()
	check(f.fill(ctx, url, r.Clients))
	fmt.Println("filled", time.Since(start))
	db, err := reader.Open(ctx, url, 1)
	check(err)
	owner, err := pgxpool.New(ctx, url)
	check(err)
	api := &readapi.API{DB: db, Want: func(ctx context.Context, name, expression string) error {
		return projections.Want(ctx, owner, name, expression)
	}}
	time.Sleep(time.Second)
	for i, k := range f.kinds() {
		if i == 1 || i == 2 {
			continue
		}
		for _, s := range shapes() {
			if g := os.Getenv("GROUP"); g != "" && s.group != g {
				continue
			}
			for _, one := range []string{"ours", "hand"} {
				if one == "hand" && os.Getenv("HAND") == "" {
					continue
				}
				var ds []time.Duration
				for i := 0; i < 40; i++ {
					var d time.Duration
					var err error
					if one == "ours" {
						d, err = r.byAPI(ctx, api, k.who[i%16], s, i%16)
					} else {
						d, err = s.byHand(ctx, owner, k.who[i%16])
					}
					check(err)
					if i >= 16 {
						ds = append(ds, d)
					}
				}
				x := newTook(0, ds)
				fmt.Printf("%-26s %-18s %-26s %s p50 %6.2f p99 %6.2f\n", k.name, s.group, s.name, one, float64(x.at(50))/1e6, float64(x.at(99))/1e6)
			}
		}
	}
	_ = access.With
	_ = pgx.Batch{}
}
