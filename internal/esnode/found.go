package esnode

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"annals/internal/esnode/engine"
)

func isMissing(err error) bool {
	var deleted *engine.DeletedError
	return errors.Is(err, engine.ErrNoStream) || errors.As(err, &deleted)
}

// found writes into a fresh log what a fresh server's holds, and official tools wait for: the users. Their passwords are
// the node's configuration and not in the log.
func (n *Node) found(ctx context.Context, e *engine.Engine) error {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("annals:log"))
	for _, u := range []struct{ login, name, group string }{
		{"admin", "Administrator", roleAdmins},
		{"ops", "Operations", roleOps},
	} {
		account := engine.Proposed{
			ID: uuid.NewSHA1(space, []byte("$user-"+u.login)), Type: "$UserCreated", JSON: true,
			Data: fmt.Appendf(nil, `{"loginName":%q,"fullName":%q,"groups":[%q],"disabled":false}`, u.login, u.name, u.group),
		}
		listed := engine.Proposed{
			ID: uuid.NewSHA1(space, []byte("$users/"+u.login)), Type: "$User", Data: []byte(u.login),
		}
		if err := once(ctx, e, "$user-"+u.login, engine.NoStream, account); err != nil {
			return err
		}
		expected := engine.NoStream
		if u.login != "admin" {
			expected = 0
		}
		if err := once(ctx, e, "$users", expected, listed); err != nil {
			return err
		}
	}
	return nil
}

// once appends an event to a stream that may have it, or have gone its own way since.
func once(ctx context.Context, e *engine.Engine, stream string, expected engine.Expected, p engine.Proposed) error {
	_, err := e.Append(ctx, stream, expected, []engine.Proposed{p})
	var wrong *engine.WrongRevisionError
	var deleted *engine.DeletedError
	if errors.As(err, &wrong) || errors.As(err, &deleted) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("found the log: %s: %w", stream, err)
	}
	return nil
}
