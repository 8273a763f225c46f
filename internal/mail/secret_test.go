package mail

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/eventschema"
	"annals/internal/mail/mailtest"
)

const secret = "https://crm.example/reset#s3cr3t"

func secretMessage(to string) Message {
	return Message{To: to, Subject: "Your new password", Text: secret, HTML: "<a href='" + secret + "'>here</a>", Secret: true, Expires: time.Now().Add(time.Hour)}
}

func master(t *testing.T, b byte) *eventschema.LocalMaster {
	t.Helper()
	m, err := eventschema.NewLocalMaster(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestASecretIsWipedWhenItsMessageEnded(t *testing.T) {
	t.Parallel()
	post := mailtest.New(t, nil).Open()
	for name, key := range map[string]eventschema.Master{"plain": nil, "sealed": master(t, 1)} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, Config{SMTP: "smtp://" + post.Addr, Master: key})
			m, _ := o.open()
			sent, refused := o.send(m, secretMessage("fine."+name+"@example.com")), o.send(m, secretMessage(mailtest.Spam+"@example.com"))
			if _, text, html, err := m.Message(t.Context(), sent); err != nil || text != secret || !strings.Contains(html, secret) {
				t.Error(text, html, err)
			}
			if key != nil {
				o.nowhere("s3cr3t")
			}
			m, _ = o.run()
			o.became(m, sent, Sent)
			if e := o.became(m, refused, Failed); e.LastError != "end of DATA: 554 5.7.1" || e.Wiped == nil {
				t.Errorf("%+v", e)
			}
			if _, text, html, err := m.Message(t.Context(), sent); err != nil || text != "" || html != "" {
				t.Error(text, html, err)
			}
			o.nowhere("s3cr3t")
			for _, a := range post.All() {
				if a.To == "fine."+name+"@example.com" && !strings.Contains(a.Raw, "s3cr3t") {
					t.Error("it was not in the message either")
				}
			}
		})
	}
}

func TestASecretIsWipedWhenItExpires(t *testing.T) {
	now := time.Now()
	o := newOffice(t, Config{Now: func() time.Time { return now }})
	m, _ := o.open()
	id := o.send(m, secretMessage("a@example.com"))
	now = now.Add(2 * time.Hour)
	m, _ = o.run()
	o.await("wiped", func() bool { return o.get(m, id).Wiped != nil })
	if e, text, _, err := m.Message(t.Context(), id); err != nil || text != "" || e.State != Kept {
		t.Error(e, text, err)
	}
	o.nowhere("s3cr3t")
}

func TestASealedMessageNeedsItsKey(t *testing.T) {
	o := newOffice(t, Config{Master: master(t, 1)})
	m, _ := o.open()
	one, two := o.send(m, secretMessage("a@example.com")), o.send(m, secretMessage("b@example.com"))
	o.exec(`update annals_mail.messages m set sealed = o.sealed, wrapped = o.wrapped from annals_mail.messages o where m.id = $1 and o.id = $2`, one, two)
	if _, text, _, err := m.Message(t.Context(), one); err == nil || text != "" {
		t.Error("opened what was moved from another message")
	}
	o.cfg.Master = master(t, 2)
	m, _ = o.open()
	if _, text, _, err := m.Message(t.Context(), two); err == nil || text != "" {
		t.Error("opened with another key")
	}
}

func TestWithoutAServerMessagesAreKept(t *testing.T) {
	o := newOffice(t, Config{From: " "})
	o.cfg.From = ""
	m, _ := o.run()
	var ids []uuid.UUID
	for _, to := range []string{"a@example.com", "B@example.com", "a@example.com"} {
		ids = append(ids, o.send(m, Message{To: to, Text: "for " + to}))
	}
	all, err := m.Messages(t.Context(), Filter{})
	if err != nil || len(all) != 3 || all[0].ID != ids[2] || all[0].State != Kept {
		t.Fatal(all, err)
	}
	for want, f := range map[int]Filter{0: {State: Sent}, 1: {To: "b@EXAMPLE.com"}, 2: {Limit: 2}, 3: {State: Kept}} {
		if got, err := m.Messages(t.Context(), f); err != nil || len(got) != want {
			t.Error(f, len(got), err)
		}
	}
	if got, err := m.Messages(t.Context(), Filter{Before: ids[1]}); err != nil || len(got) != 1 || got[0].ID != ids[0] {
		t.Error(got, err)
	}
	if _, text, _, err := m.Message(t.Context(), ids[1]); err != nil || text != "for B@example.com" {
		t.Error(text, err)
	}
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	conf, roots := certificate(t)
	implicit := func(l net.Listener) net.Listener { return tls.NewListener(l, conf) }
	for name, c := range map[string]struct {
		scheme, query string
		server        *tls.Config
		wrap          []func(net.Listener) net.Listener
		unknown       bool // who signed the certificate
		encrypted     bool
		fails         string
	}{
		"offered":                      {scheme: "smtp://", server: conf, encrypted: true},
		"offered, and not to be known": {scheme: "smtp://", server: conf, unknown: true, encrypted: true},
		"not offered":                  {scheme: "smtp://"},
		"not wanted":                   {scheme: "smtp://", query: "?tls=none", server: conf},
		"required":                     {scheme: "smtp://", query: "?tls=required", server: conf, encrypted: true},
		"required, not to be known":    {scheme: "smtp://", query: "?tls=required", server: conf, unknown: true, fails: "STARTTLS: tls: failed to verify certificate"},
		"required, not offered":        {scheme: "smtp://", query: "?tls=required", fails: "STARTTLS: the server does not offer it"},
		"from the start":               {scheme: "smtps://", wrap: []func(net.Listener) net.Listener{implicit}, encrypted: true},
		"from the start, not known":    {scheme: "smtps://", wrap: []func(net.Listener) net.Listener{implicit}, unknown: true, fails: "connect: tls: failed to verify certificate"},
		"a user, not offered":          {scheme: "smtp://annals:pass%3Aw%2Frd%3F&@", fails: "STARTTLS: the server does not offer it"},
		"a user":                       {scheme: "smtp://annals:pass%3Aw%2Frd%3F&@", server: conf, encrypted: true},
		"a user, from the start":       {scheme: "smtps://annals:pass%3Aw%2Frd%3F&@", wrap: []func(net.Listener) net.Listener{implicit}, encrypted: true},
		"a user, on loopback":          {scheme: "smtp://annals:pass%3Aw%2Frd%3F&@", query: "?tls=none"},
		"a wrong password":             {scheme: "smtp://annals:wr0ng@", server: conf, fails: "AUTH: 535 5.7.8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			post := mailtest.New(t, c.server).Open(c.wrap...)
			cfg := Config{SMTP: c.scheme + post.Addr + c.query, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
			if c.unknown {
				cfg.TLS = nil
			}
			cfg.From = "annals@example.com"
			srv, _, err := settings(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = srv.deliver(t.Context(), letter{from: "annals@example.com", to: "a@example.com", write: func(w io.Writer) error {
				_, err := io.WriteString(w, "Subject: S\r\n\r\nT")
				return err
			}})
			if c.fails != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.fails) || len(post.All()) != 0 || strings.Contains(err.Error(), "wr0ng") {
					t.Error("sent, or another reason:", err)
				}
				if r, ok := errors.AsType[*refusal](err); !ok || r.permanent {
					t.Error("no message is at fault")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a := post.All()[0]; a.TLS != c.encrypted || (a.User != "") != strings.HasPrefix(name, "a user") {
				t.Errorf("encrypted %v, user %q", a.TLS, a.User)
			}
		})
	}
}

func TestAPasswordIsNowhere(t *testing.T) {
	conf, roots := certificate(t)
	post := mailtest.New(t, conf).Open()
	o := newOffice(t, Config{SMTP: "smtp://annals:wr0ng@" + post.Addr, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	m, _ := o.run()
	id := o.send(m, Message{To: "a@example.com"})
	o.await("a refusal", func() bool { return o.get(m, id).LastError == "AUTH: 535 5.7.8" })
	if o.get(m, id).State != Queued {
		t.Error("given up, for what an operator will put right")
	}
	o.nowhere("wr0ng")
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]server{
		"smtp://mail.example":                     {host: "mail.example", port: "587", tls: offered},
		"smtp://mail.example:25/":                 {host: "mail.example", port: "25", tls: offered},
		"smtp://bücher.example?tls=required":      {host: "xn--bcher-kva.example", port: "587", tls: required},
		"smtp://[::1]:25?tls=none":                {host: "::1", port: "25", tls: never},
		"smtp://u:p%40ss@mail.example":            {host: "mail.example", port: "587", tls: required, user: "u", password: "p@ss"},
		"smtp://u:p@localhost?tls=none":           {host: "localhost", port: "587", tls: never, user: "u", password: "p"},
		"smtps://me%40example.com:p@mail.example": {host: "mail.example", port: "465", tls: implicit, user: "me@example.com", password: "p"},
		"smtps://mail.example:10465?tls=required": {host: "mail.example", port: "10465", tls: implicit},
	} {
		got, err := parseServer(url)
		if err != nil {
			t.Error(url, err)
			continue
		}
		want.talk, want.read = talk, read
		if *got != want {
			t.Errorf("%s: %+v", url, *got)
		}
	}
	const from = "annals@example.com"
	if err := Check(Config{}); err != nil {
		t.Error(err)
	}
	for _, url := range []string{
		"mail.example", "http://hunter2@mail.example", "smtp://", "smtp://:25", "smtp://u:hunter2@", "smtp://u:hunter2@mail.example:port",
		"smtp://u:hunter2@mail.example:0", "smtp://u:hunter2@mail.example:70000", "smtp://u:hunter2@mail.example?tls=perhaps",
		"smtp://u:hunter2@mail.example?tls=none", "smtps://u:hunter2@mail.example?tls=none", "smtp://u:hunter2@mail.example?x=y",
		"smtp://u:hunter2@mail.example/path", "smtp://:hunter2@mail.example", "smtp://u:hunter2%zz@mail.example", "smtp://u:hunter2@a b",
		"smtp://u:hunter2@mail.example#f", "smtp://u:hunter2@exa_mple\x7f", "smtp://u:hunter2@mail.example?tls=%zz",
	} {
		err := Check(Config{SMTP: url, From: from})
		if err == nil || !strings.HasPrefix(err.Error(), "ANNALS_SMTP: ") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "mail.example") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, from := range []string{"", "annals", "a@b, c@d", "A\r\nBcc: b@example.com <a@example.com>", "a@exa mple.com"} {
		err := Check(Config{SMTP: "smtp://mail.example", From: from})
		if err == nil || !strings.HasPrefix(err.Error(), "ANNALS_MAIL_FROM: ") {
			t.Errorf("%q: %v", from, err)
		}
	}
}
