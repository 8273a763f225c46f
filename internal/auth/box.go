package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"annals/domain"
	"annals/eventschema"
)

// Box keeps secrets that have to be read again.
type Box interface {
	// Seal encrypts a secret for the place that context names.
	Seal(ctx context.Context, plaintext, context []byte) ([]byte, error)
	// Open takes back what Seal made for the same context, else fails.
	Open(ctx context.Context, sealed, context []byte) ([]byte, error)
}

// MasterBox seals each secret with a key of its own, AES-256-GCM, and that key
// with the master key: whoever has the database has neither.
func MasterBox(m eventschema.Master) Box { return masterBox{m} }

type masterBox struct{ master eventschema.Master }

// sealedV1 is the first byte of: the master key's name and the wrapped key, each
// behind its length, nonce and ciphertext.
const sealedV1 = 1

var errSealed = errors.New("sealed secret does not open: altered, moved, or of another key")

// keyID binds a wrapped key to the place that its secret is for, and to nothing in
// the log.
func keyID(place []byte) domain.ID {
	return uuid.NewSHA1(domain.System, append([]byte("auth\n"), place...))
}

func (b masterBox) Seal(ctx context.Context, plaintext, place []byte) ([]byte, error) {
	key := eventschema.NewDataKey()
	wrapped, err := b.master.Wrap(ctx, keyID(place), key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	out := []byte{sealedV1}
	if out, err = appendWrapped(out, b.master.ID(), wrapped); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead.Seal(append(out, nonce...), nonce, plaintext, place), nil
}

func appendWrapped(out []byte, master string, wrapped []byte) ([]byte, error) {
	for _, part := range [][]byte{[]byte(master), wrapped} {
		if len(part) > 0xffff {
			return nil, errors.New("the master key wraps in too many bytes")
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(part))), part...) //nolint:gosec // it fits
	}
	return out, nil
}

// cutWrapped takes apart what is sealed.
func cutWrapped(sealed []byte) (master string, wrapped, rest []byte, err error) {
	if len(sealed) == 0 || sealed[0] != sealedV1 {
		return "", nil, nil, errSealed
	}
	rest = sealed[1:]
	var parts [2][]byte
	for i := range parts {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return "", nil, nil, errSealed
		}
		n := int(binary.BigEndian.Uint16(rest))
		parts[i], rest = rest[2:2+n], rest[2+n:]
	}
	return string(parts[0]), parts[1], rest, nil
}

// Rewrap returns what [MasterBox] has sealed for a place with its key wrapped by the
// master key of now; nil when it is.
func Rewrap(ctx context.Context, m eventschema.Master, sealed, place []byte) ([]byte, error) {
	master, wrapped, rest, err := cutWrapped(sealed)
	if err != nil {
		return nil, err
	}
	key, err := m.Unwrap(ctx, master, keyID(place), wrapped)
	if err != nil || master == m.ID() {
		return nil, err
	}
	if wrapped, err = m.Wrap(ctx, keyID(place), key); err != nil {
		return nil, err
	}
	out, err := appendWrapped([]byte{sealedV1}, m.ID(), wrapped)
	return append(out, rest...), err
}

func (b masterBox) Open(ctx context.Context, sealed, place []byte) ([]byte, error) {
	master, wrapped, rest, err := cutWrapped(sealed)
	if err != nil {
		return nil, err
	}
	key, err := b.master.Unwrap(ctx, master, keyID(place), wrapped)
	if err != nil {
		return nil, fmt.Errorf("open sealed secret: %w", err)
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, fmt.Errorf("open sealed secret: %w", err)
	}
	if len(rest) < aead.NonceSize() {
		return nil, errSealed
	}
	plain, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], place)
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func newGCM(key *eventschema.DataKey) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
