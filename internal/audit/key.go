package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"annals/internal/keyfile"
)

// KeyFile is the name of a generated key below the data directory: the private key that
// signs checkpoints, as golang.org/x/mod/sumdb/note writes them, readable by its owner
// only.
const KeyFile = "audit.key"

// Key signs checkpoints, and tells others how to verify them.
type Key struct {
	note.Signer
	Verifier note.Verifier
	Public   string // as others are given it: name+hash+key
}

// LoadKey returns the configured key. Where none is configured it returns the one in
// the data directory, which it makes on the first call, with a name of its own.
func LoadKey(dir, configured string) (*Key, error) {
	if configured != "" {
		return parseKey("ANNALS_AUDIT_KEY", configured)
	}
	path := filepath.Join(dir, KeyFile)
	text, err := keyfile.Load(path, func() (string, error) {
		var id [8]byte
		rand.Read(id[:])
		secret, _, err := note.GenerateKey(rand.Reader, "annals/"+hex.EncodeToString(id[:]))
		return secret, err
	})
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	return parseKey(path, text)
}

func parseKey(from, text string) (*Key, error) {
	fail := fmt.Errorf("audit key: %s does not hold a private key as of golang.org/x/mod/sumdb/note: PRIVATE+KEY+name+hash+key", from)
	s, err := note.NewSigner(strings.TrimSpace(text))
	if err != nil {
		return nil, fail // err may quote it
	}
	public, err := publicKey(strings.TrimSpace(text))
	if err != nil {
		return nil, fail
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		return nil, errors.Join(fail, err)
	}
	return &Key{s, v, public}, nil
}

// publicKey derives what a private key, which is known to be one, is verified with.
func publicKey(secret string) (string, error) {
	parts := strings.SplitN(secret, "+", 5) // PRIVATE, KEY, name, hash, key
	if len(parts) != 5 {
		return "", errors.New("it is no private key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("it is no private key of Ed25519")
	}
	return note.NewEd25519VerifierKey(parts[2], ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey))
}
