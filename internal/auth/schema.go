package auth

// schema makes what is missing, and brings what an earlier version made up to
// date. Altering a table locks it against everybody, so that is done only where
// there is something to alter.
const schema = `
create schema if not exists annals_auth;

create table if not exists annals_auth.credentials (
	employee_id uuid primary key,
	email_key   text not null unique, -- the address in lower case
	password    text not null,        -- PHC string of argon2id; empty: cannot sign in by password
	updated_at  timestamptz not null default now(),
	epoch       bigint not null default 0 -- counts what ended all sessions: a sign-in that began before does not outlive it
);

create table if not exists annals_auth.sessions (
	token_hash   bytea primary key,   -- SHA-256 of the bearer token
	employee_id  uuid not null,
	created_at   timestamptz not null default now(),
	expires_at   timestamptz not null, -- however much it is used
	id           uuid not null default gen_random_uuid(), -- names it without being of use to anybody
	last_seen_at timestamptz not null default now(),
	method       text not null default 'password',
	ip           text not null default '',
	user_agent   text not null default ''
);

do $$ begin
	if not exists (select from pg_attribute where attrelid = 'annals_auth.credentials'::regclass and attname = 'epoch') then
		alter table annals_auth.credentials add column if not exists epoch bigint not null default 0;
	end if;
	if not exists (select from pg_attribute where attrelid = 'annals_auth.sessions'::regclass and attname = 'id') then
		alter table annals_auth.sessions
			add column if not exists id           uuid not null default gen_random_uuid(),
			add column if not exists last_seen_at timestamptz not null default now(),
			add column if not exists method       text not null default 'password',
			add column if not exists ip           text not null default '',
			add column if not exists user_agent   text not null default '';
	end if;
end $$;

create unique index if not exists sessions_id on annals_auth.sessions (id);
create index if not exists sessions_employee on annals_auth.sessions (employee_id, created_at);
create index if not exists sessions_expiry on annals_auth.sessions (expires_at);

create table if not exists annals_auth.keys (
	id           uuid primary key,    -- the key's aggregate
	key_id       text not null unique, -- the key's name in its token
	owner_id     uuid,                -- unknown of a key that was revoked before it was made
	secret_hash  bytea,               -- SHA-256 of the secret; null: revoked
	created_at   timestamptz not null,
	expires_at   timestamptz,
	last_used_at timestamptz,
	revoked_at   timestamptz
);
create index if not exists keys_owner on annals_auth.keys (owner_id);

create table if not exists annals_auth.guesses ( -- attempts that failed, or are not judged yet
	key        bytea primary key,     -- digest of what is counted: account and address, account, or address
	account    bytea not null,        -- digest of the e-mail address tried; empty where an address is counted
	failures   int not null default 0,
	recent     timestamptz[] not null default '{}',
	until      timestamptz,           -- no further attempt before
	expires_at timestamptz not null   -- forgotten then
);
create index if not exists guesses_account on annals_auth.guesses (account);
create index if not exists guesses_expiry on annals_auth.guesses (expires_at);

create table if not exists annals_auth.resets (
	token_hash  bytea primary key,    -- SHA-256 of the token mailed
	employee_id uuid not null,        -- or somebody made up, for an address that nobody has
	created_at  timestamptz not null,
	expires_at  timestamptz not null,
	used_at     timestamptz           -- or overtaken by another one
);
create index if not exists resets_employee on annals_auth.resets (employee_id);
create index if not exists resets_expiry on annals_auth.resets (expires_at);

create table if not exists annals_auth.factors (
	employee_id uuid primary key,
	secret      bytea,                -- of TOTP, sealed; null until it is confirmed
	last_step   bigint not null default 0, -- the time step accepted last: none before it is any more
	enabled_at  timestamptz,
	pending     bytea,                -- the secret to be confirmed, sealed
	pending_at  timestamptz
);
create table if not exists annals_auth.recovery_codes ( -- those not used yet
	employee_id uuid not null,
	code_hash   bytea not null,       -- SHA-256 of employee and code
	primary key (employee_id, code_hash)
);

-- Nobody but the owner of the schema has any business here.
revoke all on schema annals_auth from public;
revoke all on all tables in schema annals_auth from public;`
