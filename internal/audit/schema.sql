create schema if not exists annals_audit;

-- What has to be kept for as long as the log is: the tree cannot be built again once
-- the key of an erased person has left the log, and not with the signatures that
-- others hold.
create table if not exists annals_audit.tree (
	one        boolean primary key default true check (one),
	origin     text not null,
	public     text not null,         -- the key that verifies checkpoints
	size       bigint not null,       -- leaves
	commit     bigint not null,       -- the last event's position in the log
	prepare    bigint not null,
	updated_at timestamptz not null default now()
);
comment on table annals_audit.tree is 'How far the Merkle tree over the log is. The row is lock and fence of the process that grows it';

create table if not exists annals_audit.tiles (
	level     smallint not null,      -- 0 holds the hashes of leaves, 1 those over 256 of them, and so on
	n         bigint not null,
	hashes    bytea not null,         -- up to 256 of 32 bytes
	first     bigint,                 -- level 0: the commit position of the first leaf
	positions bytea,                  -- level 0: commit and prepare position of each leaf, of 8 bytes each
	primary key (level, n)
);
alter table annals_audit.tiles alter column hashes set storage external, alter column positions set storage external;
create index if not exists tiles_first on annals_audit.tiles (first) where level = 0;

create table if not exists annals_audit.checkpoints (
	size      bigint primary key,
	commit    bigint not null,
	prepare   bigint not null,
	note      text not null,          -- as it was signed
	issued_at timestamptz not null
);
create index if not exists checkpoints_issued on annals_audit.checkpoints (issued_at);

create table if not exists annals_audit.cosignatures (
	size      bigint not null references annals_audit.checkpoints on delete cascade,
	witness   text not null,
	line      text not null,
	signed_at timestamptz not null,
	primary key (size, witness)
);
