// Package field is the fields that people define for their clients, beside those that
// every client has. All definitions are in one aggregate, since their keys have to be
// unique. What a client has in them is stored with the client, under the keys: to
// define, change or retire a field never touches it.
package field

import "annals/domain"

// Event is the closed set of facts about custom fields. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Defined is a new field. Its key and type never change.
	Defined struct {
		FieldID   domain.ID `json:"field_id"`
		ProjectID domain.ID `json:"project_id,omitzero"` // the zero ID: of clients of all projects
		Key       string    `json:"key"`
		Type      Type      `json:"type"`
		Settings
	}
	// Changed is what is different about a field from now on.
	Changed struct {
		FieldID   domain.ID `json:"field_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
		From      Settings  `json:"from"`
		To        Settings  `json:"to"`
	}
	// Retired takes a field out of use; what clients have in it stays.
	Retired struct {
		FieldID   domain.ID `json:"field_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
	}
	// Restored takes it back into use.
	Restored struct {
		FieldID   domain.ID `json:"field_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
	}
)

func (Defined) event()  {}
func (Changed) event()  {}
func (Retired) event()  {}
func (Restored) event() {}

// Settings are what can change about a field.
type Settings struct {
	Label    string   `json:"label" doc:"What people call the field" maxLength:"100" example:"Customer number"`
	Help     string   `json:"help,omitempty" doc:"What to fill in" maxLength:"1000"`
	Group    string   `json:"group,omitempty" doc:"The heading under which the field is shown" maxLength:"100" example:"Contract"`
	Order    int      `json:"order,omitempty" doc:"Where it is shown: fields are sorted by this, and then by key" minimum:"-100000" maximum:"100000"`
	Required bool     `json:"required,omitempty" doc:"A client is not registered without it, and it cannot be emptied"`
	Unique   bool     `json:"unique,omitempty" doc:"Two clients with the same value are something to warn of; it is not refused"`
	Default  any      `json:"default,omitempty" doc:"What a new client has unless it is given something else: a value of the field's type; none for employee and client"`
	Options  []Option `json:"options,omitempty" doc:"What there is to choose from, in this order: for one_of and several_of. To change them, send all: one is retired, never left out" maxItems:"200"`
}

// Option is something to choose.
type Option struct {
	Key     string `json:"key" doc:"What is stored; letters, digits, - and _" maxLength:"50" example:"gold"`
	Label   string `json:"label" doc:"What people see" maxLength:"100" example:"Gold"`
	Retired bool   `json:"retired,omitempty" doc:"Not to be chosen any more; clients that have it keep it"`
}

// Type says what a field holds.
type Type string

// The types, and how their values are stored: as JSON reads them, so that they are the
// same after having been stored.
const (
	Text      Type = "text"       // a line
	LongText  Type = "long_text"  // lines
	Number    Type = "number"     // a text with the exact decimal number, as in "-12.5"
	Money     Type = "money"      // {"amount": "12.50", "currency": "EUR"}
	Date      Type = "date"       // a text as in "2026-01-31"
	DateTime  Type = "datetime"   // a text as in "2026-01-31T15:04:05Z"
	Boolean   Type = "boolean"    // true or false
	OneOf     Type = "one_of"     // the key of an option
	SeveralOf Type = "several_of" // a list of keys of options, each once, in the order of the options
	Email     Type = "email"      // a text
	Phone     Type = "phone"      // a text
	URL       Type = "url"        // a text with its scheme
	Employee  Type = "employee"   // an id
	Client    Type = "client"     // an id
)

// Types are all of them.
var Types = []Type{Text, LongText, Number, Money, Date, DateTime, Boolean, OneOf, SeveralOf, Email, Phone, URL, Employee, Client}
