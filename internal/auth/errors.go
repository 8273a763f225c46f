package auth

import (
	"fmt"
	"time"

	"annals/domain"
)

// Reasons to refuse.
var (
	ErrSignIn = domain.Errorf(domain.Unauthorized, "sign_in", "e-mail or password is wrong")
	ErrToken  = domain.Errorf(domain.Unauthorized, "token", "the token is not valid, or no longer: sign in again")
	ErrTaken  = &domain.Error{Kind: domain.Conflict, Code: "taken", Field: "email", Msg: "belongs to another employee"}

	// ErrPending is for an address that is being registered by another request, or by
	// one that was cut off.
	ErrPending = &domain.Error{Kind: domain.Conflict, Code: "pending", Field: "email", Msg: "is being registered at this moment; try again in two minutes"}

	// ErrSession is for a session that is not the employee's, or not there any more.
	ErrSession = domain.Errorf(domain.NotFound, "session", "there is no such session")

	// ErrKey is for an API key that is mistyped, unknown, expired or revoked: it does not tell which.
	ErrKey = domain.Errorf(domain.Unauthorized, "key", "the API key is not valid, or no longer")

	// ErrKeyUsed is for a key that cannot be given another secret.
	ErrKeyUsed = domain.Errorf(domain.Conflict, "key_used", "the API key is in use or revoked: make another one")

	// ErrLocked is what a [LockedError] wraps.
	ErrLocked = domain.Errorf(domain.TooMany, "locked", "too many attempts failed: wait before the next one")

	// ErrCodeRequired is for who has the right password and a second factor.
	ErrCodeRequired = domain.Errorf(domain.Unauthorized, "code_required", "enter the code of your second factor, or a recovery code")

	// ErrCode is for a code that is wrong, too old or was used before.
	ErrCode = domain.Errorf(domain.Unauthorized, "code", "the code is wrong, or was used before")

	// ErrOldPassword and ErrConfirm are for somebody who is signed in and has to prove
	// once more who they are.
	ErrOldPassword = domain.Fault("old_password", "wrong", "is not your password")
	ErrPassword    = domain.Fault("password", "wrong", "is not your password")
	ErrConfirm     = domain.Fault("code", "wrong", "is wrong, or was used before")

	// ErrChanged is for a change that another one got in the way of.
	ErrChanged = domain.Errorf(domain.Conflict, "changed", "the credentials were changed at the same moment: look again")

	// ErrReset is for a link that is mistyped, over, or was used.
	ErrReset = domain.Fault("token", "reset_token", "is not valid, or no longer: ask for another link")

	// ErrTOTPEnabled and ErrTOTPNotEnabled are for a second factor that is there already, or is not.
	ErrTOTPEnabled    = domain.Errorf(domain.Conflict, "totp_enabled", "the second factor is enabled already: remove it first")
	ErrTOTPNotEnabled = domain.Errorf(domain.Conflict, "totp_not_enabled", "there is no second factor, or it was not confirmed in time")

	// ErrNobody is for an employee without credentials.
	ErrNobody = domain.Errorf(domain.NotFound, "credentials", "the employee has no credentials")
)

// LockedError refuses an attempt because of those before it.
type LockedError struct {
	Wait time.Duration // from now; more than none
}

func (e *LockedError) Error() string { return fmt.Sprintf("%s (%s)", ErrLocked.Msg, e.Wait) }

// Unwrap is [ErrLocked], for those who do not care how long it takes.
func (e *LockedError) Unwrap() error { return ErrLocked }

// RetryAfter is when it is worth trying again.
func (e *LockedError) RetryAfter() time.Duration { return e.Wait }
