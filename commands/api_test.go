package commands_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"annals/internal/apitest"
)

type (
	// Map is a JSON object.
	Map = apitest.Map
	// Raw is a body sent as it is.
	Raw = apitest.Raw
)

func TestMain(m *testing.M) { apitest.Main(m, secretsAreNowhere) }

// secretsAreNowhere looks through what was logged, once all tests are done.
func secretsAreNowhere(s *apitest.System) error {
	var all []error
	for _, secret := range []string{apitest.Password, "annals_s_", "wrong password", "another password"} {
		if strings.Contains(s.Logs.String(), secret) {
			all = append(all, fmt.Errorf("%q was logged", secret))
		}
	}
	return errors.Join(all...)
}
