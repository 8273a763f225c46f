package commands_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/commands"
	"annals/domain"
	"annals/domain/message"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/mail/mailtest"
)

// The mail server is down at first, then refuses, for a while or for good, and hangs up,
// while what sends is stopped and started again. Each message is sent once or ends as
// failed with its reason, the log has one event of how it ended, and the feed says so.
func TestEveryMessageToAClientEnds(t *testing.T) {
	t.Parallel()
	d := newDispatch(t)
	d.post.Reserve()
	stop := d.run()
	admin := d.Admin(t)
	project := admin.Project(t, "Sending")
	type fate struct{ client, to, reason string }
	want := map[string]fate{}
	for i := range 3 {
		for mood, reason := range map[string]string{
			"fine": "", mailtest.BusyAtRcpt + ".2": "", mailtest.BusyAtEnd + ".1": "", mailtest.Cut + ".1": "", mailtest.CutAfter + ".1": "",
			mailtest.NoSuchUser: "RCPT: 550 5.1.1 (there is no such mailbox)", mailtest.Spam: "end of DATA: 554 5.7.1 (refused by a policy of theirs)",
		} {
			to := fmt.Sprintf("%s@d%d.example", mood, i)
			client := admin.Client(t, project, "Petrova", Map{"email": to})
			id := admin.Create(t, "/api/v1/clients/"+client+"/messages", Map{"subject": "Your quote", "text": "Here it is, Petrova."})
			want[id] = fate{client, to, reason}
		}
	}
	queued := func() (n int) {
		if err := d.DB.QueryRow(t.Context(), `select count(*) from annals_mail.messages where state = 'queued' and attempts > 0`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	d.await("an attempt at each in vain", func() bool { return queued() == len(want) })
	d.post.Open()
	for _, arrivals := range []int{1, 4, 8} {
		d.await("arrivals", func() bool { return len(d.post.All()) >= arrivals })
		stop()
		stop = d.run()
	}
	d.await("the end of all", func() bool { return queued() == 0 })
	for id, f := range want {
		state, ends := "sent", "sent"
		if f.reason != "" {
			state, ends = "failed", "failed"
		}
		row := d.became(admin, f.client, id, state)
		if got := strings.Join(d.events(id), " "); got != "composed "+ends {
			t.Errorf("%s: %s", f.to, got)
		}
		if reason, _ := row["reason"].(string); reason != f.reason || row["attempts"].(float64) < 1 {
			t.Errorf("%s: %v", f.to, row)
		}
		n := 0
		for _, a := range d.post.All() {
			if strings.HasPrefix(a.ID, "<"+id+"@") && a.To == f.to {
				n++
			}
		}
		switch {
		case f.reason != "" && n > 0, f.reason == "" && n == 0, n > 1 && !strings.HasPrefix(f.to, mailtest.CutAfter):
			t.Errorf("%s arrived %d times", f.to, n)
		}
		if f.reason == "" {
			bounced := admin.Post(t, "/api/v1/clients/"+f.client+"/messages/"+id+"/bounced", Map{"reason": "<" + f.to + ">: mailbox is full"})
			bounced.Want(t, 200)
		} else {
			admin.Post(t, "/api/v1/clients/"+f.client+"/messages/"+id+"/bounced", Map{}).Problem(t, 409, "message.not_sent")
		}
	}
	for id, f := range want {
		if row := d.row(admin, f.client, id); f.reason == "" && (row["state"] != "bounced" || row["reason"] != "<"+f.to+">: mailbox is full" || row["sent_at"] == nil) {
			t.Errorf("%v", row)
		}
	}
	for _, personal := range []string{"petrova", "Your quote", "Here it is", "d1.example"} {
		d.nowhere(personal)
	}
}

// What has become so between writing and sending that the client must not be written to
// any more, ends the message.
func TestWhatIsNotToBeSentAnyMore(t *testing.T) {
	t.Parallel()
	d := newDispatch(t)
	d.post.Reserve()
	stop := d.run()
	admin := d.Admin(t)
	project := admin.Project(t, "Meanwhile")
	type sent struct{ client, id string }
	compose := func(name string, more Map) sent {
		client := admin.Client(t, project, name, Map{"email": name + "@example.com"})
		body := Map{"subject": "S", "text": "Dear " + name}
		if more != nil {
			doc := admin.Do(t, "POST", "/api/v1/clients/"+client+"/documents?name=quote.txt", apitest.Raw("a quote"), "Content-Type", "text/plain").Want(t, 201).Text("id")
			more["document"] = doc
			body["attachments"] = []Map{{"document_id": doc}}
		}
		return sent{client, admin.Create(t, "/api/v1/clients/"+client+"/messages", body)}
	}
	at := func(s sent) string { return "/api/v1/clients/" + s.client }
	doc := Map{}
	consent, deactivated, moved, unattached, erased, fine := compose("consent", nil), compose("deactivated", nil), compose("moved", nil), compose("unattached", doc), compose("erased", nil), compose("fine", nil)
	d.await("attempts in vain", func() bool { return strings.Count(d.Logs.String(), "connection refused") >= 0 && d.tried() == 6 })
	stop()
	admin.Patch(t, at(consent), Map{"consents": Map{"email": Map{"granted": false}}}).Want(t, 200)
	admin.Post(t, at(deactivated)+"/deactivate", Map{"reason": "fraud"}).Want(t, 200)
	admin.Patch(t, at(moved), Map{"email": "elsewhere@example.com"}).Want(t, 200)
	admin.Do(t, "DELETE", at(unattached)+"/documents/"+doc["document"].(string), Map{}).Want(t, 200)
	d.Erase(t, erased.client)
	d.post.Open()
	d.run()
	for s, reason := range map[sent]string{
		consent: "the client does not want to get e-mail", deactivated: "the client is deactivated",
		moved: "the address is no longer one of the client's", unattached: "a document that was to go with it has been deleted",
	} {
		if row := d.became(admin, s.client, s.id, "failed"); row["reason"] != reason || strings.Join(d.events(s.id), " ") != "composed failed" {
			t.Errorf("%v, want %s", row, reason)
		}
	}
	d.became(admin, fine.client, fine.id, "sent")
	d.await("the end of all", func() bool { return d.queued() == 0 })
	if all := d.post.All(); len(all) != 1 || all[0].To != "fine@example.com" {
		t.Errorf("%d arrived", len(all))
	}
	// Nothing can be written down any more about whoever is erased, nor is there need to.
	d.await("that it ended is known", func() bool {
		return strings.Contains(d.Logs.String(), "is not noted, since the client has been erased")
	})
	var reason string
	if err := d.DB.QueryRow(t.Context(), `select last_error from annals_mail.messages where ref = $1 and state = 'failed'`, erased.id).Scan(&reason); err != nil || reason != "the client has been erased" {
		t.Error(reason, err)
	}
	if row := d.row(admin, erased.client, erased.id); row["text"] != nil || row["to"] != nil {
		t.Errorf("%v", row)
	}
	d.nowhere("erased@example.com")
}

// Documents arrive as they are in storage, beside the text and HTML of the template, and
// answers go to who wrote.
func TestAMessageArrives(t *testing.T) {
	t.Parallel()
	d := newDispatch(t)
	d.post.Open()
	d.run()
	admin := d.Admin(t)
	project := admin.Project(t, "Atlas")
	client := admin.Client(t, project, "O'Größe", Map{"email": "fine@example.com", "language": "de-AT", "company": `<script>"&'`})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	content := bytes.Repeat(all, 3000)
	doc := admin.Do(t, "POST", "/api/v1/clients/"+client+"/documents?name="+"%C3%84ngebot.bin", apitest.Raw(content), "Content-Type", "application/octet-stream").Want(t, 201).Text("id")
	template := admin.Create(t, "/api/v1/templates", Map{"name": "Quote", "default_language": "en", "texts": Map{
		"en": Map{"subject": "S", "text": "T"},
		"de": Map{"subject": "Angebot für {{client.company}}", "text": "Guten Tag {{client.name}} von {{employee.name}} ({{project.name}})", "html": `<p title="{{client.company}}" onclick="x()">Guten Tag <b>{{client.name}}</b> von {{client.company}}</p>`},
	}})
	id := admin.Create(t, "/api/v1/clients/"+client+"/messages", Map{"template_id": template, "attachments": []Map{{"document_id": doc}}})
	row := d.became(admin, client, id, "sent")
	read, err := mail.ReadMessage(strings.NewReader(d.post.All()[0].Raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, _ := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	reply, err := mail.ParseAddress(read.Header.Get("Reply-To"))
	if err != nil || reply.Address != admin.Email || reply.Name != "Ada Admin" || subject != `Angebot für <script>"&'` || read.Header.Get("Auto-Submitted") != "" {
		t.Error(reply, err, subject, read.Header)
	}
	if "<"+row["message_id"].(string)+">" != read.Header.Get("Message-Id") || !strings.HasPrefix(row["message_id"].(string), id+"@") {
		t.Errorf("%v", row)
	}
	_, params, _ := mime.ParseMediaType(read.Header.Get("Content-Type"))
	parts := multipart.NewReader(read.Body, params["boundary"])
	bodies, err := parts.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	_, params, _ = mime.ParseMediaType(bodies.Header.Get("Content-Type"))
	alternatives := multipart.NewReader(bodies, params["boundary"])
	for _, want := range []string{
		"Guten Tag O'Größe von Ada Admin (Atlas)",
		`<p title="&lt;script&gt;&#34;&amp;&#39;">Guten Tag <b>O&#39;Größe</b> von &lt;script&gt;&#34;&amp;&#39;</p>`,
	} {
		part, err := alternatives.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(part); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	file, err := parts.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, file))
	_, params, _ = mime.ParseMediaType(file.Header.Get("Content-Disposition"))
	if err != nil || !bytes.Equal(got, content) || params["filename"] != "Ängebot.bin" {
		t.Errorf("%d bytes, %v, %v", len(got), params, err)
	}
}

// However often it is told, a message is queued once, and how it ended is noted once.
func TestToldTwice(t *testing.T) {
	t.Parallel()
	d := newDispatch(t)
	d.post.Open()
	d.run()
	admin := d.Admin(t)
	client := admin.Client(t, admin.Project(t, "Twice"), "Petrova", Map{"email": "fine@example.com"})
	id := admin.Create(t, "/api/v1/clients/"+client+"/messages", Map{"subject": "S", "text": "T"})
	d.became(admin, client, id, "sent")
	follow := func() {
		for rec, err := range d.Log.Read(t.Context(), eventlog.Stream(domain.Message, uuid.MustParse(id)), 0) {
			if err == nil {
				err = pgx.BeginFunc(t.Context(), d.DB, func(tx pgx.Tx) error { return d.messages.Follow(t.Context(), tx, &rec) })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	follow()
	if n := d.count("true"); n != 1 {
		t.Errorf("%d mails", n)
	}
	// Even when the mailer has forgotten it.
	if _, err := d.DB.Exec(t.Context(), `delete from annals_mail.messages`); err != nil {
		t.Fatal(err)
	}
	follow()
	d.await("the end of it", func() bool { return d.count(`state = 'failed' and last_error = 'it was sent or given up before'`) == 1 })
	d.await("no job left", func() bool {
		var n int
		err := d.DB.QueryRow(t.Context(), `select count(*) from annals_jobs.river_job where kind = 'message_outcome' and state <> 'completed'`).Scan(&n)
		return err == nil && n == 0
	})
	if got := strings.Join(d.events(id), " "); got != "composed sent" || len(d.post.All()) != 1 {
		t.Errorf("%s, arrived %d times", got, len(d.post.All()))
	}
	if s, err := commands.Load[message.State](t.Context(), commands.NewStore(d.Log), domain.Ref{Category: domain.Message, ID: uuid.MustParse(id)}); err != nil || s.Phase != message.IsSent {
		t.Error(s, err)
	}
}
