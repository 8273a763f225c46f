package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks, and the one of our own.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
	HeaderPrevious  = "Annals-Previous"
)

// How secrets and keys begin when they are shown.
const (
	secretPrefix = "whsec_"
	publicPrefix = "whpk_"
)

// Key signs deliveries as Standard Webhooks 1.0.0 has it
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
// HMAC-SHA256 (v1) for receivers that share a secret, and Ed25519 (v1a) for those that
// would rather have nothing that is secret.
type Key struct {
	secret  []byte
	private ed25519.PrivateKey
}

// NewKey returns a random key.
func NewKey() Key {
	secret, seed := make([]byte, 32), make([]byte, ed25519.SeedSize)
	rand.Read(secret)
	rand.Read(seed)
	return Key{secret, ed25519.NewKeyFromSeed(seed)}
}

// Secret is what a receiver that checks v1 is given.
func (k Key) Secret() string { return secretPrefix + base64.StdEncoding.EncodeToString(k.secret) }

// Public is what a receiver that checks v1a is given.
func (k Key) Public() string {
	return publicPrefix + base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

type storedKey struct {
	Secret []byte `json:"secret"`
	Seed   []byte `json:"seed"`
}

func (k Key) encode() ([]byte, error) {
	return json.Marshal(storedKey{k.secret, k.private.Seed()}) //nolint:gosec // it is sealed before it is kept
}

func decodeKey(raw []byte) (Key, error) {
	var s storedKey
	if err := json.Unmarshal(raw, &s); err != nil || len(s.Secret) < minSecret || len(s.Seed) != ed25519.SeedSize {
		return Key{}, errors.New("the stored key is not one")
	}
	return Key{s.Secret, ed25519.NewKeyFromSeed(s.Seed)}, nil
}

// Sign is the webhook-signature header: what each key makes of the delivery, so that a
// receiver that knows any of them is content.
func Sign(keys []Key, id string, at time.Time, body []byte) string {
	content := signed(id, at.Unix(), body)
	var all []string
	for _, k := range keys {
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac(k.secret, content)),
			"v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, content)))
	}
	return strings.Join(all, " ")
}

func signed(id string, at int64, body []byte) []byte {
	return append(fmt.Appendf(nil, "%s.%d.", id, at), body...)
}

func mac(secret, content []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write(content)
	return m.Sum(nil)
}

// Tolerance is how old, or how far ahead, a delivery may be.
const Tolerance = 5 * time.Minute

// The lengths of secrets, in bytes.
const (
	minSecret = 24
	maxSecret = 64
)

// Reasons for which a delivery is not taken.
var (
	ErrSecret    = errors.New("webhook: the secret is neither whsec_ with 24 to 64 bytes nor whpk_ with 32, in base64")
	ErrHeaders   = errors.New("webhook: a header is missing or malformed")
	ErrTimestamp = errors.New("webhook: the delivery is too old, or from the future")
	ErrSignature = errors.New("webhook: no signature is of this key")
)

// Verify checks a delivery as a receiver does that was given the secret: whsec_ or whpk_.
func Verify(secret, id, timestamp, signature string, body []byte, now time.Time) error {
	check, version, err := checker(secret)
	if err != nil {
		return err
	}
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" || signature == "" {
		return ErrHeaders
	}
	if off := now.Sub(time.Unix(sent, 0)); off > Tolerance || off < -Tolerance {
		return ErrTimestamp
	}
	content := signed(id, sent, body)
	if slices.ContainsFunc(strings.Fields(signature), func(one string) bool {
		v, text, _ := strings.Cut(one, ",")
		sum, err := base64.StdEncoding.DecodeString(text)
		return err == nil && v == version && check(content, sum)
	}) {
		return nil
	}
	return ErrSignature
}

func checker(secret string) (check func(content, sum []byte) bool, version string, err error) {
	text, symmetric := strings.CutPrefix(secret, secretPrefix)
	if !symmetric {
		text = strings.TrimPrefix(secret, publicPrefix)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err == nil && symmetric && len(raw) >= minSecret && len(raw) <= maxSecret:
		return func(content, sum []byte) bool { return hmac.Equal(sum, mac(raw, content)) }, "v1", nil
	case err == nil && text != secret && !symmetric && len(raw) == ed25519.PublicKeySize:
		return func(content, sum []byte) bool { return ed25519.Verify(raw, content, sum) }, "v1a", nil
	}
	return nil, "", ErrSecret
}
