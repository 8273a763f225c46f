package webhook

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"annals/domain"
	"annals/domain/desk"
)

// Bounds of a definition.
const (
	mostTypes   = 100
	mostPlaces  = 1000
	mostFields  = 100
	mostHeaders = 20
)

// normal brings d into the form in which it is stored, and says what is wrong with it.
func (d Definition) normal(w domain.World, by domain.Authority) (Definition, error) {
	var f domain.Faults
	d.Name = domain.Text(d.Name)
	f.Add(domain.CheckText("name", d.Name, 100))
	f.Add(CheckURL("url", d.URL))
	d.Types, d.Fields = distinct(d.Types), distinct(d.Fields)
	f.Add(checkTypes(d.Types))
	if len(d.Fields) > mostFields {
		f.Add(domain.Fault("fields", "too_many", "has %d, at most %d are allowed", len(d.Fields), mostFields))
	}
	for i, name := range d.Fields {
		f.Add(domain.CheckName(domain.At("fields", i), name, 200))
	}
	d.Projects, d.Desks = sorted(d.Projects), sorted(d.Desks)
	f.Add(d.checkPlaces(w, by))
	switch d.Payload {
	case "":
		d.Payload = Thin
	case Thin, Full:
	default:
		f.Add(domain.Fault("payload", "unknown", "is none of thin, full"))
	}
	switch d.Order {
	case "":
		d.Order = PerClient
	case PerClient, Global:
	default:
		f.Add(domain.Fault("order", "unknown", "is none of client, global"))
	}
	var err error
	d.Headers, err = headers(d.Headers)
	f.Add(err)
	return d, f.Err()
}

// CheckURL faults what cannot be where deliveries go. Whether it leads to a network that
// is nobody's business is found out when it is dialled: names lead elsewhere the next day.
func CheckURL(field, text string) error {
	if err := domain.CheckName(field, text, 2000); err != nil {
		return err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return domain.Fault(field, "url", "is not a URL as in https://example.com/annals")
	case u.User != nil:
		return domain.Fault(field, "userinfo", "holds a user or password: use a header")
	case u.Fragment != "":
		return domain.Fault(field, "fragment", "holds a fragment, which is not sent")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n != 80 && n != 443 && n < 1024 {
			return domain.Fault(field, "port", "names port %s: 80, 443, and those from 1024 on are allowed", p)
		}
	}
	return checkHost(field, u.Hostname())
}

// checkHost faults addresses that are written so that some programs take them for others:
// a host whose last label is a number is an IPv4 address (WHATWG URL), in four parts here.
func checkHost(field, host string) error {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		return nil
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := labels[len(labels)-1]
	_, err := strconv.ParseUint(last, 0, 64)
	digits := last != "" && strings.Trim(last, "0123456789") == ""
	if err == nil || digits || last == "" || strings.HasPrefix(strings.ToLower(last), "0x") || strings.ContainsAny(host, "%: ") {
		return domain.Fault(field, "host", "has a host that is neither a name nor an address as in 203.0.113.7")
	}
	return nil
}

func checkTypes(types []string) error {
	var f domain.Faults
	if len(types) == 0 {
		f.Add(domain.Fault("types", "required", "has to hold at least one type, as in client.*"))
	}
	if len(types) > mostTypes {
		f.Add(domain.Fault("types", "too_many", "has %d, at most %d are allowed", len(types), mostTypes))
	}
	for i, t := range types {
		if category, what, two := strings.Cut(t, "."); t != "*" && (!two || !isWord(category) || what != "*" && !isWord(what)) {
			f.Add(domain.Fault(domain.At("types", i), "pattern", "is not a type as in client.edited, client.* or *"))
		}
	}
	return f.Err()
}

func isWord(s string) bool {
	return s != "" && len(s) <= 50 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// Matches says whether a pattern, as in Definition.Types, is of a type of event.
func Matches(pattern, name string) bool {
	prefix, all := strings.CutSuffix(pattern, "*")
	return pattern == name || all && strings.HasPrefix(name, prefix)
}

// Wants says whether the webhook asks for events of the type that change these fields.
func (d Definition) Wants(name string, changed []string) bool {
	if !slices.ContainsFunc(d.Types, func(p string) bool { return Matches(p, name) }) {
		return false
	}
	return len(d.Fields) == 0 || slices.ContainsFunc(changed, func(f string) bool { return slices.Contains(d.Fields, f) })
}

// WantsFrom says whether it asks for events of clients there.
func (d Definition) WantsFrom(at domain.Place) bool {
	return (len(d.Projects) == 0 || slices.Contains(d.Projects, at.Project)) && (len(d.Desks) == 0 || slices.Contains(d.Desks, at.Desk))
}

func (d Definition) checkPlaces(w domain.World, by domain.Authority) error {
	var f domain.Faults
	everywhere := by.Rights[domain.ClientsView] == domain.Everywhere
	if len(d.Projects) > mostPlaces {
		f.Add(domain.Fault("projects", "too_many", "has %d, at most %d are allowed", len(d.Projects), mostPlaces))
	}
	if len(d.Desks) > mostPlaces {
		f.Add(domain.Fault("desks", "too_many", "has %d, at most %d are allowed", len(d.Desks), mostPlaces))
	}
	for i, id := range d.Projects {
		switch at := domain.At("projects", i); {
		case !everywhere && !by.Scope.Projects[id]:
			f.Add(domain.OutOfReach(at, "project"))
		case !w.Has(domain.Ref{Category: domain.Project, ID: id}):
			f.Add(domain.Fault(at, "unknown", "%s names no project", id))
		}
	}
	for i, id := range d.Desks {
		s := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: id})
		switch at := domain.At("desks", i); {
		case !everywhere && !by.Scope.Desks[id] && (!by.Scope.Projects[s.ProjectID] || by.Rights[domain.ClientsView] < domain.InProjects):
			f.Add(domain.OutOfReach(at, "desk"))
		case !s.Exists():
			f.Add(domain.Fault(at, "unknown", "%s names no desk", id))
		case len(d.Projects) > 0 && !slices.Contains(d.Projects, s.ProjectID):
			f.Add(domain.Fault(at, "other_project", "%s belongs to project %s, which is not among the projects", id, s.ProjectID))
		}
	}
	return f.Err()
}

// reserved are headers that say what a delivery is, where it goes, or how it is sent.
var reserved = []string{
	"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "proxy-authorization",
	"te", "trailer", "upgrade", "expect", "accept-encoding", "user-agent", "annals-previous",
}

// headers brings headers into the form in which they are stored: names in lower case.
func headers(in map[string]string) (map[string]string, error) {
	if len(in) == 0 {
		return nil, nil //nolint:nilnil // as none are stored
	}
	var f domain.Faults
	if len(in) > mostHeaders {
		f.Add(domain.Fault("headers", "too_many", "has %d, at most %d are allowed", len(in), mostHeaders))
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		lower, value := strings.ToLower(name), in[name]
		at := "headers." + domain.Text(name)
		switch _, twice := out[lower]; {
		case !isToken(name):
			f.Add(domain.Fault("headers", "name", "holds a name that is none of a header"))
		case slices.Contains(reserved, lower), strings.HasPrefix(lower, "webhook-"):
			f.Add(domain.Fault(at, "reserved", "is set by Annals"))
		case twice:
			f.Add(domain.Fault(at, "repeated", "is there twice"))
		case len(value) > 4000 || strings.ContainsFunc(value, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }):
			f.Add(domain.Fault(at, "value", "has a value that is none of a header: at most 4000 characters of ASCII"))
		}
		out[lower] = value
	}
	return out, f.Err()
}

// isToken says whether s can name a header (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func sorted(ids []domain.ID) []domain.ID {
	if len(ids) == 0 {
		return nil
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, domain.CompareIDs)
	return slices.Compact(ids)
}

func distinct(all []string) []string {
	if len(all) == 0 {
		return nil
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}
