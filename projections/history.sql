-- One row an event of every aggregate: who, when, and what changed from what to what.
create table history (
    category       text not null,
    aggregate_id   uuid not null,
    revision       bigint not null,
    position       bigint not null,
    event_id       uuid not null,
    type           text not null,
    at             timestamptz not null,
    actor_id       uuid not null,
    command_id     uuid not null,
    correlation_id uuid not null,
    ip             text not null default '',
    user_agent     text not null default '',
    app            text not null default '',
    schema         int not null,
    changes        jsonb not null,
    reason         text not null default '',
    personal       text[] not null default '{}', -- fields that are erased with the person
    erased         text[] not null default '{}', -- those of them that are
    primary key (category, aggregate_id, revision)
);
