package leaks_test

import "net/http"

// fireStar: whoever sees a client makes it a favourite of theirs, and no key has one.
func (a *asker) fireStar(route string) {
	for _, n := range a.targets("clients.view") {
		s := shot{route: route, id: n, want: unless(a.overClient("clients.view", a.now.clients[n])), idle: true}
		if a.v.me == none {
			s.want, s.code = http.StatusForbidden, "people_only"
		}
		a.fire(s)
	}
}
