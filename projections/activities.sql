-- What happened with a client, as its feed shows it: one row a note, action, request, call, message and document,
-- and one an event of the client itself, whose changes are in history.
create table activities (
    id        uuid primary key, -- of the aggregate; of a change, the event's
    client_id uuid not null,
    kind      text not null,
    at        timestamptz not null, -- where it stands in the feed
    actor_id  uuid not null,
    position  bigint not null,      -- of its first event
    revision  bigint not null,      -- of its last
    pinned    boolean not null default false,
    data      jsonb not null,
    personal  jsonb not null default '{}', -- what is erased with the person
    sealed    boolean not null default false, -- some event had something personal
    erased    boolean not null default false
) with (fillfactor = 90);

-- Shown to who has been found to see the client in the same transaction, which is what annals.client says.
create policy visible on activities for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));
