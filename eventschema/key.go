package eventschema

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"annals/domain"
)

// A DataKey encrypts the personal fields of one stream: AES-256-GCM (NIST SP
// 800-38D) with a random nonce of 96 bits before each ciphertext.
type DataKey [32]byte

// NewDataKey returns a random key.
func NewDataKey() *DataKey {
	var k DataKey
	rand.Read(k[:])
	return &k
}

func (k *DataKey) aead() cipher.AEAD { return newGCM(k[:]) }

// MAC tells two requests apart without telling what was in them; nil stands for
// streams without personal data.
func (k *DataKey) MAC(request []byte) string {
	if len(request) == 0 {
		return ""
	}
	var secret []byte
	if k != nil {
		secret = k[:]
	}
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("annals/request\n"))
	m.Write(request)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:12])
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key's length is fixed by its type
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// seal returns nonce and ciphertext; context has to be the same to open it.
func seal(aead cipher.AEAD, plain []byte, context string) []byte {
	box := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(box)
	return aead.Seal(box, box, plain, []byte(context))
}

// unseal returns what seal was given, in place of the box.
func unseal(aead cipher.AEAD, box, context []byte) ([]byte, error) {
	n := aead.NonceSize()
	if len(box) < n {
		return nil, errors.New("sealed value is cut short")
	}
	plain, err := aead.Open(box[n:n], box[:n], box[n:], context)
	if err != nil {
		return nil, errors.New("sealed value does not open: altered, moved, or of another key")
	}
	return plain, nil
}

// ErrMaster means that a data key needs a master key that this process was not given.
var ErrMaster = errors.New("the master key is another one")

// Master wraps data keys, so that whoever holds the log alone holds no key.
type Master interface {
	// ID names the key; it is stored beside what it wrapped.
	ID() string
	// Wrap encrypts the data key of the aggregate id.
	Wrap(ctx context.Context, id domain.ID, key *DataKey) ([]byte, error)
	// Unwrap takes back what Wrap made under the master key of that name.
	Unwrap(ctx context.Context, master string, id domain.ID, wrapped []byte) (*DataKey, error)
	// Authenticator makes and checks the codes of events.
	Authenticator() *Authenticator
}

// LocalMaster is a master key held in this process.
type LocalMaster struct {
	aead  cipher.AEAD
	id    string
	codes *Authenticator
}

// NewLocalMaster returns the master key with the given 32 bytes.
func NewLocalMaster(secret []byte) (*LocalMaster, error) {
	if len(secret) != 32 {
		return nil, fmt.Errorf("master key: has %d bytes, needs 32", len(secret))
	}
	sum := sha256.Sum256(append([]byte("annals/master\n"), secret...))
	return &LocalMaster{newGCM(secret), "local:" + hex.EncodeToString(sum[:6]), newAuthenticator(secret)}, nil
}

// ID names the key by a digest that does not help to guess it.
func (m *LocalMaster) ID() string { return m.id }

// Authenticator implements [Master].
func (m *LocalMaster) Authenticator() *Authenticator { return m.codes }

// Wrap implements [Master].
func (m *LocalMaster) Wrap(_ context.Context, id domain.ID, key *DataKey) ([]byte, error) {
	return seal(m.aead, key[:], "annals/key\n"+id.String()), nil
}

// Unwrap implements [Master].
func (m *LocalMaster) Unwrap(_ context.Context, master string, id domain.ID, wrapped []byte) (*DataKey, error) {
	if master != m.id {
		return nil, fmt.Errorf("data key of %s is wrapped by master key %s, and this process has %s: %w", id, master, m.id, ErrMaster)
	}
	plain, err := unseal(m.aead, bytes.Clone(wrapped), []byte("annals/key\n"+id.String()))
	if err != nil {
		return nil, fmt.Errorf("data key of %s: %w", id, err)
	}
	if len(plain) != len(DataKey{}) {
		return nil, fmt.Errorf("data key of %s has %d bytes", id, len(plain))
	}
	return (*DataKey)(plain), nil
}

// Masters is the master key that wraps, and former ones, by which there may be data keys
// still that were wrapped before.
type Masters struct {
	*LocalMaster
	former []*LocalMaster
}

// NewMasters returns the master key with former ones.
func NewMasters(master *LocalMaster, former ...*LocalMaster) *Masters {
	return &Masters{master, former}
}

// Former are those that wrap nothing any more.
func (m *Masters) Former() []*LocalMaster { return m.former }

// Has says whether the master key of that name is one of them.
func (m *Masters) Has(name string) bool {
	return name == m.id || slices.ContainsFunc(m.former, func(f *LocalMaster) bool { return f.id == name })
}

// Unwrap implements [Master].
func (m *Masters) Unwrap(ctx context.Context, master string, id domain.ID, wrapped []byte) (*DataKey, error) {
	for _, f := range m.former {
		if f.id == master {
			return f.Unwrap(ctx, master, id, wrapped)
		}
	}
	return m.LocalMaster.Unwrap(ctx, master, id, wrapped)
}
