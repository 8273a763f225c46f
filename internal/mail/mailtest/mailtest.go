// Package mailtest is a mail server for tests: a real one, that does to a letter what its
// address says.
package mailtest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// What the server does to a letter. It does it the number of times after the
// colon, and then accepts.
const (
	BusyAtRcpt = "busy-rcpt" // 451 4.7.1
	BusyAtEnd  = "busy-end"  // 452 4.3.1
	Cut        = "cut"       // reads all, and hangs up
	CutAfter   = "cut-after" // accepts, and hangs up before it says so
	Hang       = "hang"      // accepts nothing, and says nothing
	Slow       = "slow"      // accepts, when it is told to
	NoSuchUser = "unknown"   // 550 5.1.1, always
	Spam       = "spam"      // 554 5.7.1 at the end, quoting the letter, always
)

// Arrival is a letter that was accepted.
type Arrival struct {
	To, ID string // ID is the Message-ID as it stands in the header
	Raw    string
	TLS    bool
	User   string
}

// PostOffice is an SMTP server: github.com/emersion/go-smtp with moods. The local part
// of an address says which: busy-rcpt.2@example.com is refused twice.
type PostOffice struct {
	tb       testing.TB
	server   *smtp.Server
	Addr     string
	mu       sync.Mutex
	tries    map[string]int // by address
	arrivals []Arrival
	held     chan struct{} // closed to end what hangs
	Hung     chan struct{} // told when something hangs
	Release  func()        // ends what hangs
}

// User and Password are those that it knows.
const User, Password = "annals", "pass:w/rd?&" //nolint:gosec // they open nothing

// New returns a post office that is closed. With a configuration it offers STARTTLS.
func New(tb testing.TB, conf *tls.Config) *PostOffice {
	tb.Helper()
	p := &PostOffice{tb: tb, tries: map[string]int{}, held: make(chan struct{}), Hung: make(chan struct{}, 100)}
	p.Release = sync.OnceFunc(func() { close(p.held) })
	p.server = smtp.NewServer(p)
	p.server.Domain, p.server.TLSConfig = "post.example", conf
	p.server.AllowInsecureAuth = true // that the client does not need it is what is tested
	p.server.EnableSMTPUTF8 = true
	p.server.ErrorLog = log.New(io.Discard, "", 0)
	return p
}

// Open listens, on the address that the post office had before if it had one.
func (p *PostOffice) Open(wrap ...func(net.Listener) net.Listener) *PostOffice {
	p.tb.Helper()
	if p.Addr == "" {
		p.Reserve()
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.Addr)
	if err != nil {
		p.tb.Fatal(err)
	}
	for _, w := range wrap {
		l = w(l)
	}
	go func() { _ = p.server.Serve(l) }()
	p.tb.Cleanup(func() { p.Release(); _ = p.server.Close() })
	return p
}

// Reserve gets an address at which nobody listens.
func (p *PostOffice) Reserve() *PostOffice {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.tb.Fatal(err)
	}
	p.Addr = l.Addr().String()
	_ = l.Close()
	return p
}

// All are the letters that were accepted.
func (p *PostOffice) All() []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Arrival(nil), p.arrivals...)
}

// NewSession implements [smtp.Backend].
func (p *PostOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &visit{post: p, conn: c}, nil
}

type visit struct {
	post     *PostOffice
	conn     *smtp.Conn
	to, user string
	mood     string
}

func (v *visit) Reset()                               {}
func (v *visit) Logout() error                        { return nil }
func (v *visit) Mail(string, *smtp.MailOptions) error { return nil }
func (v *visit) AuthMechanisms() []string             { return []string{sasl.Plain} }
func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, secret string) error {
		if name != User || secret != Password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "wrong: " + secret}
		}
		v.user = name
		return nil
	}), nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	local, _, _ := strings.Cut(to, "@")
	mood, times, _ := strings.Cut(local, ".")
	v.to, v.mood = to, mood
	v.post.mu.Lock()
	v.post.tries[to]++
	over := times != "" && v.post.tries[to] > int(times[0]-'0')
	v.post.mu.Unlock()
	if over {
		v.mood = ""
	}
	switch v.mood {
	case BusyAtRcpt:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted\tfor now"}
	case NoSuchUser:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	return nil
}

func (v *visit) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	switch v.mood {
	case BusyAtEnd:
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "full"}
	case Spam:
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "looks like spam: " + strings.ReplaceAll(string(raw), "\r\n", " ")}
	case Cut:
		_ = v.conn.Conn().Close()
		return nil
	case Hang:
		v.post.Hung <- struct{}{}
		<-v.post.held
		return errors.New("too late")
	}
	if v.mood == Slow {
		v.post.Hung <- struct{}{}
		<-v.post.held
	}
	msg, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	_, encrypted := v.conn.TLSConnectionState()
	v.post.mu.Lock()
	v.post.arrivals = append(v.post.arrivals, Arrival{v.to, msg.Header.Get("Message-Id"), string(raw), encrypted, v.user})
	v.post.mu.Unlock()
	if v.mood == CutAfter {
		_ = v.conn.Conn().Close()
	}
	return nil
}
