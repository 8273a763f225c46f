package projections

import (
	"encoding/json"
	"fmt"
	"strings"

	"annals/domain"
	"annals/domain/role"
)

// The built-in roles are no events: they come with the tables. TestBuiltInRoles sees
// to it that Version is raised when they change.

// builtInRoles is SQL that adds them to the table roles.
func builtInRoles() string {
	var b strings.Builder
	for _, r := range role.Builtins {
		fmt.Fprintf(&b, "insert into roles (id, ref, name, built_in, permissions, revision) values (%s, %s, %[2]s, true, %s, 0);\n",
			literal(r.ID.String()), literal(r.Name), literal(string(grants(r.Rights.Grants()))))
	}
	return b.String()
}

// builtInPeriods is SQL that adds them to the table role_periods: they have always been.
func builtInPeriods() string {
	var b strings.Builder
	for _, r := range role.Builtins {
		fmt.Fprintf(&b, "insert into role_periods (role_id, revision, ref, name, reach, valid_from) values (%s, 0, %s, %[2]s, %s, '-infinity');\n",
			literal(r.ID.String()), literal(r.Name), literal(r.Rights[domain.ClientsView].String()))
	}
	return b.String()
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// grants is how permissions are stored.
func grants(g []domain.Grant) []byte {
	b, err := json.Marshal(list(g))
	if err != nil {
		panic(err) // names and reaches always marshal
	}
	return b
}
