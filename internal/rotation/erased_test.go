package rotation_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/rotation"
)

func registered(i int) client.Registered {
	return client.Registered{Status: client.Lead, Details: client.Details{LastName: "Client " + strconv.Itoa(i)}}
}

// TestOldBackup: what a backup from before has of an erased person's key opens with the former
// master key, and with nothing that is left once that is destroyed.
func TestOldBackup(t *testing.T) {
	t.Parallel()
	both := eventschema.NewMasters(key(2), key(1))
	s := apitest.StartUnder(t, both)
	admin := s.Under(t, key(1)).Admin(t)
	person := uuid.MustParse(admin.Client(t, admin.Project(t, "Retail"), "Frida"))
	stays := uuid.MustParse(admin.Client(t, admin.Project(t, "Wholesale"), "Gerd"))
	saved := map[uuid.UUID]eventschema.KeyCreated{}
	for _, id := range []uuid.UUID{person, stays} {
		for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(eventschema.Key, id), 0) {
			if err != nil {
				t.Fatal(err)
			}
			saved[id] = rec.Event.(eventschema.KeyCreated)
		}
	}
	s.Erase(t, person.String())
	run(t, s, both)
	for id, e := range saved {
		if _, err := key(1).Unwrap(t.Context(), e.Master, id, e.Wrapped); err != nil {
			t.Errorf("with the former master key: %v", err)
		}
		if _, err := eventschema.NewMasters(key(2)).Unwrap(t.Context(), e.Master, id, e.Wrapped); !errors.Is(err, eventschema.ErrMaster) {
			t.Errorf("with the new one: %v", err)
		}
		if _, err := key(2).Unwrap(t.Context(), key(2).ID(), id, e.Wrapped); err == nil {
			t.Error("it opens under another name")
		}
	}
	if by := wrapped(t, s, person.String()); by != nil {
		t.Errorf("the erased person's key was wrapped again, by %v", by)
	}
}

// TestWrongMaster: what an unknown master key has wrapped is not passed over: the former keys
// are needed still.
func TestWrongMaster(t *testing.T) {
	t.Parallel()
	s := apitest.StartUnder(t, eventschema.NewMasters(key(2), key(1), key(3)))
	s.Under(t, key(3)).Admin(t)
	few := eventschema.NewMasters(key(2), key(1))
	other := s.Under(t, few)
	_, err := rotation.Run(t.Context(), rotation.Config{Log: other.Log, DB: other.DB, Master: few, Now: s.Clock.Now, App: "test"})
	if !errors.Is(err, eventschema.ErrMaster) {
		t.Errorf("%v", err)
	}
	if err := s.Under(t, key(1)).Log.CheckMaster(t.Context()); !errors.Is(err, eventlog.ErrRetired) {
		t.Errorf("the former one may write: %v", err)
	}
	for _, m := range []eventschema.Master{key(2), key(3)} {
		if err := s.Under(t, m).Log.CheckMaster(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestCodes: what former master keys have written is told from what others write, also when
// they are gone, and when it was written after they had been retired.
func TestCodes(t *testing.T) {
	t.Parallel()
	first := eventschema.NewMasters(key(2), key(1))
	s := apitest.StartUnder(t, first)
	before := s.Under(t, key(1))
	before.Admin(t)
	run(t, s, first)
	second := eventschema.NewMasters(key(3), key(2))
	third := s.Under(t, second)
	third.Admin(t)
	run(t, third, second)
	s.Under(t, key(1)).Admin(t) // whoever has found the first key
	s.Under(t, key(4)).Admin(t)
	is, err := s.Under(t, key(3)).Log.Authenticity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[eventschema.Authenticity]int{}
	for item, err := range s.Log.SubscribeStored(t.Context(), eventlog.Position{}, "^employee-|^key-") {
		if err != nil {
			t.Fatal(err)
		}
		if item.Live {
			break
		}
		if item.Record != nil {
			counts[is(item.Record)]++
		}
	}
	if counts[eventschema.Retired] < 2 || counts[eventschema.Foreign] != counts[eventschema.Retired] || counts[eventschema.Forged]+counts[eventschema.Unsigned] > 0 {
		t.Errorf("%v", counts)
	}
	if _, err := s.Under(t, key(1)).Log.Authenticity(t.Context()); !errors.Is(err, eventschema.ErrMaster) {
		t.Errorf("with the wrong key: %v", err)
	}
}
