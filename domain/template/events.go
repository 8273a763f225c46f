// Package template is what messages to clients are made of: a subject, a text and
// perhaps HTML in one or more languages, with placeholders for what is known about the
// client. A template is for the clients of one project, or for all.
package template

import (
	"maps"

	"annals/domain"
)

// Event is the closed set of facts about a template. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Created is a new template.
	Created struct {
		ProjectID domain.ID `json:"project_id,omitzero"`
		Definition
	}
	// Edited changes a template. Of the texts, From and To hold those that differ; a
	// language that is missing on a side is not there.
	Edited struct {
		From Definition `json:"from"`
		To   Definition `json:"to"`
	}
	// Retired has the template no longer used.
	Retired struct{}
	// Restored takes that back.
	Restored struct{}
)

func (Created) event()  {}
func (Edited) event()   {}
func (Retired) event()  {}
func (Restored) event() {}

// Definition is what a template is called and says.
type Definition struct {
	Name            string          `json:"name" doc:"What people call the template" maxLength:"200" example:"Welcome"`
	DefaultLanguage string          `json:"default_language" doc:"The language for clients whose own there is not: one of texts, as in BCP 47" maxLength:"100" example:"en"`
	Texts           map[string]Text `json:"texts,omitempty" doc:"What it says, by language"`
}

// Text is what a template says in one language.
type Text struct {
	Subject string `json:"subject" doc:"One line, with placeholders as in text" maxLength:"200" example:"Welcome, {{client.first_name|dear client}}"`
	Text    string `json:"text" doc:"What the message says, with placeholders: {{client.first_name|there}} is the client's first name, or there; see the documentation for all of them" maxLength:"50000" example:"Hello {{client.name}},\n\nyour contact is {{employee.name}}."`
	HTML    string `json:"html,omitempty" doc:"The same as HTML, for those who show it. What is not safe in a mail is left out" maxLength:"50000" example:"<p>Hello <b>{{client.name}}</b>,</p>"`
}

// apply is d after an edit.
func (d Definition) apply(e Edited) Definition {
	texts := maps.Clone(d.Texts)
	for language := range e.From.Texts {
		delete(texts, language)
	}
	maps.Copy(texts, e.To.Texts)
	return Definition{e.To.Name, e.To.DefaultLanguage, texts}
}

// diff is what differs between two definitions, each side for itself.
func diff(from, to Definition) Edited {
	e := Edited{From: from, To: to}
	e.From.Texts, e.To.Texts = differ(from.Texts, to.Texts), differ(to.Texts, from.Texts)
	return e
}

func differ(texts, other map[string]Text) map[string]Text {
	out := map[string]Text{}
	for language, t := range texts {
		if o, ok := other[language]; !ok || o != t {
			out[language] = t
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
