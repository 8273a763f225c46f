package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// talk is how long a server may take until it wants the message, and read from then
	// until it has accepted it: to give up there is to send it twice (RFC 5321
	// §4.5.3.2.6), to wait is to keep what a dead process was sending.
	talk, read = 20 * time.Second, 90 * time.Second
	attempt    = 2*talk + read // connecting has as long again

	// transfer is what a message of a source may take longer, for its attachments, for as
	// long as the server keeps taking them.
	transfer = 3 * time.Minute

	// bye is for taking leave.
	bye = time.Second
)

// refusal is why a message was not sent.
type refusal struct {
	step      string // of the dialogue
	code      int    // the server's (RFC 5321 §4.2); 0: it said none
	text      string // what it said, or what else went wrong
	permanent bool   // it will say the same tomorrow
}

func (r *refusal) Error() string {
	if r.code == 0 {
		return r.step + ": " + r.text
	}
	return strings.TrimRight(fmt.Sprintf("%s: %d %s", r.step, r.code, r.text), " ")
}

// refused makes a refusal of err in a step. Only what a server says of a message is
// permanent: that it lets nobody in, or not us, somebody will put right.
func refused(step string, err error, aboutMessage bool) *refusal {
	r := &refusal{step: step, text: plain(err.Error())}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		r.text = "the server does not speak SMTP" // and the error quotes what it said
	}
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		r.code, r.text = said.Code, plain(said.Msg)
		signIn := slices.Contains([]int{530, 534, 535, 538}, r.code) // RFC 4954 §6
		r.permanent = aboutMessage && r.code >= 500 && !signIn
	}
	return r
}

// deliver hands the letter to the server. Nil means that the server has accepted it;
// any other answer is a [*refusal], and may leave open whether it has.
func (s *server) deliver(ctx context.Context, l letter) error {
	var dialer net.Dialer
	dialing, cancel := context.WithTimeout(ctx, s.talk)
	defer cancel()
	conn, err := dialer.DialContext(dialing, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return refused("connect", err, false)
	}
	var late atomic.Bool
	timer := time.AfterFunc(s.talk, func() { late.Store(true); _ = conn.Close() })
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	leave := func() { unhook(); timer.Stop(); _ = conn.Close() }

	c, err := s.greet(conn)
	if err == nil {
		err = transact(c, l, func() { timer.Reset(s.read) })
	}
	if err == nil {
		// Politely, but the message counts as sent from now on.
		timer.Reset(bye)
		go func() { defer leave(); _ = c.Quit() }()
		return nil
	}
	leave()
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		r = refused("dialogue", err, false)
	}
	if late.Load() && r.code == 0 {
		r.text = "the server took too long"
	}
	return r
}

// greet says hello, encrypts and signs in.
func (s *server) greet(conn net.Conn) (*smtp.Client, error) {
	name := helo(conn)
	if s.tls == implicit {
		conn = tls.Client(conn, s.conf)
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, refused("connect", err, false)
	}
	if err := c.Hello(name); err != nil {
		return nil, refused("EHLO", err, false)
	}
	if s.tls == offered || s.tls == required {
		there, _ := c.Extension("STARTTLS")
		if !there && s.tls == required {
			return nil, &refusal{step: "STARTTLS", text: "the server does not offer it"}
		}
		if there {
			if err := c.StartTLS(s.conf); err != nil {
				return nil, refused("STARTTLS", err, false)
			}
		}
	}
	if s.user == "" {
		return c, nil
	}
	_, offers := c.Extension("AUTH")
	var auth smtp.Auth
	switch mechanisms := strings.Fields(offers); {
	case slices.Contains(mechanisms, "SCRAM-SHA-256"):
		auth = smtp.ScramSHA256Auth(s.user, s.password)
	case slices.Contains(mechanisms, "PLAIN"):
		auth = smtp.PlainAuth("", s.user, s.password, s.host, s.tls == never)
	case slices.Contains(mechanisms, "LOGIN"):
		auth = smtp.LoginAuth(s.user, s.password, s.host, s.tls == never)
	default:
		return nil, &refusal{step: "AUTH", text: "the server offers no way to sign in that is known here"}
	}
	if err := c.Auth(auth); err != nil {
		r := refused("AUTH", err, false)
		r.text = enhanced.FindString(r.text) // the rest may quote what was sent
		return nil, r
	}
	return c, nil
}

// transact sends the letter; began is called when the server wants it.
func transact(c *smtp.Client, l letter, began func()) error {
	if there, _ := c.Extension("SMTPUTF8"); l.utf8 && !there {
		return &refusal{step: "address", text: "the server takes ASCII addresses only", permanent: true}
	}
	c.SkipSMTPUTF8(!l.utf8) // or the next server may have to return it
	if err := c.Mail("<" + l.from + ">"); err != nil {
		return refused("MAIL", err, true)
	}
	if err := c.Rcpt("<" + l.to + ">"); err != nil {
		return refused("RCPT", err, true)
	}
	w, err := c.Data()
	if err != nil {
		return refused("DATA", err, true)
	}
	began()
	wire := &wire{Writer: w, wrote: began}
	if err := l.write(wire); wire.err != nil {
		return refused("DATA", wire.err, true)
	} else if err != nil {
		return err // and what the server has got, it drops, since its end never came
	}
	if err := w.Close(); err != nil {
		return refused("end of DATA", err, true)
	}
	return nil
}

// wire tells of each part that the server has taken, and keeps its fault apart from
// that of what is being written.
type wire struct {
	io.Writer
	wrote func()
	err   error
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.err = err
	} else {
		w.wrote()
	}
	return n, err
}

// helo is how we introduce ourselves: RFC 5321 §4.1.4 wants a name that is known, or
// the address.
func helo(conn net.Conn) string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return name
	}
	addr, ok := conn.LocalAddr().(*net.TCPAddr)
	switch {
	case !ok:
		return "localhost"
	case addr.IP.To4() == nil:
		return "[IPv6:" + addr.IP.String() + "]"
	}
	return "[" + addr.IP.String() + "]"
}
