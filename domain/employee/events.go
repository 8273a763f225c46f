package employee

import "annals/domain"

// Event is the closed set of facts about an employee. A shipped event never
// changes shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Identity is what an employee is called and signs in with.
type Identity struct {
	Name  string `json:"name" personal:"yes"`
	Email string `json:"email" personal:"yes"`
}

type (
	// Registered is a new employee, who is assigned to nothing yet.
	Registered struct {
		Identity
		Roles []string `json:"roles,omitempty"`
	}
	// Edited changes who the employee is.
	Edited struct {
		From Identity `json:"from"`
		To   Identity `json:"to"`
	}
	// Assigned says which projects and desks the employee works for from now on.
	Assigned struct {
		Projects []domain.ID `json:"projects"`
		Desks    []domain.ID `json:"desks"`
	}
	// RolesChanged says which roles the employee has from now on.
	RolesChanged struct {
		From []string `json:"from"`
		To   []string `json:"to"`
	}
	// Deactivated ends the employee's access: sessions, keys, being chosen as manager.
	Deactivated struct{}
	// Reactivated gives it back, with the roles and assignments that they had.
	Reactivated struct{}
	// CredentialChanged says that what the employee proves who they are with has
	// changed; what it is, is never in the log.
	CredentialChanged struct {
		What string `json:"what"` // password, second_factor, recovery_codes
		How  string `json:"how"`  // changed, reset, enabled, disabled, renewed
	}
)

func (Registered) event()        {}
func (Edited) event()            {}
func (Assigned) event()          {}
func (RolesChanged) event()      {}
func (Deactivated) event()       {}
func (Reactivated) event()       {}
func (CredentialChanged) event() {}
