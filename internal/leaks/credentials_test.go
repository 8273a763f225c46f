package leaks_test

import (
	"net/http"

	"annals/internal/auth"
)

// fireClearFactor: whoever may change how somebody signs in may, and not a key. Nobody
// here has a second factor, so that is what those are told.
func (a *asker) fireClearFactor(route string) {
	for _, n := range a.people(false) {
		s := shot{route: route, id: n, want: a.overPerson(n, false), stream: personStream(n)}
		switch {
		case a.v.me == none:
			s.want, s.code = http.StatusForbidden, "people_only"
		case s.want != 0:
		case a.now.people[n].off:
			s.want = http.StatusConflict
		case a.oneself(n):
			s.want, s.code = http.StatusForbidden, "self"
		case a.hired[n]: // by a command, which makes credentials
			s.want, s.code = http.StatusConflict, "totp_not_enabled"
		default:
			s.want, s.code = http.StatusNotFound, "credentials"
		}
		a.fire(s)
	}
}

// fireNewKey: a key may do what whoever makes it may, and where.
func (a *asker) fireNewKey(route string) {
	for range 2 {
		k := apiKey{name: unique("Key"), owner: a.who, grants: a.someRights()}
		if k.grants["clients.view"] = a.v.rights["clients.view"]; k.grants["clients.view"] < desk {
			k.grants["clients.view"] = desk
		}
		if a.chance(50) {
			k.projects, k.desks = a.randomScope(50, 50)
		}
		everywhere := true
		for p, reach := range k.grants {
			if reach = max(reach, desk); len(k.projects)+len(k.desks) > 0 {
				reach = min(reach, project)
			}
			k.grants[p] = reach
			everywhere = everywhere && a.v.rights[p] == all
		}
		may := a.v.me != none && a.v.hasAll(k.grants) && (everywhere || k.projects.within(a.v.projects) && k.desks.within(a.v.desks))
		body := obj{"name": k.name, "permissions": grants(k.grants)}
		if len(k.projects) > 0 {
			body["projects"] = sorted(k.projects)
		}
		if len(k.desks) > 0 {
			body["desks"] = sorted(k.desks)
		}
		if r, done := a.fire(shot{route: route, body: body, want: whether(may, http.StatusCreated)}); done && may {
			n := made(r)
			a.now.keys[n], a.tokens[n] = k, field(r.json(), "key")
			a.ends[keyStream(n)] = 0
		}
	}
}

func (a *asker) fireRevokeKey(route string) {
	for _, n := range someOf(a, a.now.keys, 3) {
		k := a.now.keys[n]
		s := shot{route: route, id: n, want: http.StatusOK, stream: keyStream(n), idle: k.off}
		if a.v.me == none {
			s.want, s.code = http.StatusForbidden, "people_only"
		} else if !a.v.seesKey(k) {
			s.want = http.StatusNotFound
		}
		if _, done := a.fire(s); done {
			k.off = true
			a.now.keys[n] = k
			if r := send(a.T, a.to, "GET", "/api/v1/me", a.tokens[n], ""); r.Code != http.StatusUnauthorized {
				a.wrong(route, "key %s was revoked, and is answered %d", n, r.Code)
			}
		}
	}
}

// fireSignOut ends the session that asks.
func (a *asker) fireSignOut(route string) {
	if _, done := a.fire(shot{route: route, want: whether(a.v.me != none, http.StatusNoContent)}); done {
		if r := send(a.T, a.to, "GET", "/api/v1/me", a.tokens[a.who], ""); r.Code != http.StatusUnauthorized {
			a.wrong(route, "after signing out: %d", r.Code)
		}
		a.session(a.T, a.who)
	}
}

func ended(refused int) int {
	if refused != 0 {
		return refused
	}
	return http.StatusNoContent
}

// overSessions is how it is refused to see or end where an employee is signed in: as to
// change how they sign in. One's own are one's own.
func (a *asker) overSessions(n id) int {
	switch {
	case a.v.me == none:
		return http.StatusForbidden
	case n == a.who:
		return 0
	}
	refused := a.overPerson(n, false)
	if refused == 0 && a.now.people[n].off {
		return http.StatusConflict
	}
	return refused
}

func (a *asker) fireEndSession(route string) {
	for _, n := range []id{a.who, pick(a.rnd, sorted(a.now.people))} {
		if _, person := a.now.people[n]; !person || a.now.people[n].off {
			continue
		}
		s, err := a.w.s.Auth.Start(a.Context(), n, auth.StartOptions{Method: auth.ByPassword})
		if err != nil {
			a.Fatal(err)
		}
		_, done := a.fire(shot{route: route, id: s.ID, query: "?employee=" + n.String(), want: ended(a.overSessions(n))})
		if r := send(a.T, a.to, "GET", "/api/v1/me", s.Token, ""); (r.Code == http.StatusOK) == done {
			a.wrong(route, "the session of %s was ended: %v, and is answered %d", n, done, r.Code)
		}
	}
}

func (a *asker) fireEndSessions(route string) {
	for _, n := range []id{a.who, pick(a.rnd, sorted(a.now.people))} {
		if _, person := a.now.people[n]; !person || a.now.people[n].off {
			continue
		}
		s, err := a.w.s.Auth.Start(a.Context(), n, auth.StartOptions{Method: auth.ByPassword})
		if err != nil {
			a.Fatal(err)
		}
		_, done := a.fire(shot{route: route, query: "?employee=" + n.String(), want: ended(a.overSessions(n))})
		if r := send(a.T, a.to, "GET", "/api/v1/me", s.Token, ""); (r.Code == http.StatusOK) == done {
			a.wrong(route, "the sessions of %s were ended: %v, and one is answered %d", n, done, r.Code)
		}
		if done && n != a.who {
			a.session(a.T, n)
		}
	}
}

// fireOwn: with what somebody signs in is their own business, and no key's. Nobody here
// has a password or a second factor, so they are told that it does not fit.
func (a *asker) fireOwn(route string) {
	body := obj{"code": "000000"}
	switch route {
	case "POST /api/v1/me/password":
		body = obj{"old_password": "not the password", "new_password": "another password"}
	case "POST /api/v1/me/second-factor":
		body = obj{"password": "not the password"}
	case "POST /api/v1/me/second-factor/remove":
		body = obj{"password": "not the password", "code": "000000"}
	}
	s := shot{route: route, body: body, want: http.StatusForbidden, code: "people_only"}
	if a.v.me != none {
		s.want, s.code = http.StatusNotFound, "credentials"
	}
	a.fire(s)
}
