package mail

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"annals/eventschema"
)

// box holds the bodies of a secret message.
type box struct {
	sealed, wrapped []byte
	master          string
}

// seal encrypts the bodies of a secret message, where there is a master key: with a
// key of the message's own, AES-256-GCM with a random nonce before the ciphertext,
// bound to the message. Else it answers them as they are.
func (m *Mailer) seal(ctx context.Context, id uuid.UUID, msg Message) (text, html string, b box, err error) {
	if !msg.Secret || m.cfg.Master == nil {
		return msg.Text, msg.HTML, b, nil
	}
	key := eventschema.NewDataKey()
	if b.wrapped, err = m.cfg.Master.Wrap(ctx, id, key); err != nil {
		return "", "", b, fmt.Errorf("seal a message: %w", err)
	}
	plain, err := json.Marshal([2]string{msg.Text, msg.HTML})
	if err != nil {
		return "", "", b, fmt.Errorf("seal a message: %w", err)
	}
	aead, err := gcm(key)
	if err != nil {
		return "", "", b, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	b.sealed, b.master = aead.Seal(nonce, nonce, plain, id[:]), m.cfg.Master.ID()
	return "", "", b, nil
}

func (m *Mailer) unseal(ctx context.Context, id uuid.UUID, b box) (text, html string, err error) {
	if m.cfg.Master == nil {
		return "", "", fmt.Errorf("message %s: %w", id, eventschema.ErrMaster)
	}
	key, err := m.cfg.Master.Unwrap(ctx, b.master, id, b.wrapped)
	if err != nil {
		return "", "", fmt.Errorf("message %s: %w", id, err)
	}
	aead, err := gcm(key)
	if err != nil {
		return "", "", err
	}
	var bodies [2]string
	n := aead.NonceSize()
	if len(b.sealed) < n {
		return "", "", fmt.Errorf("message %s: cut short", id)
	}
	plain, err := aead.Open(nil, b.sealed[:n], b.sealed[n:], id[:])
	if err != nil {
		return "", "", fmt.Errorf("message %s: %w", id, errors.New("does not open: altered, or of another key"))
	}
	if err := json.Unmarshal(plain, &bodies); err != nil {
		return "", "", fmt.Errorf("message %s: not two bodies", id)
	}
	return bodies[0], bodies[1], nil
}

func gcm(key *eventschema.DataKey) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return cipher.NewGCM(block)
}
