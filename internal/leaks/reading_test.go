package leaks_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reads compares what every route of reading answers with the model.
var reads map[string]func(*asker, string)

func init() {
	reads = map[string]func(*asker, string){
		"GET /api/docs":                         nil, // for anybody
		"GET /api/openapi.json":                 nil,
		"GET /api/asyncapi.json":                nil,
		"GET /api/v1/events/schemas/{name}":     nil,
		"GET /api/v1/events":                    nil, // see TestEventFeedIsForWhoMaySee of package readapi
		"GET /api/v1/events/stream":             nil,
		"GET /api/v1/events/export":             nil,
		"GET /api/v1/clients":                   (*asker).readClients,
		"GET /api/v1/clients/{id}":              (*asker).readClient,
		"GET /api/v1/clients/recent":            (*asker).readRecent,
		"GET /api/v1/clients/{id}/history":      (*asker).readClientHistory,
		"GET /api/v1/clients/{id}/replay":       (*asker).readReplay,
		"GET /api/v1/clients/{id}/access":       (*asker).readAccess,
		"GET /api/v1/clients/{id}/erasure":      (*asker).readErasure,
		"GET /api/v1/clients/{id}/export":       (*asker).readExport,
		"GET /api/v1/projects":                  (*asker).readProjects,
		"GET /api/v1/projects/{id}":             (*asker).readProject,
		"GET /api/v1/desks":                     (*asker).readDesks,
		"GET /api/v1/desks/{id}":                (*asker).readDesk,
		"GET /api/v1/employees":                 (*asker).readEmployees,
		"GET /api/v1/employees/{id}":            (*asker).readEmployee,
		"GET /api/v1/employees/{id}/history":    (*asker).readEmployeeHistory,
		"GET /api/v1/roles":                     (*asker).readRoles,
		"GET /api/v1/roles/{id}":                (*asker).readRole,
		"GET /api/v1/api-keys":                  (*asker).readKeys,
		"GET /api/v1/api-keys/{id}":             (*asker).readKey,
		"GET /api/v1/me":                        (*asker).readMe,
		"GET /api/v1/me/second-factor":          (*asker).readSecondFactor,
		"GET /api/v1/sessions":                  (*asker).readSessions,
		"GET /api/v1/audit/refusals":            (*asker).readRefusals,
		"GET /api/v1/clients/{id}/access-log":   (*asker).readClientAccessLog,
		"GET /api/v1/employees/{id}/access-log": (*asker).readEmployeeAccessLog,
		"GET /api/v1/clients/{id}/diff":         (*asker).readDiff,
		"GET /api/v1/audit/events":              (*asker).readEvents,

		"GET /api/v1/actions":                               (*asker).readActions,
		"GET /api/v1/clients/{id}/activity":                 (*asker).readFeed,
		"GET /api/v1/clients/{id}/activity/{item}":          (*asker).readActivity,
		"GET /api/v1/clients/{id}/documents":                (*asker).readDocuments,
		"GET /api/v1/clients/{id}/documents/{item}":         (*asker).readDocument,
		"GET /api/v1/clients/{id}/documents/{item}/content": (*asker).readContent,
		"GET /api/v1/clients/{id}/records":                  (*asker).readRecordSums,
		"GET /api/v1/clients/{id}/records/{kind}":           (*asker).readRecords,
		"GET /api/v1/clients/stream":                        nil, // see TestStreams
		"GET /api/v1/custom-fields":                         (*asker).readDefinitions,
		"GET /api/v1/custom-fields/{id}":                    (*asker).readDefinition,
		"GET /api/v1/notifications":                         (*asker).readInbox,
		"GET /api/v1/notifications/preferences":             (*asker).readPreferences,
		"GET /api/v1/notifications/stream":                  nil,

		// Tests of internal/webhook say who is told what by webhooks, and who may see which.
		"GET /api/v1/webhooks":                            nil,
		"GET /api/v1/webhooks/{id}":                       nil,
		"GET /api/v1/webhooks/{id}/deliveries":            nil,
		"GET /api/v1/webhooks/{id}/deliveries/{delivery}": nil,

		"GET /api/v1/tags":                     (*asker).readDefinitions,
		"GET /api/v1/tags/{id}":                (*asker).readDefinition,
		"GET /api/v1/templates":                (*asker).readDefinitions,
		"GET /api/v1/templates/{id}":           (*asker).readDefinition,
		"GET /api/v1/templates/placeholders":   (*asker).readPlaceholders,
		"GET /api/v1/retention-rules":          (*asker).readDefinitions,
		"GET /api/v1/retention-rules/{id}":     (*asker).readDefinition,
		"GET /api/v1/retention-rules/{id}/due": (*asker).readDue,
		"GET /api/v1/views":                    (*asker).readViews,
		"GET /api/v1/views/{id}":               (*asker).readView,
	}
}

// together is how many organisations share a System.
const together = 125

// Nobody learns of anything that they may not see, and everybody sees all that they may.
func TestReading(t *testing.T) {
	t.Parallel()
	p := planned(t, 1000, 1)
	p = p.raced(t, 50)
	for from := 0; from < p.n; from += together {
		if p.only >= 0 && p.only/together != from/together {
			continue
		}
		t.Run(strconv.Itoa(from), func(t *testing.T) {
			t.Parallel()
			p.read(t, from, min(from+together, max(p.n, p.only+1)))
		})
	}
}

// read makes some organisations in a System, and asks them.
func (p plan) read(t *testing.T, from, to int) {
	t.Helper()
	w := newWorld(t)
	knows(t, routes(t, w.s.Router, "GET", "HEAD"), reads)
	for i := from; i < to; i++ {
		if p.only < 0 || p.only == i {
			w.add(t, p.seed, i, i%100 == 7, i%8 == 0)
		}
	}
	w.settle(t)
	orgs := w.orgs[:len(w.orgs)-1] // all but who settled it
	for _, o := range orgs {
		o.read(t)
	}
	t.Logf("%d organisations were asked, %d requests: %v; reaches of clients.view: %v, managers who see their client no more: %d",
		len(orgs), w.asked, w.tally, w.reaches, w.left)
	if len(orgs) < 50 {
		return
	}
	for _, status := range []int{200, 401, 403, 404} {
		if w.tally[status] == 0 {
			t.Errorf("nothing was answered %d: the test has hardly tested anything", status)
		}
	}
	for reach, n := range w.reaches {
		if n == 0 || w.left == 0 {
			t.Errorf("nobody sees clients within %q, or none left a client behind (%d): the test has hardly tested anything", reachNames[reach], w.left)
		}
	}
}

// knows holds the routes that there are against those that a test knows.
func knows[F any](t *testing.T, routes []string, known map[string]F) {
	t.Helper()
	for _, r := range routes {
		if _, ok := known[r]; !ok {
			t.Errorf("%s: nothing here says who may do what with it", r)
		}
	}
	for r := range known {
		if !slices.Contains(routes, r) {
			t.Errorf("%s is no route", r)
		}
	}
}

// read has everybody ask for everything.
func (o *org) read(t *testing.T) {
	t.Helper()
	to := http.Handler(o.w.quick)
	if o.big {
		to = o.w.s.Router
	}
	for _, who := range append(sorted(o.now.people), sorted(o.now.keys)...) {
		k := o.now.keys[who]
		if a := o.asker(t, who, to); o.now.people[who].off || k.off || o.now.people[k.owner].off {
			a.isNobody()
		} else {
			for _, route := range routeOrder() {
				if !furnishing.MatchString(route) || a.chance(o.often()) {
					reads[route](a, route)
				}
			}
			o.w.reaches[a.v.rights["clients.view"]]++
			for _, c := range o.now.clients {
				if c.manager == who && !a.v.sees(c.place) {
					o.w.left++
				}
			}
		}
	}
}

// furnishing are the routes that tell of what belongs to clients, or is defined for them.
var furnishing = regexp.MustCompile(`/(actions|activity|documents|records|custom-fields|notifications|retention-rules|tags|templates|views)\b`)

// often is how often these are asked, in percent: where there is nothing, there is little
// to learn.
func (o *org) often() int {
	switch {
	case o.big:
		return 100
	case o.furnished:
		return 60
	}
	return 10
}

// routeOrder are the routes in an order that is always the same.
func routeOrder() (out []string) {
	for r, read := range reads {
		if read != nil {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// isNobody: who was deactivated is told nothing at all.
func (a *asker) isNobody() {
	for _, route := range []string{pick(a.rnd, routeOrder()), "GET /api/v1/me", "GET /api/v1/clients"} {
		route = strings.Replace(route, "{kind}", "tickets", 1)
		if r := a.get(at(route, pick(a.rnd, sorted(a.now.clients)), a.newID())); r.status != http.StatusUnauthorized {
			a.wrong(r.request, "they are deactivated, or the key is: want 401, got %d %s", r.status, r.body)
		}
	}
}
