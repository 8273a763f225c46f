package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Lifetime is how long somebody may take at the provider.
const Lifetime = 10 * time.Minute

// maxFlows bounds what those who begin and never finish can fill. Beyond it the oldest
// flows make place: whoever floods the table cuts short the time that others may take,
// and does not shut them out.
const maxFlows = 50_000

// The table is not logged: its rows are of no use after a crash, and with what they
// hold they have no business in archives of the write-ahead log or on replicas.
const schema = `
create schema if not exists annals_oidc;
create sequence if not exists annals_oidc.slots;
create unlogged table if not exists annals_oidc.flows (
	slot         bigint primary key,    -- places are taken in turn, and over again
	state_hash   bytea not null unique, -- SHA-256; see (*Provider).hashState
	binding_hash bytea not null,        -- SHA-256 of the browser's cookie
	nonce        text not null,
	verifier     text not null,         -- of PKCE
	return_to    text not null,
	expires_at   timestamptz not null
);
create index if not exists flows_expiry on annals_oidc.flows (expires_at);`

func create(ctx context.Context, db *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_oidc'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return fmt.Errorf("oidc schema: %w", err)
	}
	return nil
}

// flow is what the server remembers while somebody is at the provider.
type flow struct {
	Nonce    string
	Verifier string
	ReturnTo string
}

// put keeps a flow, in the place of the oldest when all places are taken, and removes
// some that have expired. Removing comes last and skips what is locked, so that nobody
// who waits for a lock holds another one.
func (p *Provider) put(ctx context.Context, state, binding string, f flow) error {
	now, bound := p.cfg.Now(), sha256.Sum256([]byte(binding))
	var b pgx.Batch
	b.Queue(`
		insert into annals_oidc.flows (slot, state_hash, binding_hash, nonce, verifier, return_to, expires_at)
		values (nextval('annals_oidc.slots') % $1, $2, $3, $4, $5, $6, $7)
		on conflict (slot) do update set state_hash = excluded.state_hash, binding_hash = excluded.binding_hash, nonce = excluded.nonce,
			verifier = excluded.verifier, return_to = excluded.return_to, expires_at = excluded.expires_at`,
		p.most, p.hashState(state), bound[:], f.Nonce, f.Verifier, f.ReturnTo, now.Add(Lifetime))
	b.Queue(`
		delete from annals_oidc.flows where slot in (
			select slot from annals_oidc.flows where expires_at <= $1 order by expires_at limit 100 for update skip locked)`, now)
	if err := p.db.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("keep flow: %w", err)
	}
	return nil
}

// take returns the flow of a state, once: whatever comes of it, nobody takes it again.
func (p *Provider) take(ctx context.Context, state, binding string) (flow, error) {
	var f flow
	var bound []byte
	var expires time.Time
	err := p.db.QueryRow(ctx, `delete from annals_oidc.flows where state_hash = $1 returning binding_hash, nonce, verifier, return_to, expires_at`,
		p.hashState(state)).Scan(&bound, &f.Nonce, &f.Verifier, &f.ReturnTo, &expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return flow{}, refuse(ErrState, "the state is unknown, or was used before")
	}
	if err != nil {
		return flow{}, fmt.Errorf("take flow: %w", err)
	}
	if got := sha256.Sum256([]byte(binding)); subtle.ConstantTimeCompare(got[:], bound) != 1 {
		return flow{}, refuse(ErrState, "another browser began the flow")
	}
	if !p.cfg.Now().Before(expires) {
		return flow{}, refuse(ErrState, "the flow has expired")
	}
	return f, nil
}

// hashState is what a state is looked up by. It needs no salt: a state is 130 random
// bits. With what the flow was begun for in it, a flow of another provider, or of
// this one before it was configured anew, is not found.
func (p *Provider) hashState(state string) []byte {
	h := sha256.Sum256([]byte(strings.Join([]string{p.cfg.Issuer, p.cfg.ClientID, p.cfg.RedirectURL, state}, "\x00")))
	return h[:]
}
