package eventschema

import (
	"annals/domain"
	"annals/domain/client"
)

// The first versions of a client's events knew one e-mail address, phone number and
// postal address, and nothing about billing, affiliation or consent. What is derived
// today, such as codes of countries, is not made up for them: it comes with the next
// edit.
type (
	clientDetailsV1 struct {
		Type       client.Type     `json:"type,omitempty"`
		FirstName  string          `json:"first_name,omitempty" personal:"yes"`
		MiddleName string          `json:"middle_name,omitempty" personal:"yes"`
		LastName   string          `json:"last_name,omitempty" personal:"yes"`
		Company    string          `json:"company,omitempty" personal:"yes"`
		Email      string          `json:"email,omitempty" personal:"yes"`
		Phone      string          `json:"phone,omitempty" personal:"yes"`
		Website    string          `json:"website,omitempty" personal:"yes"`
		Address    clientAddressV1 `json:"address,omitzero"`
	}
	clientAddressV1 struct {
		Street     string `json:"street,omitempty" personal:"yes"`
		City       string `json:"city,omitempty" personal:"yes"`
		Region     string `json:"region,omitempty" personal:"yes"`
		PostalCode string `json:"postal_code,omitempty" personal:"yes"`
		Country    string `json:"country,omitempty" personal:"yes"`
	}
	clientRegisteredV1 struct {
		clientDetailsV1
		ProjectID domain.ID     `json:"project_id,omitzero"`
		DeskID    domain.ID     `json:"desk_id,omitzero"`
		ManagerID domain.ID     `json:"manager_id,omitzero"`
		Status    client.Status `json:"status"`
		Tags      []string      `json:"tags,omitempty"`
	}
	clientEditedV1 struct {
		From clientDetailsV1 `json:"from,omitzero"`
		To   clientDetailsV1 `json:"to,omitzero"`
	}
	clientStatusChangedV1 struct {
		From client.Status `json:"from"`
		To   client.Status `json:"to"`
	}
)

func (d clientDetailsV1) v2() client.Details {
	a := d.Address
	return client.Details{
		Type: d.Type, FirstName: d.FirstName, MiddleName: d.MiddleName, LastName: d.LastName, Company: d.Company,
		Email: d.Email, Phone: d.Phone, Website: d.Website,
		Address: client.Address{Street: a.Street, City: a.City, Region: a.Region, PostalCode: a.PostalCode, Country: a.Country},
	}
}

func (e clientRegisteredV1) v2() client.Registered {
	return client.Registered{
		Details:    e.clientDetailsV1.v2(),
		Assignment: client.Assignment{ProjectID: e.ProjectID, DeskID: e.DeskID, ManagerID: e.ManagerID},
		Status:     e.Status, Tags: e.Tags,
	}
}

func (e clientEditedV1) v2() client.Edited { return client.Edited{From: e.From.v2(), To: e.To.v2()} }

func (e clientStatusChangedV1) v2() client.StatusChanged {
	return client.StatusChanged{From: e.From, To: e.To}
}
