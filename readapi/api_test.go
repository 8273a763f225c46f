package readapi_test

import (
	"testing"

	"annals/internal/apitest"
)

// Map is a JSON object.
type Map = apitest.Map

func TestMain(m *testing.M) { apitest.Main(m, nil) }
