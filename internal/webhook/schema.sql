-- What delivering webhooks keeps. Repeatable.
create schema if not exists annals_webhooks;
comment on schema annals_webhooks is
    'How far webhooks have been delivered, what waits, what was answered, and the secrets that deliveries are signed with: not in the log, and not to be rebuilt from it.';

-- Which process delivers. Whoever takes over counts it up, and whoever has another count writes nothing any more.
create table if not exists annals_webhooks.holder (
    one   boolean primary key default true check (one),
    epoch bigint not null
);
insert into annals_webhooks.holder (epoch) values (0) on conflict do nothing;

create table if not exists annals_webhooks.endpoints (
    id                uuid primary key,  -- the webhook's aggregate
    owner_id          uuid not null,
    key_id            uuid,
    status            text not null check (status in ('active', 'paused', 'disabled', 'deleted')),
    revision          bigint not null,   -- of the aggregate
    created_at        timestamptz not null,
    last_delivered_at timestamptz,
    failing_since     timestamptz,       -- nothing has been delivered since, and something has failed
    warned_at         timestamptz        -- the owner has been told of that
) with (fillfactor = 50);

-- Ways through the log: that of a webhook as things happen, and those of its replays.
create table if not exists annals_webhooks.runs (
    id            uuid primary key,      -- the webhook, or the event that asked for the replay
    webhook_id    uuid not null references annals_webhooks.endpoints on delete cascade,
    commit        bigint not null,       -- everything up to here is done, or is in deliveries
    prepare       bigint not null,
    until_commit  bigint,                -- where it ends; null: never
    until_prepare bigint,
    since         timestamptz,           -- only events from this time on
    before        timestamptz,           -- and up to this one
    created_at    timestamptz not null,
    ended_at      timestamptz
) with (fillfactor = 50);
create index if not exists runs_webhook on annals_webhooks.runs (webhook_id, created_at);

-- Deliveries that were tried, or wait to be. What is delivered is read from the log each time.
create table if not exists annals_webhooks.deliveries (
    id         uuid primary key,
    webhook_id uuid not null,
    run_id     uuid not null,
    lane       uuid not null,            -- what waits in the same lane is delivered in order
    commit     bigint not null,
    prepare    bigint not null,
    stream     text not null,
    revision   bigint not null,
    event_id   uuid not null,
    type       text not null,
    client_id  uuid,
    event_at   timestamptz not null,
    state      text not null check (state in ('waiting', 'delivered', 'failed', 'withheld')),
    attempts   int not null,
    tries      int not null,             -- since it waits, by which the next one is due
    status     int,                      -- that was answered last
    first_at   timestamptz,              -- the first attempt since it waits
    due_at     timestamptz,
    updated_at timestamptz not null,
    asked      boolean not null default false -- somebody wants it to be sent now
);
create index if not exists deliveries_log on annals_webhooks.deliveries (webhook_id, updated_at desc, id);
create index if not exists deliveries_waiting on annals_webhooks.deliveries (run_id, commit) where state = 'waiting';
create index if not exists deliveries_run on annals_webhooks.deliveries (run_id, commit, prepare);
create index if not exists deliveries_asked on annals_webhooks.deliveries (webhook_id) where asked;
create index if not exists deliveries_client on annals_webhooks.deliveries (client_id) where client_id is not null;
create index if not exists deliveries_old on annals_webhooks.deliveries (updated_at) where state <> 'waiting';

create table if not exists annals_webhooks.attempts (
    delivery_id uuid not null,
    n           int not null,
    at          timestamptz not null,
    took_ms     int not null,
    status      int,                     -- null: there was no answer
    error       text not null,
    response    text not null,           -- its beginning, which may hold what the delivery did
    primary key (delivery_id, n)
);

-- Who has been erased: what endpoints answer to deliveries about them is not kept.
create table if not exists annals_webhooks.erased (client_id uuid primary key);

-- Where each lane has got to, for the next delivery to tell.
create table if not exists annals_webhooks.lanes (
    run_id  uuid not null,
    lane    uuid not null,
    commit  bigint not null,
    prepare bigint not null,
    primary key (run_id, lane)
) with (fillfactor = 50);

create table if not exists annals_webhooks.keys (
    webhook_id uuid not null,
    id         uuid not null,            -- the command that made it
    created_at timestamptz not null,
    expires_at timestamptz,              -- null: the one in use
    sealed     bytea not null,           -- under the master key
    primary key (webhook_id, id)
);

revoke all on schema annals_webhooks from public;
revoke all on all tables in schema annals_webhooks from public;
