package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/eventlog"
	"annals/internal/textfold"
)

// Whatever happens: what a projector made of the log as it came is what it makes
// of it from the start, and the clients are what the domain says that they are.
func TestRebuildEqualsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runner, _ := w.run()
	r := newRandom(w)
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 16).Draw(t, "events") {
			r.event(t)
		}
		if len(r.clients)%4 == 0 {
			w.caughtUp(runner) // at other times several of these histories are one run
		}
	})
	w.caughtUp(runner)
	w.verified()
	r.checkAll()
	for _, p := range All {
		if err := Rebuild(t.Context(), w.cfg, p.Name); err != nil {
			t.Fatal(err)
		}
	}
	w.verified()
	r.checkAll()
	w.nothingParked()
}

func (r *random) checkAll() {
	r.w.t.Helper()
	for _, id := range r.clients {
		r.check(id)
	}
	r.people.check()
	r.related.check()
	r.registries.check()
}

// check holds a client's row to the domain's own fold.
func (r *random) check(id uuid.UUID) {
	s, t := r.states[id], r.w.t
	d := s.Details
	if r.erased[id] {
		d = client.Details{Type: d.Type}
	}
	r.checkDetails(id, d)
	var got client.Details
	var name, key, search string
	var a [3]*uuid.UUID
	var status client.Status
	var tags []string
	var deactivated, erased bool
	var revision eventlog.Revision
	r.w.scan(`select type, first_name, middle_name, last_name, display_name, company, email, phone, website, street, city, region, postal_code, country,
		name, coalesce(name_key, ''), search, project_id, desk_id, manager_id, status, tags, deactivated_at is not null, erased, revision from annals_read.clients where id = $1`, id)(
		&got.Type, &got.FirstName, &got.MiddleName, &got.LastName, &got.DisplayName, &got.Company, &got.Email, &got.Phone, &got.Website,
		&got.Address.Street, &got.Address.City, &got.Address.Region, &got.Address.PostalCode, &got.Address.Country,
		&name, &key, &search, &a[0], &a[1], &a[2], &status, &tags, &deactivated, &erased, &revision)
	at := func(id *uuid.UUID) (out uuid.UUID) {
		if id != nil {
			out = *id
		}
		return out
	}
	assignment := client.Assignment{ProjectID: at(a[0]), DeskID: at(a[1]), ManagerID: at(a[2])}
	inColumns := client.Details{
		Type: d.Type, FirstName: d.FirstName, MiddleName: d.MiddleName, LastName: d.LastName, DisplayName: d.DisplayName, Company: d.Company,
		Email: d.Email, Phone: d.Phone, Website: d.Website, Address: d.Address,
	}
	inColumns.Address.CountryCode = ""
	if !reflect.DeepEqual(got, inColumns) || assignment != s.Assignment || status != s.Status || !slices.Equal(tags, s.Tags) || deactivated != s.Deactivated || erased != r.erased[id] ||
		revision != r.w.at[eventlog.Stream(domain.Client, id)] {
		t.Errorf("client %s is\n%+v %+v %s %q %v %v %d, and should be\n%+v", id, got, assignment, status, tags, deactivated, erased, revision, s)
	}
	if name != d.Name() || key != textfold.Fold(d.Name()) {
		t.Errorf("the name of %+v is %q, folded %q, and should be %q, %q", d, name, key, d.Name(), textfold.Fold(d.Name()))
	}
	for _, text := range []string{d.DisplayName, d.FirstName, d.MiddleName, d.LastName, d.Company, d.Email, d.Phone, textfold.Digits(d.Phone), textfold.Digits(d.PhoneE164)} {
		r.found(search, text)
	}
	for _, e := range d.OtherEmails {
		r.found(search, e.Email)
	}
	for _, p := range d.OtherPhones {
		r.found(search, p.Number)
		r.found(search, textfold.Digits(p.Number))
		r.found(search, textfold.Digits(p.E164))
	}
}

// found holds that all words of a text are searched.
func (r *random) found(search, text string) {
	for _, word := range textfold.Words(text) {
		if !strings.Contains(search, " "+word+" ") {
			r.w.t.Errorf("%q is not found in %q", text, search)
		}
	}
}

// checkDetails holds what is beside the columns to the domain's own fold.
func (r *random) checkDetails(id uuid.UUID, d client.Details) {
	t := r.w.t
	var raw []byte
	var access, override bool
	var signedIn, contacted *time.Time
	r.w.scan(`select c.details, c.portal_access, c.portal_override, c.portal_signed_in_at, c.last_contacted_at from annals_read.clients c where c.id = $1`, id)(&raw, &access, &override, &signedIn, &contacted)
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for path, column := range map[string]string{"type": string(d.Type), "display_name": d.DisplayName, "address.city": d.Address.City} {
		if _, twice := got[path]; twice {
			t.Errorf("%s, %q, is there twice", path, column)
		}
	}
	rest, err := client.Inflate(got)
	if err != nil {
		t.Fatal(err)
	}
	all := rest
	all.Type, all.FirstName, all.MiddleName, all.LastName, all.DisplayName, all.Company = d.Type, d.FirstName, d.MiddleName, d.LastName, d.DisplayName, d.Company
	all.Email, all.Phone, all.Website = d.Email, d.Phone, d.Website
	code := rest.Address.CountryCode
	all.Address = d.Address
	all.Address.CountryCode = code
	if !reflect.DeepEqual(all, d) {
		t.Errorf("client %s has\n%+v, and should have\n%+v", id, all, d)
	}
	var values map[string]any
	r.w.scan(`select coalesce((select jsonb_object_agg(v.key, v.value::jsonb) from annals_read.client_values v where v.client_id = $1), '{}')`, id)(&values)
	if want := d.Custom; len(values)+len(want) > 0 && !reflect.DeepEqual(values, want) {
		t.Errorf("client %s has the values %v, and should have %v", id, values, want)
	}
	at := func(p *time.Time) (out time.Time) {
		if p != nil {
			out = p.UTC()
		}
		return out
	}
	if p := r.portals[id]; access != p.Access || override != p.Override || !at(signedIn).Equal(p.LastSignIn) {
		t.Errorf("client %s at the portal: %v %v %v, and should be %+v", id, access, override, signedIn, p)
	}
	var last time.Time
	for _, at := range r.contacts[id] {
		if at.After(last) {
			last = at
		}
	}
	if got := at(contacted); !got.Equal(last) {
		t.Errorf("client %s was last contacted at %v, and should have been at %v", id, got, last)
	}
}

// The names of tables and views are what package readapi builds on.
func TestViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	w.caughtUp(r)
	rows, err := w.db.Query(context.Background(), `select viewname::text from pg_views where schemaname = 'annals_read' order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if want := "[access_log access_log_clients activities api_keys client_contacts client_counts client_past client_times client_values client_words clients custom_fields default_views desks employee_desks employee_periods employee_projects employees erasures favourites freshness history history_hours history_places holds names notification_preferences notifications places projects record_statuses record_totals records registries retention_rules role_periods roles sorts status_transitions tag_names tags templates view_favourites views]"; fmt.Sprint(got) != want {
		t.Errorf("views %v, want %s", got, want)
	}
}
