package imported_test

import (
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/domaintest"
	. "annals/domain/imported"
)

func TestFinish(t *testing.T) {
	ann := uuid.UUID{0x30}
	may := domain.Rights{domain.ClientsImport: domain.OnDesks}
	done := Finished{ann, 67, 3, 24}
	fault := func(field string) error { return domain.Fault(field, "out_of_range", "") }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"who may not":    {By: domain.Authority{ID: ann, Rights: domain.Rights{domain.ClientsCreate: domain.Everywhere}}, When: Finish{Registered: 1}, Err: domain.ErrForbidden},
		"below nothing":  {By: domain.Authority{ID: ann, Rights: may}, When: Finish{-1, -1, 1_000_000_001}, Err: (&domain.Faults{fault("registered"), fault("skipped"), fault("rejected")}).Err()},
		"in person":      {By: domain.Authority{ID: ann, Rights: may}, When: Finish{67, 3, 24}, Then: []Event{done}},
		"with one's key": {By: domain.Authority{Behalf: ann, Rights: may}, When: Finish{67, 3, 24}, Then: []Event{done}},
		"twice":          {By: domain.Authority{ID: ann, Rights: may}, Given: []Event{done}, When: Finish{67, 3, 24}, Err: ErrExists},
		"an empty file":  {By: domain.Authority{ID: ann, Rights: may}, When: Finish{}, Then: []Event{Finished{EmployeeID: ann}}},
	})
}
