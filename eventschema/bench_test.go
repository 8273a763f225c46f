package eventschema_test

import (
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
)

const stream = "client-00000000-0000-4000-8000-000000000001"

// everyday is a registration as most are: a dozen personal fields, eight filled in.
func everyday() client.Registered {
	return client.Registered{
		Details: client.Details{
			Type: client.Person, FirstName: "Maria", LastName: "Anders", Company: "Alfreds Futterkiste",
			Email: "maria.anders@example.com", Phone: "030-0074321",
			Address: client.Address{Street: "Obere Str. 57", City: "Berlin", Country: "Germany"},
		},
		Assignment: client.Assignment{ProjectID: uuid.UUID{1}, ManagerID: uuid.UUID{2}},
		Status:     client.Lead, Tags: []string{"import", "vip"},
	}
}

func BenchmarkEncode(b *testing.B) {
	key := eventschema.NewDataKey()
	for name, e := range map[string]any{"client.registered": everyday(), "client.status_changed": client.StatusChanged{From: client.Lead, To: client.Active}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := eventschema.Encode(e, stream, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	key := eventschema.NewDataKey()
	for name, e := range map[string]any{"client.registered": everyday(), "client.status_changed": client.StatusChanged{From: client.Lead, To: client.Active}} {
		_, v, data, err := eventschema.Encode(e, stream, key)
		if err != nil {
			b.Fatal(err)
		}
		for with, k := range map[string]*eventschema.DataKey{"": key, "/erased": nil} {
			b.Run(name+with, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := eventschema.Decode(name, v, data, stream, k); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkDecodeMetadata(b *testing.B) {
	data, err := eventschema.EncodeMetadata(domain.Meta{Actor: uuid.New(), Command: uuid.New(), Correlation: uuid.New(), IP: "127.0.0.1", App: "1.0"}, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := eventschema.DecodeMetadata(data); err != nil {
			b.Fatal(err)
		}
	}
}
