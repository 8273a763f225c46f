package commands

import (
	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/note"
	"annals/domain/request"
	"annals/internal/httpapi"
)

// activities takes the commands to what happens with a client: notes, actions, requests
// and calls.
func (a *API) activities(api *httpapi.API) {
	of := func(path string) string { return "/api/v1/clients/{id}/" + path }
	const may = domain.ActivitiesWrite

	attach[note.Add](a, api, route{"POST", of("notes"), may, "Write a note about a client"}, note.Aggregate)
	within[note.Edit](a, api, route{"PATCH", of("notes/{item}"), may, "Edit, pin or unpin a note"}, note.Aggregate)
	bareWithin(a, api, route{"DELETE", of("notes/{item}"), may, "Delete a note; the history keeps it"}, note.Aggregate, note.Command(note.Delete{}))

	attach[action.Add](a, api, route{"POST", of("actions"), may, "Say what is to be done about a client"}, action.Aggregate)
	within[action.Change](a, api, route{"PATCH", of("actions/{item}"), may, "Change an action: what, when, by whom"}, action.Aggregate)
	maybeWithin[action.Finish](a, api, route{"POST", of("actions/{item}/done"), may, "Say that an action is done"}, action.Aggregate)
	bareWithin(a, api, route{"POST", of("actions/{item}/reopen"), may, "Reopen an action that is done"}, action.Aggregate, action.Command(action.Reopen{}))
	bareWithin(a, api, route{"DELETE", of("actions/{item}"), may, "Delete an action; the history keeps it"}, action.Aggregate, action.Command(action.Delete{}))

	attach[request.Take](a, api, route{"POST", of("requests"), may, "Take down what a client asks for"}, request.Aggregate)
	within[request.ChangeStatus](a, api, route{"POST", of("requests/{item}/status"), may, "Move a request along: take it up, resolve, reject or reopen it"}, request.Aggregate)
	within[request.Assign](a, api, route{"POST", of("requests/{item}/assign"), may, "Say who takes care of a request"}, request.Aggregate)

	attach[call.Log](a, api, route{"POST", of("calls"), may, "Log a phone call with a client"}, call.Aggregate)
	within[call.Edit](a, api, route{"PATCH", of("calls/{item}"), may, "Edit a logged call"}, call.Aggregate)
	bareWithin(a, api, route{"DELETE", of("calls/{item}"), may, "Delete a logged call; the history keeps it"}, call.Aggregate, call.Command(call.Delete{}))
}
