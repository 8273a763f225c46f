package eventschema

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"annals/domain"
)

// An Authenticator tells events that were written by whoever holds the master key from
// those that somebody has put into the log's table: by a code in their metadata,
// HMAC-SHA256 (RFC 2104) of 128 bits over the event and its place.
type Authenticator struct {
	key  []byte
	hint []byte // names the key
}

// newAuthenticator derives the key for codes from a master key (HKDF-SHA256, RFC 5869).
func newAuthenticator(secret []byte) *Authenticator {
	key, err := hkdf.Key(sha256.New, secret, nil, "annals/event", sha256.Size)
	if err != nil {
		panic(err) // the length is fixed
	}
	return authenticatorOf(key)
}

func authenticatorOf(key []byte) *Authenticator {
	sum := sha256.Sum256(append([]byte("annals/event\n"), key...))
	return &Authenticator{key, sum[:hintLength]}
}

// RetireMaster returns the event that keeps what a master key's codes are checked with when
// that key is there no more: it cannot be told from that.
func RetireMaster(ctx context.Context, by Master, name string, codes *Authenticator) (MasterRetired, error) {
	wrapped, err := by.Wrap(ctx, codesID(name), (*DataKey)(codes.key))
	if err != nil {
		return MasterRetired{}, fmt.Errorf("codes of master key %s: %w", name, err)
	}
	return MasterRetired{Retired: name, Master: by.ID(), Wrapped: wrapped}, nil
}

// Codes checks those of the master key that the event has retired.
func (e MasterRetired) Codes(ctx context.Context, m Master) (*Authenticator, error) {
	key, err := m.Unwrap(ctx, e.Master, codesID(e.Retired), e.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("codes of master key %s: %w", e.Retired, err)
	}
	return authenticatorOf(key[:]), nil
}

// MastersID is the id of the stream of keys that tells of retired master keys.
var MastersID = idOf("annals/masters")

// codesID binds a wrapped key of codes to the master key whose they are.
func codesID(name string) domain.ID { return idOf("annals/codes\n" + name) }

// idOf is a UUID of version 8 (RFC 9562 §5.8) that a text stands for.
func idOf(text string) (id domain.ID) {
	sum := sha256.Sum256([]byte(text))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}

const (
	hintLength = 4
	codeLength = 16
)

var macEncoding = base64.RawURLEncoding

// The code is the last thing in the metadata.
const macBefore, macAfter = `,"mac":"`, `"}`

// code is an event's, without the code in its metadata.
func (a *Authenticator) code(stream string, revision uint64, id domain.ID, name string, data, metadata []byte) []byte {
	m := hmac.New(sha256.New, a.key)
	var n [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		m.Write(n[:])
		m.Write(b)
	}
	write([]byte(stream))
	binary.BigEndian.PutUint64(n[:], revision)
	m.Write(n[:])
	m.Write(id[:])
	write([]byte(name))
	write(data)
	write(metadata)
	return append(bytes.Clone(a.hint), m.Sum(nil)[:codeLength]...)
}

// Sign returns the metadata, which is a JSON object that is not empty, with the code of
// the event in it.
func (a *Authenticator) Sign(stream string, revision uint64, id domain.ID, name string, data, metadata []byte) []byte {
	code := macEncoding.EncodeToString(a.code(stream, revision, id, name, data, metadata))
	out := make([]byte, 0, len(metadata)+len(macBefore)+len(code)+len(macAfter))
	out = append(out, metadata[:len(metadata)-1]...)
	return append(append(append(out, macBefore...), code...), macAfter...)
}

// Authenticity is what an event's code says of it.
type Authenticity int

// What a code says.
const (
	Unsigned  Authenticity = iota // there is none: the event is older than codes, or was not written by Annals
	Authentic                     // it is as it was written, where it was written
	Foreign                       // it was made with another master key
	Retired                       // it was made with a master key that had been retired before
	Forged                        // it is not what was written, or not where
)

// Check says what an event's code says of it.
func (a *Authenticator) Check(stream string, revision uint64, id domain.ID, name string, data, metadata []byte) Authenticity {
	rest, ok := bytes.CutSuffix(metadata, []byte(macAfter))
	n := macEncoding.EncodedLen(hintLength + codeLength)
	if !ok || len(rest) < n+len(macBefore) || !bytes.HasSuffix(rest[:len(rest)-n], []byte(macBefore)) {
		return Unsigned
	}
	code, err := macEncoding.DecodeString(string(rest[len(rest)-n:]))
	if err != nil {
		return Forged
	}
	if !bytes.Equal(code[:hintLength], a.hint) {
		return Foreign
	}
	bare := append(bytes.Clone(rest[:len(rest)-n-len(macBefore)]), '}')
	if !hmac.Equal(code, a.code(stream, revision, id, name, data, bare)) {
		return Forged
	}
	return Authentic
}
