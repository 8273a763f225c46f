package webhook

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/eventlog"
)

// However events, looks into the log and answers of the read models follow each other, what is
// remembered of where a client belongs is what was last heard, or what has not changed since it
// was asked for.
func TestPlaces(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	clients := make([]domain.ID, 12)
	for i := range clients {
		clients[i] = uuid.New()
	}
	for range 300 {
		var p places
		p.begin(eventlog.Position{Commit: 5, Prepare: 5})
		p.most = 1 + rnd.IntN(15)
		log := []map[domain.ID]domain.Place{{}} // what it was after each event
		happen := func() {
			now := maps.Clone(log[len(log)-1])
			id := clients[rnd.IntN(len(clients))]
			now[id] = domain.Place{Project: uuid.New()}
			log = append(log, now)
			if n := uint64(len(log)); n > 5 { // the others were before it began
				p.tell(id, now[id], eventlog.Position{Commit: n, Prepare: n})
			}
		}
		some := func(n int) {
			for range rnd.IntN(n) {
				happen()
			}
		}
		for len(log) < 5 {
			happen()
		}
		for range 60 {
			some(3)
			switch dice := rnd.IntN(80); {
			case dice == 0:
				p.doubts(clients[rnd.IntN(len(clients))])
			case dice < 40:
				asked := p.unknown(slices.Values(clients))
				err := p.learn(func(upTo eventlog.Position) (map[domain.ID]domain.Place, error) {
					some(3)
					at := int(upTo.Commit) - 1
					at += rnd.IntN(len(log) - at)
					some(3)
					out := map[domain.ID]domain.Place{}
					for _, id := range asked {
						if place, there := log[at][id]; there {
							out[id] = place
						}
					}
					return out, nil
				})
				if err != nil {
					t.Fatal(err)
				}
			default:
				_, _, err := p.get(t.Context(), clients[rnd.IntN(len(clients))], func(_ context.Context, id domain.ID) (domain.Place, bool, error) {
					some(2)
					at, known := log[len(log)-1][id]
					some(2)
					return at, known, nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for id, l := range p.known {
				if is, there := log[len(log)-1][id]; l.known != there || l.at != is {
					t.Fatalf("%s is remembered at %v, %v, and is at %v, %v", id, l.at, l.known, is, there)
				}
			}
		}
	}
}
