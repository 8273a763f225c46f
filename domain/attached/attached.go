// Package attached is what all aggregates have in common that belong to a client:
// notes, actions, documents and others. Each is a stream of its own, so that a client
// with a hundred thousand of them is as quick to decide about as one with none. Who
// may do what goes by where the client belongs at that moment, and what is personal
// in their events is sealed under the client's data key.
package attached

import (
	"annals/domain"
	"annals/domain/client"
)

// To is a command as it was addressed: to what belongs to that client.
type To[C any] struct {
	Client  domain.ID
	Command C
	People  People
}

// State is a state of something attached.
type State interface {
	Exists() bool
	// ClientID is the client that it belongs to, which never changes.
	ClientID() domain.ID
}

// Command is a request to something attached.
type Command interface {
	// Needs is the permission that has to reach the client.
	Needs() domain.Permission
	// Creates says whether the command makes what it is addressed to.
	Creates() bool
}

// Context is what a decision may depend on beside the state.
type Context struct {
	domain.Meta
	World    domain.World
	ClientID domain.ID
	Client   client.State // as it is now; it exists, and may be deactivated
	People   People
}

// A Kind is an aggregate that belongs to a client, as pure functions: see
// [domain.Decider].
type Kind[S State, C Command, E any] struct {
	Category string
	// Refs names the aggregates beside the client whose state a decision needs.
	Refs func(S, To[C]) []domain.Ref
	// Decide is called for clients in reach, and for what belongs to them only.
	Decide func(S, C, Context) ([]E, error)
	Evolve func(S, E) S
}

// Aggregate is the kind for the command side.
func Aggregate[S State, C Command, E any](k Kind[S, C, E]) domain.Decider[S, To[C], E] {
	return domain.Decider[S, To[C], E]{
		Category: k.Category,
		Subject:  func(s S) domain.ID { return s.ClientID() },
		Refs: func(s S, c To[C]) []domain.Ref {
			refs := []domain.Ref{clientRef(c.Client)}
			if k.Refs != nil {
				refs = append(refs, k.Refs(s, c)...)
			}
			return refs
		},
		Decide: func(s S, c To[C], w domain.World, m domain.Meta) ([]E, error) {
			of := domain.Look[client.State](w, clientRef(c.Client))
			switch err := of.Admits(m.By, c.Command.Needs()); {
			case domain.KindOf(err) == domain.NotFound:
				return nil, err
			case c.Command.Creates() && s.Exists():
				return nil, domain.Errorf(domain.Conflict, k.Category+".exists", "the %s exists already", k.Category)
			case !c.Command.Creates() && (!s.Exists() || s.ClientID() != c.Client):
				return nil, Absent(k.Category)
			case err != nil:
				return nil, err
			}
			return k.Decide(s, c.Command, Context{Meta: m, World: w, ClientID: c.Client, Client: of, People: c.People})
		},
		Evolve: k.Evolve,
	}
}

// Absent is the error for what the client does not have.
func Absent(category string) *domain.Error {
	return domain.Errorf(domain.NotFound, category+".absent", "there is no such %s of this client", category)
}

func clientRef(id domain.ID) domain.Ref { return domain.Ref{Category: domain.Client, ID: id} }
