package eventschema

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addSamples(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		name, v := sampleOf(file)
		f.Add(name, v, b)
		var compact any
		if json.Unmarshal(b, &compact) == nil {
			b, _ = json.Marshal(compact)
			f.Add(name, v, b)
		}
	}
}

// FuzzDecode holds decode → encode → decode together.
func FuzzDecode(f *testing.F) {
	addSamples(f)
	f.Fuzz(func(t *testing.T, name string, v int, data []byte) {
		stream := sampleStream(name)
		e, _, err := Decode(name, v, data, stream, sampleKey)
		if err != nil {
			return
		}
		again, now, stored, err := Encode(e, stream, sampleKey)
		if err != nil || again != name {
			t.Fatalf("decoded but not encodable: %v", err)
		}
		e2, erased, err := Decode(name, now, stored, stream, sampleKey)
		if diff := cmp.Diff(e, e2); err != nil || erased != nil || diff != "" && !sameBytes(e, e2) {
			t.Fatalf("not readable again: %v, erased %v\n%s", err, erased, diff)
		}
		if _, _, err := Decode(name, now, stored, stream, nil); err != nil {
			t.Fatalf("not readable without the key: %v", err)
		}
	})
}

// sameBytes holds an empty list for the same as none.
func sameBytes(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

// FuzzCanonical holds the fast path against encoding/json: it reads the same, or
// leaves it.
func FuzzCanonical(f *testing.F) {
	addSamples(f)
	f.Fuzz(func(t *testing.T, name string, v int, data []byte) {
		vs := catalogue[name]
		if v < 1 || v > len(vs) {
			return
		}
		p := vs[v-1].sealed
		for _, key := range []*DataKey{sampleKey, nil} {
			quick, slow := reflect.New(vs[v-1].stored), reflect.New(vs[v-1].stored)
			quickOpener := &opener{key: key, where: where(sampleStream(name), name)}
			slowOpener := &opener{key: key, where: where(sampleStream(name), name)}
			if err := p.readCanonical(data, quick.Elem(), quickOpener); err != nil {
				continue
			}
			shadow := reflect.New(p.shadow)
			if err := json.Unmarshal(data, shadow.Interface()); err != nil {
				t.Fatalf("%s: taken, and encoding/json says %v", data, err)
			}
			if err := p.fromShadow(shadow.Elem(), slow.Elem(), "", slowOpener); err != nil {
				t.Fatalf("%s: taken, and the slow path says %v", data, err)
			}
			if diff := cmp.Diff(slow.Interface(), quick.Interface()); diff != "" {
				t.Fatalf("%s\n%s", data, diff)
			}
			if diff := cmp.Diff(slowOpener.erased, quickOpener.erased); diff != "" {
				t.Fatalf("%s\n%s", data, diff)
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"actor":"11111111-1111-4111-8111-111111111111","command_id":"11111111-1111-4111-8111-111111111111","correlation_id":"11111111-1111-4111-8111-111111111111","causation_id":"11111111-1111-4111-8111-111111111111","at":"2026-01-02T03:04:05.123456Z","ip":"::1","schema":1}`))
	f.Add([]byte(`{ "at": null, "schema": 3, "ACTOR": null }`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMetadata(b)
		var want Metadata
		if wantErr := json.Unmarshal(b, &want); (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, and encoding/json says %v", b, err, wantErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Fatalf("%s\n%s", b, diff)
		}
	})
}
