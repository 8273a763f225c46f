package eventlog

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"annals/domain"
)

// Secret derives a key for one purpose from the data key of an aggregate, for what
// belongs to it and is kept outside the log: HKDF-SHA256 (RFC 5869) with the purpose
// as info. It is the same for as long as the data key exists, and [ErrErased] once
// that has been destroyed, by whichever process, or where there never was one: what
// this process remembers does not count, since it may not have been told yet.
func (l *Log) Secret(ctx context.Context, id domain.ID, purpose string) (secret [32]byte, err error) {
	key, err := l.keys.read(ctx, id)
	if err != nil {
		return secret, fmt.Errorf("data key of %s: %w", id, err)
	}
	if key == nil {
		return secret, fmt.Errorf("data key of %s: %w", id, ErrErased)
	}
	derived, err := hkdf.Key(sha256.New, key[:], nil, "annals/"+purpose, len(secret))
	if err != nil {
		return secret, fmt.Errorf("derive a key: %w", err)
	}
	copy(secret[:], derived)
	return secret, nil
}
