package eventschema

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
)

// A code holds for the event and the place that it was made for, and for no other.
func TestAuthenticator(t *testing.T) {
	mine, err := NewLocalMaster(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	others, err := NewLocalMaster([]byte("another master key of 32 bytes, "))
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		stream   string
		revision uint64
		id       domain.ID
		name     string
		data     string
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) event {
			return event{
				rapid.SampledFrom([]string{"client-1", "client-2", ""}).Draw(t, label), rapid.Uint64Range(0, 2).Draw(t, label),
				uuid.UUID{15: byte(rapid.IntRange(0, 1).Draw(t, label))},
				rapid.SampledFrom([]string{"a.b", "a.c"}).Draw(t, label), rapid.String().Draw(t, label),
			}
		}
		a, b := draw("a"), draw("b")
		bare, err := EncodeMetadata(domain.Meta{UserAgent: rapid.String().Draw(t, "user agent")}, 1)
		if err != nil {
			t.Fatal(err)
		}
		signed := mine.Authenticator().Sign(a.stream, a.revision, a.id, a.name, []byte(a.data), bare)
		check := func(m Master, e event, metadata []byte) Authenticity {
			return m.Authenticator().Check(e.stream, e.revision, e.id, e.name, []byte(e.data), metadata)
		}
		if got := check(mine, a, signed); got != Authentic {
			t.Fatalf("%v", got)
		}
		if got := check(mine, b, signed); a != b && got != Forged {
			t.Fatalf("another event: %v", got)
		}
		if check(others, a, signed) != Foreign || check(mine, a, bare) != Unsigned {
			t.Fatal("of another master key, or without a code")
		}
		i := rapid.IntRange(0, len(signed)-1).Draw(t, "byte")
		changed := append([]byte{}, signed...)
		changed[i] ^= 1
		if got := check(mine, a, changed); got == Authentic {
			t.Fatalf("byte %d of the metadata changed: %v", i, got)
		}
		md, err := DecodeMetadata(signed)
		if err != nil || len(md.Code) != 27 {
			t.Fatalf("%+v, %v", md, err)
		}
	})
}
