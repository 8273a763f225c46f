package erasure_test

import (
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/domaintest"
	. "annals/domain/erasure"
)

func TestErasure(t *testing.T) {
	done := CarriedOut{KeyEvents: 1, Rows: map[string]int{"clients": 1}}
	clean := Cleaning{Rewritten: []string{"clients"}, WAL: true}
	somebody := domain.Authority{ID: uuid.UUID{1}, Rights: domain.AllRights()}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"carried out":              {When: CarryOut{done}, Then: []Event{done}},
		"carried out twice":        {Given: []Event{done}, When: CarryOut{CarriedOut{KeyEvents: 2}}},
		"cleaned":                  {Given: []Event{done}, When: Clean{clean}, Then: []Event{Cleaned{clean}}},
		"cleaned twice":            {Given: []Event{done, Cleaned{clean}}, When: Clean{clean}},
		"cleaned too early":        {When: Clean{clean}},
		"by anybody but ourselves": {By: somebody, When: CarryOut{done}, Err: domain.ErrForbidden},
	})
}
