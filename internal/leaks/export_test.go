package leaks_test

import "net/http"

// readExport asks for everything about a client, which takes more than to see the client.
func (a *asker) readExport(route string) {
	for _, n := range someOf(a, a.now.clients, 1) {
		c := a.now.clients[n]
		if !a.v.sees(c.place) {
			a.one(route, n, false, nil)
			continue
		}
		may := a.v.reaches("clients.export", c.place)
		a.permitted(at(route, n), may)
		if !may {
			continue
		}
		r := a.get(at(route, n))
		if m := r.json(); r.status != http.StatusOK || text(m["client_id"]) != n.String() || text(sub(m, "record")["last_name"]) != c.last {
			a.wrong(r.request, "want client %s, %s: got %d %s", n, c.last, r.status, r.body)
		}
	}
}
