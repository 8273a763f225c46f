package leaks_test

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"annals/internal/apitest"
)

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

// opens: a client was shown to somebody, or was so before, when they saw it perhaps.
func (a *asker) opens(n id) {
	a.opened[a.who] = slices.Insert(slices.DeleteFunc(a.opened[a.who], func(o id) bool { return o == n }), 0, n)
}

// readRecent: what one has opened last oneself, as far as one sees it still. A program
// opens nothing.
func (a *asker) readRecent(route string) {
	if a.v.me != none {
		a.readClient("GET /api/v1/clients/{id}")
		for _, n := range some(a.rnd, sorted(a.now.clients), 20) {
			a.w.s.Recent.Add(a.who, n, a.w.s.Clock.Now())
			a.opens(n)
		}
	}
	limit := pick(a.rnd, []int{1, 3, 50})
	r := a.get(at(route, none) + "?" + url.Values{"limit": {strconv.Itoa(limit)}}.Encode())
	if a.v.me == none {
		if r.status != http.StatusForbidden {
			a.wrong(r.request, "a key has opened nothing: want 403, got %d %s", r.status, r.body)
		}
		return
	}
	var want, got []string
	for _, n := range a.opened[a.who] {
		if a.v.sees(a.now.clients[n].place) && len(want) < limit {
			want = append(want, line(n, a.clientLine(n)))
		}
	}
	items, _ := r.json()["items"].([]any)
	for _, item := range items {
		got = append(got, line(text(item.(apitest.Map)["id"]), clientItem(item.(apitest.Map))))
	}
	if !slices.Equal(want, got) {
		a.wrong(r.request, "want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}
