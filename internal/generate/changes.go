package generate

import (
	"time"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/tag"
)

// change is that something becomes different about the client.
func (l *life) change(at time.Time) error {
	if l.state.Deactivated {
		if percent(l.rnd, 30) {
			return l.do(l.actor(), at, client.Reactivate{})
		}
		return nil
	}
	switch dice := l.rnd.IntN(100); {
	case dice < 28:
		return l.changeStatus(at)
	case dice < 58:
		return l.do(l.actor(), at, client.Edit{Patch: l.patch()})
	case dice < 78:
		return l.retag(at)
	case dice < 93:
		return l.reassign(at)
	default:
		return l.do(l.actor(), at, client.Deactivate{Reason: pick(l.rnd, endings)})
	}
}

func (l *life) changeStatus(at time.Time) error {
	c := client.ChangeStatus{Status: client.Active, Reason: pick(l.rnd, becoming)}
	if l.state.Status == client.Active || l.state.Status == client.Lead && percent(l.rnd, 20) {
		c = client.ChangeStatus{Status: client.Inactive, Reason: pick(l.rnd, leaving)}
	}
	if percent(l.rnd, 50) {
		c.Reason = ""
	}
	return l.do(l.actor(), at, c)
}

// patch is what is corrected, or has changed.
func (l *life) patch() map[string]any {
	rnd, of := l.rnd, l.profile.of
	switch dice := rnd.IntN(10); {
	case dice < 3:
		return map[string]any{"phone": of.mobile(rnd).somehow(rnd), "phone_kind": "mobile", "phone_country": nil}
	case dice < 5:
		return map[string]any{"address": of.patch(rnd)}
	case dice < 7 && len(l.g.fields) > 0:
		f := &l.g.fields[rnd.IntN(len(l.g.fields))]
		return map[string]any{"custom": map[string]any{f.Key: f.value(rnd, &f.Definition, of)}}
	case l.state.Details.Type == client.Company:
		return map[string]any{"website": "https://www." + l.profile.site, "billing": map[string]any{"payment_terms": "21"}}
	case dice < 8:
		return map[string]any{"last_name": of.family(rnd, l.state.Details.Gender == "female").text}
	case dice < 9:
		return map[string]any{"job_title": pick(rnd, jobs)}
	default:
		p := l.profile
		p.site = ""
		p.mail(rnd)
		return map[string]any{"email": p.details.Email, "email_kind": "home"}
	}
}

// retag takes a tag off, or puts some on.
func (l *life) retag(at time.Time) error {
	var c client.Retag
	if has := l.state.Tags; len(has) > 0 && percent(l.rnd, 40) {
		c.Remove = []string{pick(l.rnd, has)}
	}
	known, in := domain.Look[tag.State](l.g.org.world, tag.Ref()), l.state.Assignment.ProjectID
	for _, name := range l.g.org.someTags(l.rnd) {
		if len(c.Remove) == 0 || known.Key(in, name) != known.Key(in, c.Remove[0]) {
			c.Add = append(c.Add, name)
		}
	}
	return l.do(l.actor(), at, c)
}

// reassign is what the project's admin does: another manager as a rule, sometimes another
// desk, and rarely another project.
func (l *life) reassign(at time.Time) error {
	u := l.unit
	by := u.admin.authority
	c := client.Assign{Reason: pick(l.rnd, moves)}
	if percent(l.rnd, 8) {
		u, by = pick(l.rnd, l.g.org.projects), domain.Root // nobody in the company has all of it
	}
	t := zipf(l.rnd, u.desks)
	manager := zipf(l.rnd, t.staff)
	c.ProjectID, c.DeskID, c.ManagerID = domain.Set(u.id), domain.Set(t.id), domain.Set(manager.id)
	if err := l.do(by, at, c); err != nil {
		return err
	}
	l.unit, l.managers[manager.id] = u, manager
	return nil
}
