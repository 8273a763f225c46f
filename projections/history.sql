-- One row an event of every aggregate: who, when, and what changed from what to what.
create table history (
    category       text not null,
    aggregate_id   uuid not null,
    client_id      uuid, -- the client that it is about
    project_id     uuid, -- the project in which it happened
    revision       bigint not null,
    position       bigint not null,
    event_id       uuid not null,
    type           text collate "C" not null,
    at             timestamptz not null,
    actor_id       uuid not null,
    rule           boolean not null default false, -- Annals did it because something else had happened
    command_id     uuid not null,
    correlation_id uuid not null,
    causation_id   uuid not null,
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
alter table history alter column project_id set (n_distinct = 10);
alter table history alter column actor_id set (n_distinct = 10);
alter table history alter column type set (n_distinct = 10);

-- Where each client belongs, for the policies, and for in which project something happens to it.
create table history_places (
    client_id  uuid primary key,
    project_id uuid,
    desk_id    uuid,
    manager_id uuid
) with (fillfactor = 80);

-- The policy of clients, see there. TestPlacesAreClients holds the two together.
create policy visible on history_places for select to public using (
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

-- What happens to a client, or to what belongs to it, happens in the project that the client is in then.
create function happened_in() returns trigger language plpgsql set search_path from current as $$
begin
    new.project_id := (select p.project_id from history_places p where p.client_id = new.client_id);
    return new;
end $$;

create trigger happened_in before insert on history for each row when (new.client_id is not null and new.project_id is null) execute function happened_in();

-- Between which positions the events of each hour are, whatever clocks said: so that those of a time are read off an
-- index of positions. The last one is rounded up, so that a row is not written with every event.
create table history_hours (
    hour  bigint primary key, -- since 1970
    first bigint not null,
    last  bigint not null
) with (fillfactor = 50);

create policy visible on history_hours for select to public using ((select current_setting('annals.audit', true) in ('project', 'all')));

create function note_hours() returns trigger language plpgsql set search_path from current as $$
begin
    insert into history_hours as h (hour, first, last)
        select floor(extract(epoch from at) / 3600), min(position), max(position) | 1023 from added group by 1
        on conflict (hour) do update set first = least(h.first, excluded.first), last = greatest(h.last, excluded.last)
            where h.first > excluded.first or h.last < excluded.last;
    return null;
end $$;

create trigger note_hours after insert on history referencing new table as added for each statement execute function note_hours();

-- What happened to a client, and to what belongs to it, is shown to who has been found to see the client in the same
-- transaction, which is what annals.client says; to an employee, likewise, by annals.employee. Whoever views what
-- others did is shown, besides, what happened in the projects as far as that reaches, of clients those that they see;
-- of what belongs to no project, who views what everybody did.
create policy visible on history for select to public using (
    case
        when client_id = (select nullif(current_setting('annals.client', true), '')::uuid) then true
        when category = 'employee' and aggregate_id = (select nullif(current_setting('annals.employee', true), '')::uuid) then true
        when (select current_setting('annals.audit', true) = 'all')
            or project_id = any ((select case when current_setting('annals.audit', true) = 'project'
                then nullif(current_setting('annals.projects', true), '')::uuid[] end)::uuid[]) then
            case when client_id is null then true else (select true from history_places p where p.client_id = history.client_id) end
        else false end);
