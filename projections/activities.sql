-- What happened with a client, as its feed shows it: one row a note, action, request, call, message and document,
-- and one an event of the client itself, whose changes are in history.
create table activities (
    id          uuid primary key, -- of the aggregate; of a change, the event's
    client_id   uuid not null,
    kind        text not null,
    at          timestamptz not null, -- where it stands in the feed
    actor_id    uuid not null,
    position    bigint not null,      -- of its first event
    revision    bigint not null,      -- of its last
    pinned      boolean not null default false,
    assignee_id uuid,                 -- who is to do it: of an action or a request
    due_at      timestamptz,          -- of an action
    open        boolean,              -- of an action or a request: whether something is left to do
    data        jsonb not null,
    personal    jsonb not null default '{}', -- what is erased with the person
    sealed      boolean not null default false, -- some event had something personal
    erased      boolean not null default false
) with (fillfactor = 90);

-- A plan is made once and for all clients, and has to hold for the one with most: read off an index in its
-- order, where those of few rows would be as quick to fetch and sort. So this is how many clients there are
-- taken to be.
alter table activities alter column client_id set (n_distinct = 10);

-- Where each client belongs, for the policies only: what goes over many clients cannot ask one by one who sees them.
create table places (
    client_id  uuid primary key,
    project_id uuid,
    desk_id    uuid,
    manager_id uuid
) with (fillfactor = 80);

-- The policy of clients, see there. TestPlacesAreClients holds the two together.
create policy visible on places for select to public using (
    case
        when (select current_setting('annals.clients', true) = 'all') then true
        when project_id = any ((select case when current_setting('annals.clients', true) in ('project', 'desk', 'own')
            then nullif(current_setting('annals.projects', true), '')::uuid[] end)::uuid[]) then
            case
                when (select current_setting('annals.clients', true) = 'project') then true
                when desk_id = any ((select nullif(current_setting('annals.desks', true), '')::uuid[])::uuid[])
                    then (select current_setting('annals.clients', true) = 'desk') or manager_id = (select nullif(current_setting('annals.me', true), '')::uuid)
                when desk_id is null then manager_id = (select nullif(current_setting('annals.me', true), '')::uuid)
                else false end
        else false end);

-- Shown to who has been found to see the client in the same transaction, which is what annals.client says; actions,
-- which people work off client after client, also to who sees the client by its place. That is a subquery of one
-- value, since PostgreSQL may collect all places at once for one that asks whether there is any.
create policy visible on activities for select to public using (
    case
        when client_id = (select nullif(current_setting('annals.client', true), '')::uuid) then true
        when kind = 'action' then (select true from places p where p.client_id = activities.client_id)
        else false end);
