package cloudevent

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"annals/eventschema"
)

// Types are the names of the events that the outside may be told of, sorted.
func Types() []string {
	return slices.DeleteFunc(eventschema.Types(), func(name string) bool {
		category, _, _ := strings.Cut(name, ".")
		return !eventschema.Public(category)
	})
}

// SchemaName names the schema of an event of the type, as it is told today.
func SchemaName(typ string) string { return fmt.Sprintf("%s.v%d", typ, eventschema.Current(typ)) }

type dict = map[string]any

func ref(parts ...string) dict { return dict{"$ref": "#/" + strings.Join(parts, "/")} }

// AsyncAPI describes the events, and how they are told, as AsyncAPI 3.0
// (https://www.asyncapi.com/docs/reference/specification/v3.0.0).
func AsyncAPI(source, version string) ([]byte, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("asyncapi: %w", err)
	}
	envelope, err := envelope()
	if err != nil {
		return nil, err
	}
	schemas, messages := dict{"CloudEvent": envelope}, dict{}
	onWebhook, onStream := dict{}, dict{}
	for _, typ := range Types() {
		name := SchemaName(typ)
		raw, ok := eventschema.PublicSchema(name, source)
		if !ok {
			return nil, fmt.Errorf("asyncapi: %s has no schema", name)
		}
		schemas[name] = json.RawMessage(raw)
		messages[typ] = dict{
			"name": typ, "title": typ, "contentType": "application/cloudevents+json",
			"payload": dict{"allOf": []any{ref("components", "schemas", "CloudEvent"), dict{
				"type": "object",
				"properties": dict{
					"type": dict{"const": typ},
					"data": dict{"type": "object", "properties": dict{"event": ref("components", "schemas", name)}},
				},
			}}},
		}
		onWebhook[typ], onStream[typ] = ref("components", "messages", typ), ref("components", "messages", typ)
	}
	http := dict{"http": dict{"method": "POST", "bindingVersion": "0.3.0"}}
	raw, err := json.Marshal(dict{
		"asyncapi": "3.0.0",
		"info": dict{
			"title": "Annals: events", "version": version,
			"description": "What happened, as CloudEvents: pushed to webhooks, signed as Standard Webhooks, or streamed to who follows it.",
		},
		"defaultContentType": "application/cloudevents+json",
		"servers":            dict{"annals": dict{"host": u.Host, "protocol": u.Scheme, "description": "This Annals"}},
		"channels": dict{
			"webhook": dict{
				"address": nil, "title": "Webhook", "description": "The URL of a webhook, as it was made by POST /api/v1/webhooks.", "messages": onWebhook,
			},
			"stream": dict{
				"address": strings.TrimSuffix(u.Path, "/") + "/api/v1/events/stream", "title": "Stream", "servers": []any{ref("servers", "annals")},
				"description": "Server-sent events, each with its position as id. The same events are pulled from /api/v1/events.", "messages": onStream,
			},
		},
		"operations": dict{
			"deliver": dict{"action": "send", "channel": ref("channels", "webhook"), "summary": "Annals delivers an event to a webhook", "bindings": http},
			"tell":    dict{"action": "send", "channel": ref("channels", "stream"), "summary": "Annals tells an event to who follows"},
		},
		"components": dict{"schemas": schemas, "messages": messages},
	})
	if err != nil {
		return nil, fmt.Errorf("asyncapi: %w", err)
	}
	return raw, nil
}

// envelope is the schema of [Event].
func envelope() (json.RawMessage, error) {
	r := &jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, DoNotReference: true, AllowAdditionalProperties: true,
		LookupComment: eventschema.Doc, Mapper: eventschema.Textual,
	}
	s := r.ReflectFromType(reflect.TypeFor[Event]())
	s.Version = ""
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("schema of events: %w", err)
	}
	return raw, nil
}
