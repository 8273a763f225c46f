-- What the projectors keep about themselves, and the views that readers use. Repeatable.
create schema if not exists annals_projections;
create schema if not exists annals_read;

create table if not exists annals_projections.checkpoints (
    schema     text primary key,         -- where the tables are
    projector  text   not null,
    version    int    not null,
    state      text   not null,          -- building, live, retired, shadow
    commit     bigint not null default 0,
    prepare    bigint not null default 0,
    parked     bigint not null default 0, -- counts every change of the parked streams
    events     bigint not null default 0,
    last_event bigint not null default 0, -- commit position of the last event that came by
    updated_at timestamptz not null default now(),
    retired_at timestamptz
) with (fillfactor = 50);

create table if not exists annals_projections.active (
    projector   text primary key,
    version     int    not null,
    schema      text   not null references annals_projections.checkpoints,
    views       text[] not null,
    switched_at timestamptz not null default now()
);

-- Streams of which nothing is applied from a revision on, until they are resumed.
create table if not exists annals_projections.parked (
    schema    text   not null references annals_projections.checkpoints on delete cascade,
    stream    text   not null,
    revision  bigint not null,
    commit    bigint not null,
    prepare   bigint not null,
    event_id  uuid   not null,
    type      text   not null,
    error     text   not null,
    attempts  int    not null default 1,
    parked_at timestamptz not null default now(),
    primary key (schema, stream)
);

create table if not exists annals_projections.failures (
    projector text primary key,
    error     text not null,
    at        timestamptz not null default now()
);

-- How far each read model is: not at all while it is first being built.
create or replace view annals_read.freshness as
    select c.projector,
        case c.state when 'live' then c.commit else 0 end as commit,
        case c.state when 'live' then c.prepare else 0 end as prepare,
        c.updated_at
    from annals_projections.checkpoints c
    where c.state = 'live' or c.state = 'building' and not exists (
        select from annals_projections.active a where a.projector = c.projector);

-- What clients are sorted and filtered by, of which an index is made while it is asked for now and then.
create table if not exists annals_projections.sorts (
    name       text primary key,
    expression text not null, -- over a row of clients
    used_at    timestamptz not null default now()
);

-- Of which of these there is an index.
create table if not exists annals_projections.sorted (
    schema     text not null references annals_projections.checkpoints on delete cascade,
    expression text not null,
    primary key (schema, expression)
);

create or replace view annals_read.sorts as
    select s.name, s.expression from annals_projections.sorts s join annals_projections.sorted x on x.expression = s.expression
        join annals_projections.active a on a.schema = x.schema and a.projector = 'clients';
