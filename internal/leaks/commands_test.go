package leaks_test

import (
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"annals/internal/apitest"
)

// fires has somebody try every command, on all kinds of targets.
var fires map[string]func(*asker, string)

func init() {
	fires = map[string]func(*asker, string){
		"POST /api/v1/clients":                         (*asker).fireNewClient,
		"PATCH /api/v1/clients/{id}":                   (*asker).fireEdit,
		"POST /api/v1/clients/{id}/retag":              (*asker).fireRetag,
		"POST /api/v1/clients/{id}/status":             (*asker).fireStatus,
		"POST /api/v1/clients/{id}/assign":             (*asker).fireAssign,
		"POST /api/v1/clients/{id}/deactivate":         (*asker).fireDeactivate,
		"POST /api/v1/clients/{id}/reactivate":         (*asker).fireReactivate,
		"PUT /api/v1/clients/{id}/favourite":           (*asker).fireStar,
		"DELETE /api/v1/clients/{id}/favourite":        (*asker).fireStar,
		"POST /api/v1/projects":                        (*asker).fireNewProject,
		"POST /api/v1/desks":                           (*asker).fireNewDesk,
		"POST /api/v1/employees":                       (*asker).fireNewEmployee,
		"PATCH /api/v1/employees/{id}":                 (*asker).fireRename,
		"POST /api/v1/employees/{id}/assign":           (*asker).fireMove,
		"POST /api/v1/employees/{id}/roles":            (*asker).fireRoles,
		"POST /api/v1/employees/{id}/deactivate":       (*asker).fireDismiss,
		"POST /api/v1/employees/{id}/reactivate":       (*asker).fireRecall,
		"DELETE /api/v1/employees/{id}/second-factor":  (*asker).fireClearFactor,
		"POST /api/v1/roles":                           (*asker).fireNewRole,
		"POST /api/v1/roles/{id}/clone":                (*asker).fireClone,
		"PATCH /api/v1/roles/{id}":                     (*asker).fireChangeRole,
		"DELETE /api/v1/roles/{id}":                    (*asker).fireDeleteRole,
		"POST /api/v1/api-keys":                        (*asker).fireNewKey,
		"DELETE /api/v1/api-keys/{id}":                 (*asker).fireRevokeKey,
		"DELETE /api/v1/session":                       (*asker).fireSignOut,
		"DELETE /api/v1/sessions/{id}":                 (*asker).fireEndSession,
		"DELETE /api/v1/sessions":                      (*asker).fireEndSessions,
		"POST /api/v1/me/password":                     (*asker).fireOwn,
		"POST /api/v1/me/second-factor":                (*asker).fireOwn,
		"POST /api/v1/me/second-factor/confirm":        (*asker).fireOwn,
		"POST /api/v1/me/second-factor/recovery-codes": (*asker).fireOwn,
		"POST /api/v1/me/second-factor/remove":         (*asker).fireOwn,

		"POST /api/v1/clients/{id}/notes":                     (*asker).fireAdd,
		"PATCH /api/v1/clients/{id}/notes/{item}":             (*asker).fireEditThing,
		"DELETE /api/v1/clients/{id}/notes/{item}":            (*asker).fireDeleteThing,
		"POST /api/v1/clients/{id}/actions":                   (*asker).fireAdd,
		"PATCH /api/v1/clients/{id}/actions/{item}":           (*asker).fireEditThing,
		"DELETE /api/v1/clients/{id}/actions/{item}":          (*asker).fireDeleteThing,
		"POST /api/v1/clients/{id}/actions/{item}/done":       (*asker).fireFinish,
		"POST /api/v1/clients/{id}/actions/{item}/reopen":     (*asker).fireReopen,
		"POST /api/v1/clients/{id}/requests":                  (*asker).fireAdd,
		"POST /api/v1/clients/{id}/requests/{item}/status":    (*asker).fireResolve,
		"POST /api/v1/clients/{id}/requests/{item}/assign":    (*asker).fireTake,
		"POST /api/v1/clients/{id}/calls":                     (*asker).fireAdd,
		"PATCH /api/v1/clients/{id}/calls/{item}":             (*asker).fireEditThing,
		"DELETE /api/v1/clients/{id}/calls/{item}":            (*asker).fireDeleteThing,
		"POST /api/v1/clients/{id}/messages":                  (*asker).fireAdd,
		"POST /api/v1/clients/{id}/messages/preview":          (*asker).firePreview,
		"POST /api/v1/clients/{id}/messages/log":              (*asker).fireReply,
		"POST /api/v1/clients/{id}/messages/{item}/bounced":   (*asker).fireBounce,
		"POST /api/v1/clients/{id}/documents":                 (*asker).fireAdd,
		"POST /api/v1/clients/{id}/documents/{item}/versions": (*asker).fireNewVersion,
		"PATCH /api/v1/clients/{id}/documents/{item}":         (*asker).fireEditThing,
		"DELETE /api/v1/clients/{id}/documents/{item}":        (*asker).fireDeleteThing,
		"POST /api/v1/clients/{id}/records/{kind}":            (*asker).fireAdd,
		"PATCH /api/v1/clients/{id}/records/{kind}/{item}":    (*asker).fireEditThing,
		"DELETE /api/v1/clients/{id}/records/{kind}/{item}":   (*asker).fireDeleteThing,
		"POST /api/v1/clients/{id}/hold":                      (*asker).fireHold,
		"POST /api/v1/clients/{id}/release":                   (*asker).fireRelease,
		"POST /api/v1/clients/{id}/erase":                     (*asker).fireErase,
		"POST /api/v1/erasures/clean":                         (*asker).fireClean,
		"PUT /api/v1/clients/{id}/portal-access":              (*asker).firePortal,
		"POST /api/v1/clients/{id}/portal-sign-in":            (*asker).firePortalSignIn,
		"PUT /api/v1/projects/{id}/transitions":               (*asker).fireTransitions,
		"POST /api/v1/custom-fields":                          (*asker).fireDefine,
		"PATCH /api/v1/custom-fields/{id}":                    (*asker).fireRedefine,
		"POST /api/v1/custom-fields/{id}/retire":              (*asker).fireRedefine,
		"POST /api/v1/custom-fields/{id}/restore":             (*asker).fireRedefine,
		"POST /api/v1/tags":                                   (*asker).fireDefine,
		"PATCH /api/v1/tags/{id}":                             (*asker).fireRedefine,
		"POST /api/v1/tags/{id}/merge":                        (*asker).fireRedefine,
		"POST /api/v1/tags/{id}/retire":                       (*asker).fireRedefine,
		"POST /api/v1/tags/{id}/restore":                      (*asker).fireRedefine,
		"POST /api/v1/templates":                              (*asker).fireDefine,
		"PATCH /api/v1/templates/{id}":                        (*asker).fireRedefine,
		"POST /api/v1/templates/{id}/retire":                  (*asker).fireRedefine,
		"POST /api/v1/templates/{id}/restore":                 (*asker).fireRedefine,
		"POST /api/v1/templates/{id}/preview":                 (*asker).fireTemplatePreview,
		"POST /api/v1/retention-rules":                        (*asker).fireDefine,
		"PATCH /api/v1/retention-rules/{id}":                  (*asker).fireRedefine,
		"DELETE /api/v1/retention-rules/{id}":                 (*asker).fireRedefine,
		"POST /api/v1/imports":                                (*asker).fireImport,
		"POST /api/v1/notifications/read":                     (*asker).fireInbox,
		"PUT /api/v1/notifications/preferences":               (*asker).fireInbox,

		"POST /api/v1/views":                  (*asker).fireNewView,
		"PATCH /api/v1/views/{id}":            (*asker).fireEditView,
		"DELETE /api/v1/views/{id}":           (*asker).fireDeleteView,
		"PUT /api/v1/views/{id}/favourite":    (*asker).fireStarView,
		"DELETE /api/v1/views/{id}/favourite": (*asker).fireStarView,
		"PUT /api/v1/roles/{id}/default-view": (*asker).fireDefaultView,

		"POST /api/v1/clients/query": nil, // changes nothing: see queryClients

		// Tests of internal/webhook and domain/webhook say who may do what to webhooks.
		"POST /api/v1/webhooks":                                   nil,
		"PATCH /api/v1/webhooks/{id}":                             nil,
		"DELETE /api/v1/webhooks/{id}":                            nil,
		"POST /api/v1/webhooks/{id}/pause":                        nil,
		"POST /api/v1/webhooks/{id}/resume":                       nil,
		"POST /api/v1/webhooks/{id}/test":                         nil,
		"POST /api/v1/webhooks/{id}/rotate":                       nil,
		"POST /api/v1/webhooks/{id}/replay":                       nil,
		"POST /api/v1/webhooks/{id}/deliveries/{delivery}/resend": nil,

		// Whoever asks, signed in or not: it is by what they know, not by who they are.
		"POST /api/v1/session":                 nil,
		"POST /api/v1/password-resets":         nil,
		"POST /api/v1/password-resets/confirm": nil,
	}
}

// Whoever may do something can, and nobody else: 403 of what they see, and 404 of what
// they do not. What is refused changes nothing.
func TestCommands(t *testing.T) {
	t.Parallel()
	p := planned(t, 24, 40).raced(t, 12)
	w := newWorld(t)
	knows(t, routes(t, w.s.Router, "POST", "PUT", "PATCH", "DELETE"), fires)
	for i := range p.n {
		if p.only < 0 || p.only == i {
			w.add(t, p.seed, i, false, true)
		}
	}
	w.settle(t)
	order := []string{}
	for route, fire := range fires {
		if fire != nil {
			order = append(order, route)
		}
	}
	slices.Sort(order)
	for _, o := range w.orgs[:len(w.orgs)-1] {
		all := append(sorted(o.now.people), sorted(o.now.keys)...)
		o.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, who := range all {
			a := o.asker(t, who, w.s.Router)
			o.rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, route := range order {
				if a.look(); o.dead(who) {
					break
				}
				fires[route](a, route)
			}
			slices.Sort(order)
		}
		w.agrees(t, o)
	}
	t.Logf("%d commands: %v", w.asked, w.tally)
	for _, status := range []int{200, 201, 204, 403, 404, 409} {
		if w.tally[status] == 0 && p.n >= 20 {
			t.Errorf("no command was answered %d: the test has hardly tested anything", status)
		}
	}
}

// dead says whether somebody cannot do anything any more.
func (o *org) dead(who id) bool {
	k := o.now.keys[who]
	return o.now.people[who].off || k.off || o.now.people[k.owner].off
}

// agrees asks at last whether all that the commands did, and no more, is there.
func (w *world) agrees(t *testing.T, o *org) {
	t.Helper()
	boss := w.orgs[len(w.orgs)-1].boss
	boss.After = w.head(t)
	a := o.asker(t, parse(boss.ID), w.s.Router)
	for n := range o.now.projects {
		q := "?limit=1&project=" + n.String()
		count := map[string]int{}
		for _, c := range o.now.clients {
			if c.project == n {
				count["clients"]++
			}
		}
		for _, d := range o.now.desks {
			if d.project == n {
				count["desks"]++
			}
		}
		for _, p := range o.now.people {
			if p.projects[n] {
				count["employees"]++
			}
		}
		for what, want := range count {
			if r := boss.Get(t, "/api/v1/"+what+q); r.Text("total.count") != strconv.Itoa(want) {
				a.wrong(r.Request, "after all commands there should be %d, and are %d %s", want, r.Status, r.Body)
			}
		}
	}
}

func (w *world) head(t *testing.T) string {
	t.Helper()
	head, err := w.s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head.String()
}

// refusal is the status of what somebody may not do: nothing, if they may.
func (a *asker) overClient(permission string, c client) int {
	switch {
	case !a.v.sees(c.place):
		return http.StatusNotFound
	case !a.v.reaches(permission, c.place):
		return http.StatusForbidden
	}
	return 0
}

// targets are clients to try a command on: if there are such one that the permission
// reaches, one that they only see, and one that they do not.
func (a *asker) targets(permission string) []id {
	kinds := map[int][]id{}
	for _, n := range sorted(a.now.clients) {
		kind := a.overClient(permission, a.now.clients[n])
		kinds[kind] = append(kinds[kind], n)
	}
	var out []id
	for _, kind := range []int{0, http.StatusForbidden, http.StatusNotFound} {
		if len(kinds[kind]) > 0 {
			out = append(out, pick(a.rnd, kinds[kind]))
		}
	}
	return out
}

// unless is how a command ends that may be refused.
func unless(refused int) int {
	if refused != 0 {
		return refused
	}
	return http.StatusOK
}

func whether(may bool, done int) int {
	if may {
		return done
	}
	return http.StatusForbidden
}

func unique(what string) string { return what + " " + uuid.NewString()[:8] }

type obj = apitest.Map
