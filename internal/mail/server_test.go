package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// What the test's server does to a letter. It does it the number of times after the
// colon, and then accepts.
const (
	busyAtRcpt = "busy-rcpt" // 451 4.7.1
	busyAtEnd  = "busy-end"  // 452 4.3.1
	cut        = "cut"       // reads all, and hangs up
	cutAfter   = "cut-after" // accepts, and hangs up before it says so
	hang       = "hang"      // accepts nothing, and says nothing
	slow       = "slow"      // accepts, when it is told to
	noSuchUser = "unknown"   // 550 5.1.1, always
	spam       = "spam"      // 554 5.7.1 at the end, quoting the letter, always
)

type arrival struct {
	to, id string
	raw    string
	tls    bool
	user   string
}

// postOffice is an SMTP server: github.com/emersion/go-smtp with moods. The local part
// of an address says which: busy-rcpt.2@example.com is refused twice.
type postOffice struct {
	t        *testing.T
	server   *smtp.Server
	addr     string
	mu       sync.Mutex
	tries    map[string]int // by address
	arrivals []arrival
	held     chan struct{} // closed to end what hangs
	hung     chan struct{} // told when something hangs
	release  func()        // closes held
}

const user, password = "annals", "pass:w/rd?&"

func newPostOffice(t *testing.T, conf *tls.Config) *postOffice {
	t.Helper()
	p := &postOffice{t: t, tries: map[string]int{}, held: make(chan struct{}), hung: make(chan struct{}, 100)}
	p.release = sync.OnceFunc(func() { close(p.held) })
	p.server = smtp.NewServer(p)
	p.server.Domain, p.server.TLSConfig = "post.example", conf
	p.server.AllowInsecureAuth = true // that the client does not need it is what is tested
	p.server.EnableSMTPUTF8 = true
	p.server.ErrorLog = log.New(io.Discard, "", 0)
	return p
}

// open listens, on the address that the post office had before if it had one.
func (p *postOffice) open(wrap ...func(net.Listener) net.Listener) *postOffice {
	p.t.Helper()
	if p.addr == "" {
		p.reserve()
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, w := range wrap {
		l = w(l)
	}
	go func() { _ = p.server.Serve(l) }()
	p.t.Cleanup(func() { p.release(); _ = p.server.Close() })
	return p
}

// reserve gets an address at which nobody listens.
func (p *postOffice) reserve() *postOffice {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = l.Addr().String()
	_ = l.Close()
	return p
}

func (p *postOffice) all() []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]arrival(nil), p.arrivals...)
}

func (p *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &visit{post: p, conn: c}, nil
}

type visit struct {
	post     *postOffice
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
		if name != user || secret != password {
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
	case busyAtRcpt:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted\tfor now"}
	case noSuchUser:
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
	case busyAtEnd:
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "full"}
	case spam:
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "looks like spam: " + strings.ReplaceAll(string(raw), "\r\n", " ")}
	case cut:
		_ = v.conn.Conn().Close()
		return nil
	case hang:
		v.post.hung <- struct{}{}
		<-v.post.held
		return errors.New("too late")
	}
	if v.mood == slow {
		v.post.hung <- struct{}{}
		<-v.post.held
	}
	msg, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	_, encrypted := v.conn.TLSConnectionState()
	v.post.mu.Lock()
	v.post.arrivals = append(v.post.arrivals, arrival{v.to, msg.Header.Get("Message-Id"), string(raw), encrypted, v.user})
	v.post.mu.Unlock()
	if v.mood == cutAfter {
		_ = v.conn.Conn().Close()
	}
	return nil
}

// certificate is one for 127.0.0.1, and the roots that know it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
