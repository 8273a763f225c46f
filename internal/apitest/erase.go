package apitest

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/eventschema"
	"annals/internal/eventlog"
)

// Erase destroys the data key of a client or employee, which is what erasing them is.
func (s *System) Erase(tb testing.TB, id string) {
	tb.Helper()
	conf, err := esdb.ParseConnectionString(s.eventStore)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := esdb.NewClient(conf)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	stream := eventlog.Stream(eventschema.Key, uuid.MustParse(id))
	if _, err := client.TombstoneStream(tb.Context(), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		tb.Fatal(err)
	}
}
