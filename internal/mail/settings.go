package mail

import (
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"annals/domain"
)

// encryption says when a connection is encrypted.
type encryption uint8

const (
	offered  encryption = iota // with STARTTLS where the server offers it
	required                   // with STARTTLS, or nothing is sent
	never
	implicit // from the start
)

// server is where messages go.
type server struct {
	host, port     string
	user, password string
	tls            encryption
	conf           *tls.Config
	talk, read     time.Duration // see the constants
}

// sender is who messages are from.
type sender struct {
	addr   mail.Address
	domain string // right of the @, in ASCII
}

// Check answers what is wrong with the settings SMTP and From of cfg, by the name of
// the environment variable and without quoting it: a URL may hold a password.
func Check(cfg Config) error {
	_, _, err := settings(cfg)
	return err
}

func settings(cfg Config) (*server, sender, error) {
	srv, err1 := parseServer(cfg.SMTP)
	from, err2 := parseSender(cfg.From, cfg.SMTP == "")
	if err := errors.Join(err1, err2); err != nil || srv == nil {
		return nil, from, err
	}
	srv.conf = &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		srv.conf = cfg.TLS.Clone()
	}
	srv.conf.ServerName = srv.host
	if srv.tls == offered {
		// Whoever could show a false certificate could as well not offer TLS; and a
		// certificate that nobody can check is usual on a relay next door (RFC 7435).
		srv.conf.InsecureSkipVerify = true
	}
	return srv, from, nil
}

func parseServer(s string) (*server, error) {
	fault := func(what string) (*server, error) { return nil, errors.New("ANNALS_SMTP: " + what) }
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return fault("is not a URL") // its error would quote it
	}
	srv := &server{talk: talk, read: read, host: u.Hostname(), port: u.Port(), user: u.User.Username()}
	srv.password, _ = u.User.Password()
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fault("its query is malformed")
	}
	mode := query.Get("tls")
	query.Del("tls")
	switch {
	case u.Scheme != "smtp" && u.Scheme != "smtps":
		return fault("has to begin with smtp:// or smtps://")
	case srv.host == "":
		return fault("has no host")
	case u.Path != "" && u.Path != "/", u.Fragment != "":
		return fault("has a path or fragment, which means nothing")
	case len(query) > 0:
		return fault("knows no other parameter than tls")
	case mode != "" && mode != "required" && mode != "none", mode == "none" && u.Scheme == "smtps":
		return fault("tls has to be required or none, and required with smtps")
	case srv.user == "" && srv.password != "":
		return fault("has a password and no user")
	}
	if srv.host, err = idna.Lookup.ToASCII(srv.host); err != nil && net.ParseIP(u.Hostname()) == nil {
		return fault("its host is not a name")
	} else if err != nil {
		srv.host = u.Hostname()
	}
	if n, err := strconv.ParseUint(srv.port, 10, 16); srv.port != "" && (err != nil || n == 0) {
		return fault("its port is not a port")
	}
	port := "587" // submission, RFC 6409
	switch {
	case u.Scheme == "smtps":
		srv.tls, port = implicit, "465" // RFC 8314 §3.3
	case mode == "none":
		srv.tls = never
		if srv.user != "" && !loopback(srv.host) {
			return fault("a password is not sent over an open connection: leave out tls=none")
		}
	case mode == "required", srv.user != "":
		srv.tls = required
	}
	if srv.port == "" {
		srv.port = port
	}
	return srv, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func parseSender(s string, optional bool) (sender, error) {
	if s == "" && optional {
		host, err := os.Hostname()
		if err != nil || !strings.Contains(host, ".") || domain.CheckEmail("", "annals@"+host) != nil {
			host = "annals.invalid" // RFC 2606 §2
		}
		return sender{addr: mail.Address{Name: "Annals", Address: "annals@" + host}, domain: host}, nil
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || domain.CheckEmail("", addr.Address) != nil || oneLine("", addr.Name) != nil {
		return sender{}, errors.New("ANNALS_MAIL_FROM: has to be an e-mail address, as in Annals <annals@example.com>")
	}
	ascii, err := asciiDomain(addr.Address)
	if err != nil {
		return sender{}, errors.New("ANNALS_MAIL_FROM: its domain is not a domain")
	}
	return sender{addr: mail.Address{Name: addr.Name, Address: ascii}, domain: ascii[strings.LastIndexByte(ascii, '@')+1:]}, nil
}

// asciiDomain turns the domain of an address into the form that every server knows
// (RFC 5891).
func asciiDomain(addr string) (string, error) {
	local, host, _ := strings.Cut(addr, "@")
	host, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", err
	}
	return local + "@" + host, nil
}
