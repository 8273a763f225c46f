package eventschema

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Every sample of a version is what its schema says, and nothing that its schema does not
// say passes for one.
func TestJSONSchema(t *testing.T) {
	for _, name := range Versions() {
		t.Run(name, func(t *testing.T) {
			raw, ok := JSONSchema(name)
			if !ok {
				t.Fatal("there is none")
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			c := jsonschema.NewCompiler()
			if err := c.AddResource("urn:annals:event:"+name, doc); err != nil {
				t.Fatal(err)
			}
			schema, err := c.Compile("urn:annals:event:" + name)
			if err != nil {
				t.Fatal(err)
			}
			sample, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(sample))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%v\n%s", err, raw)
			}
			v.(map[string]any)["no_such_field"] = true
			if schema.Validate(v) == nil {
				t.Error("another field passes")
			}
		})
	}
	for _, bad := range []string{"", "client.registered", "client.registered.v0", "client.registered.v99", "client.registered.v01", "client.abducted.v1"} {
		if _, ok := JSONSchema(bad); ok {
			t.Errorf("%q has a schema", bad)
		}
	}
}
