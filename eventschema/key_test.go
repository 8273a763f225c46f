package eventschema

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
)

func master(t *testing.T, fill byte) *LocalMaster {
	t.Helper()
	m, err := NewLocalMaster(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLocalMaster(t *testing.T) {
	ctx := t.Context()
	m, other, id, key := master(t, 1), master(t, 2), uuid.New(), NewDataKey()
	wrapped, err := m.Wrap(ctx, id, key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, key[:8]) {
		t.Error("the key is stored as it is")
	}
	stored := bytes.Clone(wrapped)
	for range 2 { // and what is stored is not used up
		if got, err := m.Unwrap(ctx, m.ID(), id, wrapped); err != nil || *got != *key {
			t.Fatalf("unwrapped: %v", err)
		}
	}
	if !bytes.Equal(stored, wrapped) {
		t.Error("unwrapping changed what was wrapped")
	}
	if m.ID() != master(t, 1).ID() || m.ID() == other.ID() || !strings.HasPrefix(m.ID(), "local:") {
		t.Errorf("ids %s and %s", m.ID(), other.ID())
	}
	if _, err := other.Unwrap(ctx, m.ID(), id, wrapped); err == nil || !strings.Contains(err.Error(), m.ID()) || !strings.Contains(err.Error(), other.ID()) {
		t.Errorf("under another master: %v, and should name both", err)
	}
	if _, err := other.Unwrap(ctx, other.ID(), id, wrapped); err == nil {
		t.Error("unwrapped under another master that claims to be the one")
	}
	if _, err := m.Unwrap(ctx, m.ID(), uuid.New(), wrapped); err == nil {
		t.Error("unwrapped for another id")
	}
	for i := range wrapped {
		altered := bytes.Clone(wrapped)
		altered[i] ^= 1
		if _, err := m.Unwrap(ctx, m.ID(), id, altered); err == nil {
			t.Errorf("unwrapped with byte %d altered", i)
		}
		if _, err := m.Unwrap(ctx, m.ID(), id, wrapped[:i]); err == nil {
			t.Errorf("unwrapped with %d bytes", i)
		}
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := NewLocalMaster(make([]byte, n)); err == nil {
			t.Errorf("a master key of %d bytes is taken", n)
		}
	}
}

func TestMAC(t *testing.T) {
	var none *DataKey
	a, b := NewDataKey(), NewDataKey()
	if *a == *b {
		t.Fatal("two keys are the same")
	}
	x, y := []byte("one request"), []byte("another")
	again := a.MAC(bytes.Clone(x))
	switch {
	case a.MAC(x) != again, a.MAC(x) == a.MAC(y), a.MAC(x) == b.MAC(x), a.MAC(x) == none.MAC(x), none.MAC(x) == none.MAC(y):
		t.Error("a request is told by its bytes and the key")
	case a.MAC(nil) != "" || none.MAC(nil) != "":
		t.Error("no request has a MAC")
	}
}

func TestMetadata(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) domain.ID { return domain.ID(b) })
		m := domain.Meta{
			Actor: id.Draw(t, "actor"), Command: id.Draw(t, "command"), Correlation: id.Draw(t, "correlation"), Causation: id.Draw(t, "causation"),
			At: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "at")).UTC(), IP: rapid.String().Draw(t, "ip"), UserAgent: rapid.String().Draw(t, "agent"),
			App: rapid.StringMatching(`v\d\.\d`).Draw(t, "app"), Fingerprint: rapid.String().Draw(t, "mac"),
		}
		secret := m
		secret.By, secret.Request = domain.Root, []byte("secret request")
		b, err := EncodeMetadata(secret, 7)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("c2VjcmV0")) || bytes.Contains(b, []byte("secret")) {
			t.Fatalf("the request is stored: %s", b)
		}
		got, err := DecodeMetadata(b)
		if diff := cmp.Diff(Metadata{m, 7, ""}, got); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
	for _, bad := range []string{"", "null", "{}", "[]", "x", `{"schema":"1"}`, `{"actor":"x"}`} {
		m, err := DecodeMetadata([]byte(bad))
		if err == nil && m.Version != 0 {
			t.Errorf("%q is read as %+v", bad, m)
		}
	}
}

// TestMasters: the first wraps, all of them unwrap, and what codes are checked with outlives
// the master key that made them.
func TestMasters(t *testing.T) {
	ctx, id := t.Context(), uuid.New()
	var keys [3]*LocalMaster
	for i := range keys {
		var err error
		if keys[i], err = NewLocalMaster(bytes.Repeat([]byte{byte(i)}, 32)); err != nil {
			t.Fatal(err)
		}
	}
	both := NewMasters(keys[1], keys[0])
	key := NewDataKey()
	for i, by := range []Master{keys[0], both, keys[2]} {
		wrapped, err := by.Wrap(ctx, id, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := both.Unwrap(ctx, by.ID(), id, wrapped)
		if known := i < 2; known != (err == nil) || known && *got != *key || !known && !errors.Is(err, ErrMaster) {
			t.Errorf("wrapped by %s: %v", by.ID(), err)
		}
	}
	if both.ID() != keys[1].ID() || !both.Has(keys[0].ID()) || both.Has(keys[2].ID()) {
		t.Error("another one wraps")
	}
	signed := keys[0].Authenticator().Sign("a-1", 0, id, "a.b", nil, []byte(`{"x":1}`))
	told, err := RetireMaster(ctx, both, keys[0].ID(), keys[0].Authenticator())
	if err != nil || told.Retired != keys[0].ID() || told.Master != both.ID() {
		t.Fatalf("%+v, %v", told, err)
	}
	codes, err := told.Codes(ctx, keys[1])
	if err != nil || codes.Check("a-1", 0, id, "a.b", nil, signed) != Authentic || codes.Check("a-1", 1, id, "a.b", nil, signed) != Forged {
		t.Errorf("%v", err)
	}
	if _, err := told.Codes(ctx, keys[0]); !errors.Is(err, ErrMaster) {
		t.Errorf("by the one that was retired: %v", err)
	}
	told.Retired = keys[2].ID()
	if _, err := told.Codes(ctx, keys[1]); err == nil {
		t.Error("they pass for those of another one")
	}
}
