package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/joho/godotenv"
	"github.com/spf13/cobra"

	"annals/commands"
	"annals/internal/audit"
	"annals/internal/audit/proof"
	"annals/internal/esnode"
	"annals/internal/httpapi"
	"annals/internal/mail"
	"annals/internal/masterkey"
	"annals/internal/oidc"
)

// config is how the process is set up: by flag, environment or file, the first
// that says something.
type config struct {
	listen           string
	data             string
	eventStore       string
	eventStoreListen string
	eventStoreCert   string
	eventStoreKey    string
	eventStorePass   string
	database         string
	masterKey        string
	auditKey         string
	witnesses        string
	adminEmail       string
	adminPassword    string
	roles            string
	public           string
	blobs            string
	documentMax      string
	smtp             string
	mailFrom         string
	oidcIssuer       string
	oidcClient       string
	oidcSecret       string
	origins          string
	proxies          string
	rate             string
	privateWebhooks  string
	forgetful        bool // what is written is not needed again: little is kept in memory
	restoring        bool // what is there may be half restored
}

type setting struct {
	env, flag, fallback, doc string
	at                       func(*config) *string
}

// Secrets have no flag: every user of the machine can read command lines.
var settings = []setting{
	{"ANNALS_LISTEN", "listen", "127.0.0.1:8080", "HTTP address; port 0 picks one", func(c *config) *string { return &c.listen }},
	{"ANNALS_DATA", "data", "./data", "directory of the private PostgreSQL, generated keys and uploaded files", func(c *config) *string { return &c.data }},
	{"ANNALS_EVENTSTORE", "eventstore", "", "esdb:// connection string; empty: the embedded node", func(c *config) *string { return &c.eventStore }},
	{"ANNALS_EVENTSTORE_LISTEN", "eventstore-listen", "127.0.0.1:2113", "where the embedded node listens; port 0 picks one", func(c *config) *string { return &c.eventStoreListen }},
	{"ANNALS_EVENTSTORE_CERT", "eventstore-cert", "", "certificate file of the embedded node, required off loopback", func(c *config) *string { return &c.eventStoreCert }},
	{"ANNALS_EVENTSTORE_KEY", "eventstore-key", "", "key file of that certificate", func(c *config) *string { return &c.eventStoreKey }},
	{"ANNALS_EVENTSTORE_PASSWORD", "", "", "password of the embedded node's user admin, required off loopback", func(c *config) *string { return &c.eventStorePass }},
	{"ANNALS_DATABASE", "database", "", "postgres:// URL; empty: a private PostgreSQL", func(c *config) *string { return &c.database }},
	{"ANNALS_AUDIT_KEY", "", "", "private key that signs checkpoints, as golang.org/x/mod/sumdb/note writes it; empty: generated once into the data directory", func(c *config) *string { return &c.auditKey }},
	{"ANNALS_WITNESSES", "", "", "public keys of witnesses whose signatures are taken, separated by commas", func(c *config) *string { return &c.witnesses }},
	{"ANNALS_MASTER_KEY", "", "", "64 hexadecimal digits, and behind a comma those of a former key that is being replaced; empty: generated once into the data directory", func(c *config) *string { return &c.masterKey }},
	{"ANNALS_ADMIN_EMAIL", "admin-email", "admin@annals.localhost", "the first administrator's address", func(c *config) *string { return &c.adminEmail }},
	{"ANNALS_ADMIN_PASSWORD", "", "", "the first administrator's password; empty: generated and printed once", func(c *config) *string { return &c.adminPassword }},
	{"ANNALS_PUBLIC_URL", "public-url", "", "the URL that people reach it at, for links in mails and for OpenID Connect; empty: http:// and the address that it listens on", func(c *config) *string { return &c.public }},
	{"ANNALS_BLOBS", "blobs", "", "where documents are stored: file:///path, s3://bucket, gs://bucket or azblob://container; empty: a directory in the data directory", func(c *config) *string { return &c.blobs }},
	{"ANNALS_DOCUMENT_MAX", "document-max", "104857600", "bytes that a document may have", func(c *config) *string { return &c.documentMax }},
	{"ANNALS_SMTP", "", "", "smtp:// or smtps:// URL of the mail server; empty: messages are kept, not sent", func(c *config) *string { return &c.smtp }},
	{"ANNALS_MAIL_FROM", "mail-from", "annals@annals.localhost", "the address that mails come from", func(c *config) *string { return &c.mailFrom }},
	{"ANNALS_OIDC_ISSUER", "oidc-issuer", "", "URL of an OpenID Connect provider that people can sign in by; empty: none", func(c *config) *string { return &c.oidcIssuer }},
	{"ANNALS_OIDC_CLIENT_ID", "oidc-client-id", "", "what Annals is called there", func(c *config) *string { return &c.oidcClient }},
	{"ANNALS_OIDC_CLIENT_SECRET", "", "", "its secret there", func(c *config) *string { return &c.oidcSecret }},
	{"ANNALS_ORIGINS", "origins", "", "other origins whose pages may use the API with a session's cookie, separated by commas, as in https://crm.example.com", func(c *config) *string { return &c.origins }},
	{"ANNALS_TRUSTED_PROXIES", "trusted-proxies", "", "networks of the proxies in front, whose X-Forwarded-For and -Proto count, separated by commas, as in 10.0.0.0/8", func(c *config) *string { return &c.proxies }},
	{"ANNALS_RATE_LIMIT", "rate-limit", "2000", "requests a second that an employee or API key may send, and twice as many an address; 0: no limit", func(c *config) *string { return &c.rate }},
	{"ANNALS_WEBHOOKS_ALLOW_PRIVATE", "webhooks-allow-private", "false", "true: webhooks may lead to addresses of private networks and of this machine, for development", func(c *config) *string { return &c.privateWebhooks }},
	{"ANNALS_ROLES", "roles", "api,projector,worker", "what this process does", func(c *config) *string { return &c.roles }},
}

// configFlags adds the settings to a command. The result reads them once the
// command runs.
func configFlags(cmd *cobra.Command) func() (config, error) {
	flags := make(map[string]*string, len(settings))
	for _, s := range settings {
		if s.flag != "" {
			flags[s.env] = cmd.Flags().String(s.flag, "", s.doc+" ("+s.env+defaulting(s.fallback)+")")
		}
	}
	file := cmd.Flags().String("config", "", "file with lines NAME=value of these settings (ANNALS_CONFIG)")
	return func() (config, error) {
		var c config
		lines, err := readConfigFile(*file)
		if err != nil {
			return c, exit{exitUsage, err}
		}
		for _, s := range settings {
			value := s.fallback
			if v, ok := lines[s.env]; ok {
				value = v
			}
			if v, ok := os.LookupEnv(s.env); ok && v != "" {
				value = v
			}
			if s.flag != "" && cmd.Flags().Changed(s.flag) {
				value = *flags[s.env]
			}
			*s.at(&c) = value
		}
		return c, c.check()
	}
}

func defaulting(fallback string) string {
	if fallback == "" {
		return ""
	}
	return ", default " + fallback
}

func readConfigFile(name string) (map[string]string, error) {
	if name == "" {
		name = os.Getenv("ANNALS_CONFIG")
	}
	if name == "" {
		return nil, nil //nolint:nilnil // no file says nothing
	}
	lines, err := godotenv.Read(name)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	for key := range lines {
		if !slices.ContainsFunc(settings, func(s setting) bool { return s.env == key }) {
			return nil, fmt.Errorf("configuration file %s: there is no setting %s", name, key)
		}
	}
	return lines, nil
}

func (c *config) check() error {
	var all []error
	fault := func(name, format string, args ...any) {
		all = append(all, usage("%s: %s", name, fmt.Sprintf(format, args...)))
	}
	for name, addr := range map[string]string{"ANNALS_LISTEN": c.listen, "ANNALS_EVENTSTORE_LISTEN": c.eventStoreListen} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			fault(name, "%q is not an address as in 127.0.0.1:8080", addr)
		}
	}
	for name, s := range map[string]struct{ value, scheme string }{"ANNALS_EVENTSTORE": {c.eventStore, "esdb"}, "ANNALS_DATABASE": {c.database, "postgres"}} {
		u, err := url.Parse(s.value)
		if s.value != "" && (err != nil || !strings.HasPrefix(u.Scheme, s.scheme)) {
			fault(name, "is not a URL as in %s://…", s.scheme) // and not quoted: it may hold a password
		}
	}
	for role := range strings.SplitSeq(c.roles, ",") {
		if role != "api" && role != "projector" && role != "worker" {
			fault("ANNALS_ROLES", "%q is none of api, projector, worker", role)
		}
	}
	all = append(all, c.checkOutside()...)
	if c.masterKey != "" {
		if _, err := masterkey.Load("", c.masterKey); err != nil {
			fault("ANNALS_MASTER_KEY", "does not hold 64 hexadecimal digits") // and not quoted: it is a secret
		}
	}
	if c.auditKey != "" {
		if _, err := audit.LoadKey("", c.auditKey); err != nil {
			fault("ANNALS_AUDIT_KEY", "does not hold a private key: PRIVATE+KEY+name+hash+key") // and not quoted: it is a secret
		}
	}
	if c.eventStore == "" && len(all) == 0 {
		node := esnode.Config{Listen: c.eventStoreListen, CertFile: c.eventStoreCert, KeyFile: c.eventStoreKey, AdminPassword: c.eventStorePass}
		if err := node.Check(); err != nil {
			fault("ANNALS_EVENTSTORE_LISTEN, _CERT, _KEY and _PASSWORD", "%v", err)
		}
	}
	dir, err := filepath.Abs(c.data)
	if err != nil {
		fault("ANNALS_DATA", "%v", err)
	}
	c.data = dir
	if err := errors.Join(all...); err != nil {
		return exit{exitUsage, err}
	}
	return nil
}

// checkOutside checks the settings about mail, browsers, proxies and who else knows our
// employees. None is quoted that may hold a secret.
func (c *config) checkOutside() []error {
	var all []error
	fault := func(name string, err error) {
		if err != nil {
			all = append(all, usage("%s: %v", name, err))
		}
	}
	if c.public != "" {
		u, err := url.Parse(c.public)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			fault("ANNALS_PUBLIC_URL", errors.New("is not a URL as in https://crm.example.com"))
		}
		c.public = strings.TrimRight(c.public, "/")
	}
	if _, err := strconv.ParseBool(c.privateWebhooks); err != nil {
		fault("ANNALS_WEBHOOKS_ALLOW_PRIVATE", fmt.Errorf("%q is neither true nor false", c.privateWebhooks))
	}
	if n, err := strconv.ParseInt(c.documentMax, 10, 64); err != nil || n < 1 {
		fault("ANNALS_DOCUMENT_MAX", fmt.Errorf("%q is not a number of bytes", c.documentMax))
	}
	if err := mail.Check(mail.Config{SMTP: c.smtp, From: c.mailFrom}); err != nil {
		all = append(all, usage("%v", err)) // which names the settings
	}
	if c.oidcIssuer != "" || c.oidcClient != "" {
		public := c.public
		if public == "" {
			public = "http://127.0.0.1"
		}
		fault("ANNALS_OIDC_*", c.provider(public).Check())
	}
	_, err := c.protection()
	fault("ANNALS_ORIGINS", err)
	_, err = c.trusted()
	fault("ANNALS_TRUSTED_PROXIES", err)
	_, err = c.limits()
	fault("ANNALS_RATE_LIMIT", err)
	_, err = c.witnessKeys()
	fault("ANNALS_WITNESSES", err)
	return all
}

// provider is the identity provider that people can sign in by.
func (c *config) provider(public string) oidc.Config {
	return oidc.Config{
		Issuer: c.oidcIssuer, ClientID: c.oidcClient, ClientSecret: c.oidcSecret, RedirectURL: public + commands.SignOnCallback, Now: now,
	}
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// protection is that against other sites.
func (c *config) protection() (*http.CrossOriginProtection, error) {
	return httpapi.Origins(list(c.origins)...)
}

// trusted are the networks of the proxies in front.
func (c *config) trusted() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list(c.proxies) {
		p, err := netip.ParsePrefix(text)
		if addr, err2 := netip.ParseAddr(text); err2 == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not a network as in 10.0.0.0/8", text)
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *config) limits() (httpapi.Limits, error) {
	rate, err := strconv.ParseUint(c.rate, 10, 31)
	if err != nil {
		return httpapi.Limits{}, fmt.Errorf("%q is not a number of requests", c.rate)
	}
	if rate == 0 {
		none := httpapi.Limit{Rate: -1}
		return httpapi.Limits{Actor: none, Address: none}, nil
	}
	of := func(n uint64) httpapi.Limit { return httpapi.Limit{Rate: float64(n), Burst: int(2 * n)} } //nolint:gosec // below 2^32
	return httpapi.Limits{Actor: of(rate), Address: of(2 * rate)}, nil
}

// storage is the URL of where documents are.
func (c *config) storage() string {
	if c.blobs != "" {
		return c.blobs
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(c.data, "blobs"))}).String()
}

// webhooksAnywhere says whether webhooks may lead into private networks.
func (c *config) webhooksAnywhere() bool {
	yes, _ := strconv.ParseBool(c.privateWebhooks) // checked before
	return yes
}

func (c *config) documentBytes() int64 {
	n, _ := strconv.ParseInt(c.documentMax, 10, 64) // checked before
	return n
}

// witnessKeys are the public keys of witnesses.
func (c config) witnessKeys() (all []proof.Witness, err error) {
	for _, text := range list(c.witnesses) {
		w, err := proof.ParseWitness(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		all = append(all, w)
	}
	return all, nil
}

func (c config) role(name string) bool { return slices.Contains(strings.Split(c.roles, ","), name) }
