package esnode

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"annals/internal/esnode/engine"
)

const (
	roleAdmins   = "$admins"
	roleOps      = "$ops"
	roleEveryone = "$all"
)

// identity is who makes a call. The zero value is nobody.
type identity struct {
	name string
	role string
}

// users knows who may call. On a node in the clear everyone is the administrator.
type users struct {
	secure bool
	known  map[string]user
}

type user struct {
	password [sha256.Size]byte
	role     string
}

func newUsers(c *Config) *users {
	u := &users{secure: c.secure(), known: map[string]user{}}
	if c.AdminPassword != "" {
		u.known["admin"] = user{sha256.Sum256([]byte(c.AdminPassword)), roleAdmins}
	}
	if c.OpsPassword != "" {
		u.known["ops"] = user{sha256.Sum256([]byte(c.OpsPassword)), roleOps}
	}
	return u
}

// identify reads the basic credentials of a call. Wrong ones are refused, none are nobody's.
func (u *users) identify(ctx context.Context) (identity, error) {
	if !u.secure {
		return identity{"admin", roleAdmins}, nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	headers := md.Get("authorization")
	if len(headers) == 0 {
		return identity{}, nil
	}
	refused := status.Error(codes.Unauthenticated, "Unauthenticated")
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if !strings.EqualFold(scheme, "Basic") || err != nil {
		return identity{}, refused
	}
	name, password, _ := strings.Cut(string(decoded), ":")
	known, ok := u.known[name]
	given := sha256.Sum256([]byte(password))
	// Compared for an unknown name as well, so that the time tells nothing.
	if subtle.ConstantTimeCompare(given[:], known.password[:]) != 1 || !ok {
		return identity{}, refused
	}
	return identity{name, known.role}, nil
}

type identityKey struct{}

func withIdentity(ctx context.Context, who identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// operation is what a call does to a stream.
type operation int

const (
	opRead operation = iota
	opWrite
	opDelete
)

// settings caches the default access of the stream $settings for a moment.
type settings struct {
	mu           sync.Mutex
	user, system *engine.ACL
	until        time.Time
}

const settingsFresh = time.Second

// authorize tells whether the caller may do something with a stream: $all may be read only, an empty name is refused
// by what follows, and with users the access lists decide.
func (n *Node) authorize(ctx context.Context, stream string, op operation) error {
	if stream == "$all" && op != opRead {
		return &deniedError{}
	}
	if !n.cfg.secure() {
		return nil
	}
	who, _ := ctx.Value(identityKey{}).(identity)
	switch {
	case who.name == "":
		return &deniedError{}
	case who.role == roleAdmins:
		return nil
	}
	original, meta := stream, false
	if engine.IsMetastream(stream) {
		original, meta = engine.OriginalOf(stream), true
	}
	m, err := n.engine.Load().Metadata(ctx, original)
	if err != nil {
		return err // a tombstoned stream says so whoever asks
	}
	allowed, err := n.access(ctx, original, m.ACL, func(a *engine.ACL) []string { return choose(a, op, meta) })
	if err != nil {
		return err
	}
	if slices.Contains(allowed, roleEveryone) || slices.Contains(allowed, who.name) || slices.Contains(allowed, who.role) {
		return nil
	}
	return &deniedError{}
}

func choose(a *engine.ACL, op operation, meta bool) []string {
	switch {
	case meta && op == opRead:
		return a.MetaRead
	case meta:
		return a.MetaWrite
	case op == opRead:
		return a.Read
	case op == opWrite:
		return a.Write
	default:
		return a.Delete
	}
}

// access is the list that holds for a stream: its own, else the one of $settings, else the built-in one.
func (n *Node) access(ctx context.Context, stream string, own *engine.ACL, list func(*engine.ACL) []string) ([]string, error) {
	if own != nil {
		if l := list(own); l != nil {
			return l, nil
		}
	}
	user, system, err := n.defaults(ctx)
	if err != nil {
		return nil, err
	}
	general, builtin := user, []string{roleEveryone}
	if strings.HasPrefix(stream, "$") {
		general, builtin = system, []string{roleAdmins}
	}
	if general != nil {
		if l := list(general); l != nil {
			return l, nil
		}
	}
	return builtin, nil
}

func (n *Node) defaults(ctx context.Context) (user, system *engine.ACL, err error) {
	n.settings.mu.Lock()
	defer n.settings.mu.Unlock()
	now := time.Now() //nolint:forbidigo // how fresh a cache is
	if now.Before(n.settings.until) {
		return n.settings.user, n.settings.system, nil
	}
	user, system = nil, nil
	read, err := n.engine.Load().ReadStream(ctx, "$settings", engine.MaxRevision, true, 1)
	switch {
	case isMissing(err):
	case err != nil:
		return nil, nil, err
	default:
		for page, err := range read.Pages {
			if err != nil {
				return nil, nil, err
			}
			user, system = engine.ParseSettings(page[0].Data)
		}
	}
	n.settings.user, n.settings.system, n.settings.until = user, system, now.Add(settingsFresh)
	return user, system, nil
}
