-- What the process managers keep. Repeatable.
create schema if not exists annals_process;
comment on schema annals_process is
    'How far the process managers have got: not in the log, and not to be rebuilt from it. Without it they would begin anew, and do again what they have done.';

create table if not exists annals_process.checkpoints (
    handler    text primary key,
    commit     bigint not null, -- everything up to here has been handled or set aside
    prepare    bigint not null,
    last_event bigint not null default 0, -- commit position of the last event that came by
    updated_at timestamptz not null default now()
) with (fillfactor = 50);

-- Events that could not be handled, to be tried again.
create table if not exists annals_process.parked (
    handler   text   not null references annals_process.checkpoints on delete cascade,
    commit    bigint not null,
    prepare   bigint not null,
    stream    text   not null,
    revision  bigint not null,
    event_id  uuid   not null,
    type      text   not null,
    error     text   not null,
    attempts  int    not null default 1,
    parked_at timestamptz not null,
    tried_at  timestamptz not null,
    primary key (handler, commit, prepare)
);
