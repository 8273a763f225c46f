package main

import (
	"time"

	"annals/commands"
	"annals/domain"
	"annals/domain/action"
	"annals/domain/attached"
	"annals/domain/call"
	"annals/domain/note"
	"annals/domain/request"
)

// activities has somebody work on a client for some days.
func (d *demo) activities(of, assignee domain.ID) {
	day := func(n int) time.Time { return now().UTC().Truncate(24*time.Hour).AddDate(0, 0, n) }
	to := func(kind, what string) domain.ID { return systemID("demo/" + kind + "/" + of.String() + "/" + what) }
	attach(d, note.Aggregate, of, to("note", "berth"), note.Command(note.Add{Text: "Wants a berth for **two** boats from May.\n\n- [x] sent the price list\n- [ ] asked the yard"}), "berth")
	attach(d, note.Aggregate, of, to("note", "call"), note.Command(note.Add{Text: "[Jonas](employee:" + assignee.String() + ") please call before the fair, in the morning", Pinned: true}), "call")
	late := to("action", "offer")
	attach(d, action.Aggregate, of, late, action.Command(action.Add{Title: "Send the offer", Type: action.Email, DueAt: domain.Set(day(-1)), AssigneeID: domain.Set(assignee)}), "offer")
	attach(d, action.Aggregate, of, to("action", "visit"), action.Command(action.Add{Title: "Show them the yard", Type: action.Meeting, DueAt: domain.Set(day(7)), AssigneeID: domain.Set(assignee)}), "visit")
	done := to("action", "list")
	attach(d, action.Aggregate, of, done, action.Command(action.Add{Title: "Send the price list", AssigneeID: domain.Set(assignee)}), "list")
	attach(d, action.Aggregate, of, done, action.Command(action.Finish{Outcome: "Sent by e-mail"}), "list/done")
	asked := to("request", "invoice")
	attach(d, request.Aggregate, of, asked, request.Command(request.Take{Subject: "Invoice", Text: "Please send the invoice of March again", AssigneeID: domain.Set(assignee)}), "invoice")
	attach(d, request.Aggregate, of, asked, request.Command(request.ChangeStatus{Status: request.InProgress}), "invoice/status")
	attach(d, call.Aggregate, of, to("call", "first"), call.Command(call.Log{
		Direction: call.Inbound, Number: "+49 40 239880", Duration: 184, Outcome: call.Answered, Text: "Asked for berths", At: domain.Set(day(-9)),
	}), "first")
	attach(d, call.Aggregate, of, to("call", "second"), call.Command(call.Log{
		Direction: call.Outbound, Number: "+49 40 239880", Outcome: call.NoAnswer, At: domain.Set(day(-2)),
	}), "second")
}

func attach[S, C, E any](d *demo, dec domain.Decider[S, attached.To[C], E], of, id domain.ID, c C, name string) {
	if d.err == nil {
		_, d.err = commands.Attach(d.ctx, d.api, dec, of, id, c, systemCommand("demo/"+dec.Category+"/"+of.String()+"/"+name), commands.AnyRevision)
	}
}
