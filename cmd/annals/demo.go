package main

import (
	"context"
	"fmt"
	"io"

	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
)

// demoPassword signs in the employees of the sample data, who exist only where
// somebody asked for it.
const demoPassword = "annals-demo"

// demo fills the system with a small company. Everything in it is named, and so
// done once: the demo can be started again on the same data.
func (s *server) demo(ctx context.Context, out io.Writer) error {
	d := &demo{ctx: ctx, api: s.commands}
	north, south := d.project("Harbour North"), d.project("Harbour South")
	sales, care := d.desk(north, "Sales"), d.desk(north, "Client care")
	yard := d.desk(south, "Yard")
	mira := d.employee("Mira Okafor", "mira@annals.localhost", role.DeskManager, []domain.ID{north}, []domain.ID{sales, care})
	tom := d.employee("Tom Adeyemi", "tom@annals.localhost", role.Agent, []domain.ID{north}, []domain.ID{sales})
	jonas := d.employee("Jonas Lindqvist", "jonas@annals.localhost", role.ProjectAdmin, []domain.ID{south}, []domain.ID{yard})
	d.employee("Nora Haddad", "nora@annals.localhost", role.ProjectAdmin, []domain.ID{north}, []domain.ID{sales, care})
	d.employee("Vera Kaya", "vera@annals.localhost", role.Auditor, nil, nil)

	elena := d.client(client.Register{
		Details: client.Details{
			FirstName: "Elena", LastName: "Petrova", Email: "elena@petrova-marine.example", Phone: "+359 2 555 0142",
			Address: client.Address{City: "Varna", Country: "Bulgaria"},
		},
		ProjectID: north, DeskID: domain.Set(sales), ManagerID: domain.Set(mira), Tags: []string{"newsletter"},
	})
	d.change("elena/status", elena, client.ChangeStatus{Status: client.Active})
	d.change("elena/retag", elena, client.Retag{Add: []string{"vip"}, Remove: []string{"newsletter"}})
	d.change("elena/assign", elena, client.Assign{DeskID: domain.Set(care), Reason: "signed the contract"})
	jose := d.client(client.Register{
		Details:   client.Details{FirstName: "José", LastName: "Núñez", Company: "Astilleros Núñez", Email: "jose@nunez.example", Phone: "(5) 555-0199"},
		ProjectID: north, DeskID: domain.Set(sales), ManagerID: domain.Set(tom), Status: client.Lead, Tags: []string{"fair 2026"},
	})
	d.change("jose/edit", jose, client.Edit{Patch: map[string]any{"address": map[string]any{"city": "Vigo", "country": "Spain"}}})
	mueller := d.client(client.Register{
		Details:   client.Details{Type: client.Company, Company: "Müller & Söhne Reederei", Email: "kontor@mueller-reederei.example", Website: "https://mueller-reederei.example"},
		ProjectID: south, DeskID: domain.Set(yard), ManagerID: domain.Set(jonas), Status: client.Active,
	})
	d.change("mueller/record", mueller, client.Edit{Patch: map[string]any{
		"phones": []any{
			map[string]any{"number": "040 23988 0", "kind": "work", "country": "DE", "primary": true}, map[string]any{"number": "+49 40 23988 99", "kind": "fax"},
		},
		"emails": []any{
			map[string]any{"email": "kontor@mueller-reederei.example", "kind": "work", "primary": true}, map[string]any{"email": "rechnung@mueller-reederei.example", "kind": "billing"},
		},
		"language": "de", "time_zone": "Europe/Berlin",
		"addresses": map[string]any{
			"home":    map[string]any{"street": "Am Sandtorkai 4", "postal_code": "20457", "city": "Hamburg", "country": "Germany"},
			"billing": map[string]any{"street": "Postfach 11 22", "postal_code": "20411", "city": "Hamburg", "country": "Germany"},
		},
		"billing": map[string]any{
			"legal_name": "Müller & Söhne Reederei GmbH & Co. KG", "vat_id": "DE123456789", "iban": "DE89 3704 0044 0532 0130 00", "currency": "EUR", "payment_terms": "30",
		},
		"affiliation": map[string]any{"source": "fair", "campaign": "SMM Hamburg 2026"}, "external_ids": map[string]any{"erp": "D-20457"}, "meta": map[string]any{"berth": "B7"},
		"consents": map[string]any{"email": map[string]any{"granted": true, "source": "card from the fair"}, "phone": map[string]any{"granted": false, "source": "card from the fair"}},
	}})
	d.activities(mueller, jonas)
	old := d.client(client.Register{
		Details:   client.Details{FirstName: "Aoife", LastName: "Byrne", Email: "aoife@byrne.example"},
		ProjectID: south, Status: client.Inactive,
	})
	d.change("aoife/deactivate", old, client.Deactivate{Reason: "closed the business"})
	if d.err != nil {
		return d.err
	}
	_, err := fmt.Fprintf(out, "sample data: sign in as %s, or with the password %[2]s as mira@annals.localhost (desk manager), tom@ (agent), nora@ and jonas@ (project admins) or vera@ (auditor)\n", s.adminEmail, demoPassword)
	return err
}

// demo carries the first error along, so that the story above reads as one.
type demo struct {
	ctx context.Context
	api *commands.API
	err error
}

func do[S, C, E any](d *demo, dec domain.Decider[S, C, E], id domain.ID, c C, name string) {
	if d.err == nil {
		_, d.err = commands.Handle(d.ctx, d.api.Store, dec, id, c, systemCommand("demo/"+name), commands.AnyRevision)
	}
}

func (d *demo) project(name string) domain.ID {
	id := systemID("demo/project/" + name)
	do(d, project.Aggregate, id, project.Command(project.Create{Name: name}), "project/"+name)
	return id
}

func (d *demo) desk(in domain.ID, name string) domain.ID {
	id := systemID("demo/desk/" + name)
	do(d, desk.Aggregate, id, desk.Command(desk.Create{ProjectID: in, Name: name}), "desk/"+name)
	return id
}

func (d *demo) employee(name, email, role string, projects, desks []domain.ID) domain.ID {
	id := systemID("demo/employee/" + name)
	if d.err == nil {
		_, d.err = d.api.RegisterEmployee(d.ctx, id, employee.Register{Name: name, Email: email, Roles: &[]string{role}}, demoPassword, systemCommand("demo/employee/"+name))
	}
	if len(projects) == 0 {
		return id
	}
	do(d, employee.Aggregate, id, employee.Command(employee.Assign{Projects: &projects, Desks: &desks}), "employee/"+name+"/assign")
	return id
}

func (d *demo) client(c client.Register) domain.ID {
	id := systemID("demo/client/" + c.Name() + c.Company)
	do(d, client.Aggregate, id, client.Command(c), "client/"+id.String())
	return id
}

func (d *demo) change(name string, id domain.ID, c client.Command) {
	do(d, client.Aggregate, id, c, name)
}
