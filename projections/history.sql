-- One row an event of every aggregate: who, when, and what changed from what to what.
create table history (
    category       text not null,
    aggregate_id   uuid not null,
    client_id      uuid, -- the client that it is about
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

-- Few have most of the events: a page of them is read off an index, as if each had many.
alter table history alter column aggregate_id set (n_distinct = 10);
alter table history alter column client_id set (n_distinct = 10);

-- What happened to a client, and to what belongs to it, is shown to who has been found to see it in the same
-- transaction, which is what annals.client says; to an employee, likewise, by annals.employee; what happened to
-- anything else, to who sees what everybody did.
create policy visible on history for select to public using (
    case
        when client_id is not null then client_id = (select nullif(current_setting('annals.client', true), '')::uuid)
        when category = 'employee' then (select current_setting('annals.audit', true) = 'all')
            or aggregate_id = (select nullif(current_setting('annals.employee', true), '')::uuid)
        else (select current_setting('annals.audit', true) = 'all') end);
