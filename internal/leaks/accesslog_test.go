package leaks_test

import "net/http"

// readClientAccessLog asks who was shown a client: what others did, which takes more than
// to see the client.
func (a *asker) readClientAccessLog(route string) {
	for _, n := range someOf(a, a.now.clients, 1) {
		c := a.now.clients[n]
		if !a.v.sees(c.place) {
			a.one(route, n, false, nil)
			continue
		}
		a.permitted(at(route, n)+"?limit=500", a.v.reaches("audit.view", c.place))
	}
}

// readEmployeeAccessLog asks what somebody was shown: in no answer is a client that whoever
// asks does not see.
func (a *asker) readEmployeeAccessLog(route string) {
	for _, n := range someOf(a, a.now.people, 1) {
		p := a.now.people[n]
		if !a.v.seesPerson(n, p) {
			a.one(route, n, false, nil)
			continue
		}
		a.permitted(at(route, n)+"?limit=500", a.v.knows("audit.view", n, p))
	}
}

// permitted asks for what somebody may have, or is forbidden.
func (a *asker) permitted(path string, may bool) {
	a.Helper()
	r := a.get(path)
	switch {
	case may && r.status != http.StatusOK:
		a.wrong(r.request, "want 200, got %d %s", r.status, r.body)
	case !may && (r.status != http.StatusForbidden || r.code() != "forbidden"):
		a.wrong(r.request, "they may not view what others did: want 403, got %d %s", r.status, r.body)
	}
}
