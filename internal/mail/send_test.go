package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/mail/mailtest"
)

func TestAMessageArrivesAsItWasWritten(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr, From: `"Ännals, Größe" <annals@bücher.example>`})
	m, _ := o.run()
	msg := Message{
		To: "zoë.müller@bücher.example", ToName: "Zoë \"Z\" Müller, Dr.", Subject: "Schön, daß Sie da sind – 🎉 " + strings.Repeat("lang ", 20),
		Text: "Grüße\r\n.\r\n..\nFrom here on\n" + strings.Repeat("x", 2000) + "\n\nEnde", HTML: "<p>Grüße 🎉</p>\n.\n",
	}
	e := o.became(m, o.send(m, msg), Sent)
	got := post.All()
	if len(got) != 1 || e.Attempts != 1 || e.Ended == nil || e.LastError != "" {
		t.Fatalf("%d, %+v", len(got), e)
	}
	if got[0].To != "zoë.müller@xn--bcher-kva.example" {
		t.Error(got[0].To)
	}
	read, err := mail.ReadMessage(strings.NewReader(got[0].Raw))
	if err != nil {
		t.Fatal(err)
	}
	h := read.Header
	from, err1 := mail.ParseAddress(h.Get("From"))
	to, err2 := mail.ParseAddress(h.Get("To"))
	subject, err3 := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	date, err4 := h.Date()
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Fatal(err1, err2, err3, err4)
	}
	if from.Name != "Ännals, Größe" || from.Address != "annals@xn--bcher-kva.example" || to.Name != msg.ToName || strings.TrimSpace(subject) != strings.TrimSpace(msg.Subject) {
		t.Errorf("%v %v %q", from, to, subject)
	}
	if d := time.Since(date); d < -time.Minute || d > time.Minute {
		t.Error(date)
	}
	if h.Get("Message-Id") != "<"+e.ID.String()+"@xn--bcher-kva.example>" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("User-Agent") != "" {
		t.Error(h)
	}
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(read.Body, params["boundary"])
	for _, want := range []string{strings.ReplaceAll(msg.Text, "\r\n", "\n"), msg.HTML} {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if got := strings.ReplaceAll(string(body), "\r\n", "\n"); err != nil || got != want || !strings.Contains(part.Header.Get("Content-Type"), "UTF-8") {
			t.Errorf("%q instead of %q, %v", got, want, err)
		}
	}
}

func TestWhatIsRolledBackIsNotSent(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.run()
	tx, err := o.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Send(t.Context(), tx, Message{To: "never@example.com", Subject: "No", Text: "No"}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.became(m, o.send(m, Message{To: "a@example.com"}), Sent)
	if got := post.All(); len(got) != 1 || got[0].To != "a@example.com" {
		t.Error(got)
	}
}

// The mail server is down at first, then does everything that one can do to a
// message, while the process that sends is stopped and started again.
func TestEveryMessageEnds(t *testing.T) {
	post := mailtest.New(t, nil).Reserve()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, stop := o.run()
	type fate struct{ to, reason string } // why it fails, if it does
	want := map[uuid.UUID]fate{}
	for i := range 4 {
		for mood, reason := range map[string]string{
			"fine": "", mailtest.BusyAtRcpt + ".2": "", mailtest.BusyAtEnd + ".1": "", mailtest.Cut + ".2": "", mailtest.CutAfter + ".1": "", mailtest.Hang + ".1": "",
			mailtest.NoSuchUser: "RCPT: 550 5.1.1", mailtest.Spam: "end of DATA: 554 5.7.1",
		} {
			if i > 1 && mood == mailtest.Hang+".1" {
				continue // takes its time
			}
			to := fmt.Sprintf("%s@d%d.example", mood, i)
			if i%2 == 0 {
				want[o.send(m, Message{To: to})] = fate{to, reason}
			} else {
				want[o.sendFrom(m, o.archived(to))] = fate{to, reason}
			}
		}
	}
	o.await("an attempt in vain", func() bool {
		all, err := m.Messages(context.Background(), Filter{State: Queued})
		return err == nil && len(all) == len(want) && strings.Contains(all[0].LastError, "connection refused")
	})
	post.Open()
	for _, arrivals := range []int{1, 5, 10} {
		o.await("arrivals", func() bool { return len(post.All()) >= arrivals })
		stop()
		m, stop = o.run()
	}
	o.await("the end of all", func() bool {
		all, err := m.Messages(context.Background(), Filter{State: Queued})
		return err == nil && len(all) == 0
	})
	arrived := map[string]int{} // by Message-ID
	for _, a := range post.All() {
		arrived[strings.Trim(a.ID, "<>")]++
	}
	for id, f := range want {
		e := o.get(m, id)
		if e.Ref != nil {
			o.endedOnce(e)
		}
		switch n := arrived[e.MessageID]; {
		case f.reason != "":
			if e.State != Failed || !strings.HasPrefix(e.LastError, f.reason) || n != 0 || e.Ended == nil {
				t.Errorf("%s: %s %q, arrived %d times", f.to, e.State, e.LastError, n)
			}
		case e.State != Sent || e.LastError != "":
			t.Errorf("%s: %s %q", f.to, e.State, e.LastError)
		case strings.HasPrefix(f.to, mailtest.CutAfter) && n != 2, !strings.HasPrefix(f.to, mailtest.CutAfter) && n != 1:
			t.Errorf("%s: arrived %d times", f.to, n)
		}
	}
	o.nowhere("d1.example")
	if strings.Contains(o.journal.String(), ".example") {
		t.Error("an address is in the log")
	}
}

// TestHelper is not a test: TestAKilledSenderSendsAgain runs it in a process of its own.
func TestHelper(t *testing.T) {
	if os.Getenv("MAIL_HELPER_DATABASE") == "" {
		return
	}
	helper(t, os.Getenv("MAIL_HELPER_DATABASE"), os.Getenv("MAIL_HELPER_SMTP"))
}

func TestAKilledSenderSendsAgain(t *testing.T) {
	for name, send := range map[string]func(*office, *Mailer, string) uuid.UUID{
		"what is stored": func(o *office, m *Mailer, to string) uuid.UUID { return o.send(m, Message{To: to}) },
		"of a source":    func(o *office, m *Mailer, to string) uuid.UUID { return o.sendFrom(m, o.archived(to)) },
	} {
		t.Run(name, func(t *testing.T) { testKilled(t, send) })
	}
}

func testKilled(t *testing.T, send func(*office, *Mailer, string) uuid.UUID) {
	t.Helper()
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.open()
	id := send(o, m, mailtest.Hang+".1@example.com")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestHelper$")
	cmd.Env = append(os.Environ(), "MAIL_HELPER_DATABASE="+o.url, "MAIL_HELPER_SMTP="+o.cfg.SMTP)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-post.Hung: // the server has the letter, and has said nothing yet
	case <-time.After(20 * time.Second):
		t.Error("it never sent")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if t.Failed() {
		t.Fatal(out.String())
	}
	if e := o.get(m, id); e.State != Queued || e.Attempts != 1 {
		t.Fatalf("%+v", e)
	}
	// Time passes.
	o.exec(`update annals_jobs.river_job set attempted_at = now() - interval '1 hour' where state = 'running'`)
	o.exec(`delete from annals_jobs.river_leader`)
	m, _ = o.run()
	e := o.became(m, id, Sent)
	if e.Attempts != 2 || len(post.All()) != 1 {
		t.Errorf("%+v, arrived %d times", e, len(post.All()))
	}
	if e.Ref != nil {
		o.endedOnce(e)
	}
}

// PostgreSQL is out of reach at the worst moment: the server has accepted, and that
// is not noted yet.
func TestWhatWasSentIsNotedOverAnOutage(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, stop := o.run()
	m.server.read = time.Minute
	id := o.send(m, Message{To: mailtest.Slow + "@example.com"})
	<-post.Hung
	o.exec(`create function annals_mail.outage() returns trigger language plpgsql as $$ begin raise 'out of reach'; end $$`)
	o.exec(`create trigger outage before update on annals_mail.messages for each row execute function annals_mail.outage()`)
	post.Release()
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }() // even then
	o.await("its arrival", func() bool { return len(post.All()) == 1 })
	o.exec(`drop trigger outage on annals_mail.messages`)
	<-stopped
	if e := o.became(m, id, Sent); e.Attempts != 1 || len(post.All()) != 1 {
		t.Errorf("%+v, arrived %d times", e, len(post.All()))
	}
}

func TestItWaitsUntilTheMessageExpires(t *testing.T) {
	post := mailtest.New(t, nil).Reserve()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.run()
	id := o.send(m, Message{To: "a@example.com", Expires: time.Now().Add(8 * time.Second)})
	e := o.became(m, id, Failed)
	if !strings.HasPrefix(e.LastError, "expired; the last attempt: connect: ") || e.Attempts < 2 || e.Next != nil {
		t.Errorf("%+v", e)
	}
}

func TestAServerThatHangsIsLeft(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.run()
	m.server.read = 50 * time.Millisecond
	id := o.send(m, Message{To: mailtest.Hang + "@example.com", Expires: time.Now().Add(6 * time.Second)})
	if e := o.became(m, id, Failed); !strings.HasSuffix(e.LastError, "the server took too long") {
		t.Errorf("%+v", e)
	}
}

func TestALostJobIsQueuedAgainAndTheOldIsForgotten(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	m, _ := o.open()
	lost, old := o.send(m, Message{To: "a@example.com"}), o.send(m, Message{To: "b@example.com"})
	o.exec(`delete from annals_jobs.river_job`)
	o.exec(`update annals_mail.messages set created_at = now() - interval '1 hour' where id = $1`, lost)
	o.exec(`update annals_mail.messages set created_at = now() - interval '31 days', state = 'failed' where id = $1`, old)
	m, _ = o.run()
	o.became(m, lost, Sent)
	if _, _, _, err := m.Message(t.Context(), old); err != ErrUnknown { //nolint:errorlint // it is that one
		t.Error(err)
	}
}

func TestRefusedMessages(t *testing.T) {
	o := newOffice(t, Config{})
	m, _ := o.open()
	good := Message{To: "a@example.com", ToName: "A", Subject: "S", Text: "T"}
	for want, change := range map[string]func(*Message){
		"to":         func(m *Message) { m.To = "a@example.com\r\nBcc: b@example.com" },
		"to ":        func(m *Message) { m.To = "" },
		"to_name":    func(m *Message) { m.ToName = "A\r\nBcc: b@example.com" },
		"to_name ":   func(m *Message) { m.ToName = strings.Repeat("n", 201) },
		"subject":    func(m *Message) { m.Subject = "S\nBcc: b@example.com" },
		"subject ":   func(m *Message) { m.Subject = "S\rBcc: b@example.com" },
		"subject  ":  func(m *Message) { m.Subject = "" },
		"subject   ": func(m *Message) { m.Subject = "\xff" },
		"text":       func(m *Message) { m.Text = "" },
		"text ":      func(m *Message) { m.Text = "a\x00b" },
		"text  ":     func(m *Message) { m.Text = strings.Repeat("ä", 200<<10) },
		"html":       func(m *Message) { m.HTML = strings.Repeat("x", 256<<10+1) },
		"expires":    func(m *Message) { m.Expires = time.Now().Add(-time.Second) },
		"expires ":   func(m *Message) { m.Secret = true },
	} {
		msg := good
		change(&msg)
		err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error { _, err := m.Send(t.Context(), tx, msg); return err })
		if err == nil || !strings.HasPrefix(err.Error(), strings.TrimSpace(want)+": ") {
			t.Errorf("%s: %v", want, err)
		}
	}
	o.send(m, good)
}

// What a server does before it was told of a message is no message's fault.
func TestAServerThatIsNone(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]string{
		"554 5.3.2 closed\r\n": "connect: 554 5.3.2 closed", "421 later\r\n": "connect: 421 later",
		"s3cr3t\r\n": "connect: the server does not speak SMTP", "": "connect: EOF", "220 hello\r\n": "EHLO: smtp: EHLO/HELO exchange failed",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer l.Close()
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, says)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}()
		srv, _, err := settings(Config{SMTP: "smtp://" + l.Addr().String(), From: "annals@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		err = srv.deliver(t.Context(), letter{from: "a@example.com", to: "b@example.com"})
		if r, ok := errors.AsType[*refusal](err); !ok || r.permanent || !strings.Contains(r.Error(), want) {
			t.Errorf("%q: %v", says, err)
		}
	}
}
