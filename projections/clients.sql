-- One row a client: what lists and the record show, sort and find by. Nothing that changes with every event is
-- indexed, and a fifth of each page stays free, so that most updates touch no index (HOT).
--
-- Texts are folded for searching and sorting in Go. Columns that are put together from several fields are
-- generated, so that an edit of one need not know the others.
create table clients (
    id                  uuid primary key,
    type                text not null default '',
    first_name          text not null default '',
    middle_name         text not null default '',
    last_name           text not null default '',
    display_name        text not null default '',
    company             text not null default '',
    email               text not null default '',
    phone               text not null default '',
    website             text not null default '',
    street              text not null default '',
    city                text not null default '',
    region              text not null default '',
    postal_code         text not null default '',
    country             text not null default '',
    status              text not null default '',
    status_at           timestamptz, -- when it last changed
    status_reason       text not null default '',
    project_id          uuid,
    desk_id             uuid,
    manager_id          uuid,
    tags                text[] not null default '{}',
    deactivated_at      timestamptz,
    deactivation_reason text not null default '',
    portal_access       boolean not null default false,
    portal_override     boolean not null default false, -- somebody said so, and the rule does not count
    portal_signed_in_at timestamptz, -- the latest
    last_contacted_at   timestamptz, -- the latest of client_contacts
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    revision            bigint not null,
    erased              boolean not null default false,
    erasing             boolean not null default false, -- it is said, and may not be done
    held                boolean not null default false, -- under a legal hold
    since               timestamptz not null, -- when any of this last changed, for client_past
    details             jsonb not null default '{}', -- what has no column, a value each path, as client.Flatten has them
    keys                jsonb not null default '{}', -- what all details are sorted and filtered by, where it is not empty
    words               jsonb not null default '{}', -- what is searched, by detail
    -- client.Details.Name in SQL; TestClientNames holds the two together.
    name                text not null generated always as (
        case when display_name <> '' then display_name
            when type <> 'company' and first_name || middle_name || last_name <> ''
            then btrim(first_name || coalesce(' ' || nullif(middle_name, ''), '') || coalesce(' ' || nullif(last_name, ''), ''))
            else company end) stored,
    name_key            text collate "C" generated always as ( -- null without a name
        nullif(case when display_name <> '' then keys ->> 'display_name'
            when type <> 'company' and first_name || middle_name || last_name <> ''
            then btrim(coalesce(keys ->> 'first_name', '') || coalesce(' ' || (keys ->> 'middle_name'), '') || coalesce(' ' || (keys ->> 'last_name'), ''))
            else coalesce(keys ->> 'company', '') end, '')) stored,
    -- Keys that lists are sorted by often, so that an index of one needs no look at the row. A B-tree takes no long texts.
    first_name_key      text collate "C" generated always as (left(keys ->> 'first_name', 200)) stored,
    last_name_key       text collate "C" generated always as (left(keys ->> 'last_name', 200)) stored,
    company_key         text collate "C" generated always as (left(keys ->> 'company', 200)) stored,
    email_key           text collate "C" generated always as (left(keys ->> 'email', 200)) stored,
    phone_key           text collate "C" generated always as (left(keys ->> 'phone', 200)) stored,
    city_key            text collate "C" generated always as (left(keys ->> 'address.city', 200)) stored,
    country_key         text collate "C" generated always as (left(keys ->> 'address.country', 200)) stored,
    status_rank         smallint generated always as (case status when 'lead' then 1 when 'active' then 2 when 'inactive' then 3 end) stored,
    search              text not null generated always as ( -- words with a space before and after each
        ' ' || coalesce((words ->> 'display_name') || ' ', '') || coalesce((words ->> 'first_name') || ' ', '')
            || coalesce((words ->> 'middle_name') || ' ', '') || coalesce((words ->> 'last_name') || ' ', '')
            || coalesce((words ->> 'company') || ' ', '') || coalesce((words ->> 'email') || ' ', '') || coalesce((words ->> 'other_emails') || ' ', '')
            || coalesce((words ->> 'phone') || ' ', '') || coalesce((words ->> 'phone_e164') || ' ', '') || coalesce((words ->> 'other_phones') || ' ', '')) stored
) with (fillfactor = 80);

-- access.Clients as row-level security, for the reach of clients.view. A setting is read once a query, in
-- a subquery, and compared by operators that are leakproof, so that queries that say themselves what they
-- want use their indexes. It is all one CASE, because otherwise PostgreSQL takes what the query says and
-- the policy repeats for two conditions, expects a fraction of the rows, and chooses plans for those. Each
-- subquery costs a page as much as some rows, and each look into an array counts where a thousand rows are
-- counted: so the reaches share what they have in common. Without a reach there are no projects.
create policy visible on clients for select to public using (
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

-- When a client last changed, for lists that are sorted by it: what changes with every event has an index here, where the
-- others need not be touched for it.
create table client_times (
    client_id  uuid primary key,
    updated_at timestamptz not null,
    project_id uuid,
    desk_id    uuid,
    manager_id uuid
) with (fillfactor = 80);

-- Shown to nobody but who finds clients by it.
create policy nobody on client_times for select to public using (false);

-- What the rows of clients were before: each from since on, and until another time, excluded. Of events at the same time
-- the last one counts; what those before it left is kept as well, for no time, to be found by its revision.
create table client_past (like clients, until timestamptz not null, primary key (id, until, since, revision));

-- Whoever sees the client now sees what it was: that is a subquery of one value, as in client_values.
create policy visible on client_past for select to public using ((select true from clients c where c.id = client_past.id));

-- How many clients there are of each kind that lists are counted by. The zero id stands for none. Rows of the status * are
-- of all statuses, and of all managers where there is a desk: few enough to be added up for every list.
create table client_counts (
    project_id uuid not null,
    desk_id    uuid not null,
    manager_id uuid not null,
    status     text not null,
    active     boolean not null,
    n          bigint not null,
    primary key (project_id, desk_id, manager_id, status, active)
) with (fillfactor = 50);

create policy nobody on client_counts for select to public using (false);

-- The words that clients are found by and in how many places each is, but for numbers: to know whether there is such a
-- word, and to search by what somebody may have meant.
create table client_words (
    word text collate "C" primary key,
    n    bigint not null
) with (fillfactor = 50);

create policy nobody on client_words for select to public using (false);

create function count_clients() returns trigger language plpgsql set search_path from current as $$
begin
    insert into client_counts
        select coalesce(project_id, uuid_nil.id), coalesce(desk_id, uuid_nil.id), coalesce(manager_id, uuid_nil.id), status, deactivated_at is null, count(*)
        from added, (values ('00000000-0000-0000-0000-000000000000'::uuid)) uuid_nil (id) group by 1, 2, 3, 4, 5
        union all select coalesce(project_id, uuid_nil.id), coalesce(desk_id, uuid_nil.id), case when desk_id is null then coalesce(manager_id, uuid_nil.id) else uuid_nil.id end, '*', true, count(*)
        from added, (values ('00000000-0000-0000-0000-000000000000'::uuid)) uuid_nil (id) group by 1, 2, 3
        on conflict (project_id, desk_id, manager_id, status, active) do update set n = client_counts.n + excluded.n;
    insert into client_words
        select word, count(*) from added, unnest(string_to_array(btrim(search, ' '), ' ')) word where word >= ':' and length(word) <= 32 group by word
        on conflict (word) do update set n = client_words.n + excluded.n;
    return null;
end $$;

create function time_clients() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        insert into client_times select id, updated_at, project_id, desk_id, manager_id from became;
    else
        update client_times t set updated_at = b.updated_at, project_id = b.project_id, desk_id = b.desk_id, manager_id = b.manager_id
            from became b where t.client_id = b.id and (t.updated_at <> b.updated_at
                or (t.project_id, t.desk_id, t.manager_id) is distinct from (b.project_id, b.desk_id, b.manager_id));
    end if;
    return null;
end $$;

-- What updates change: many rows at once where a read model is built, which is why this is by statement. A plan is kept
-- from one call to the next, and one for a few rows that compares each with each takes minutes for thousands: so there is
-- to be none such. The planner is told elsewhere to look rows up by their keys, and these have none.
create function update_clients() returns trigger language plpgsql set search_path from current set enable_hashjoin to on set enable_nestloop to off as $$
declare
    moved boolean;
    renamed boolean;
begin
    insert into client_past
        select was.*, became.since from was join became on became.id = was.id where was.since <> became.since or was.revision <> became.revision;
    if tg_nargs > 0 then -- it is being filled, and counted when that is done
        return null;
    end if;
    select bool_or((was.project_id, was.desk_id, was.manager_id, was.status, was.deactivated_at is null)
            is distinct from (became.project_id, became.desk_id, became.manager_id, became.status, became.deactivated_at is null)), bool_or(was.search <> became.search)
        into moved, renamed from was join became on became.id = was.id;
    if moved then
        insert into client_counts
            select project_id, desk_id, manager_id, status, active, sum(n) from (
                select coalesce(x.project_id, none.id) project_id, coalesce(x.desk_id, none.id) desk_id,
                    case when status <> '*' or x.desk_id is null then coalesce(x.manager_id, none.id) else none.id end manager_id, status, active, n
                from (select project_id, desk_id, manager_id, status, deactivated_at is null active, -1 n from was
                    union all select project_id, desk_id, manager_id, '*', true, -1 from was
                    union all select project_id, desk_id, manager_id, status, deactivated_at is null, 1 from became
                    union all select project_id, desk_id, manager_id, '*', true, 1 from became) x,
                    (values ('00000000-0000-0000-0000-000000000000'::uuid)) none (id)) y
            group by 1, 2, 3, 4, 5 having sum(n) <> 0
            on conflict (project_id, desk_id, manager_id, status, active) do update set n = client_counts.n + excluded.n;
        delete from client_counts where n = 0 and project_id = any (array(select distinct coalesce(project_id, '00000000-0000-0000-0000-000000000000') from was))
            and desk_id = any (array(select distinct coalesce(desk_id, '00000000-0000-0000-0000-000000000000') from was));
    end if;
    if renamed then
        insert into client_words
            select word, sum(n) from (
                select -1 n, unnest(string_to_array(btrim(was.search, ' '), ' ')) word from was join became on became.id = was.id and was.search <> became.search
                union all
                select 1, unnest(string_to_array(btrim(became.search, ' '), ' ')) from was join became on became.id = was.id and was.search <> became.search) x
            where word >= ':' and length(word) <= 32 group by word having sum(n) <> 0
            on conflict (word) do update set n = client_words.n + excluded.n;
        delete from client_words where n = 0 and word = any (array(
            select distinct unnest(string_to_array(btrim(was.search, ' '), ' ')) from was join became on became.id = was.id and was.search <> became.search));
    end if;
    return null;
end $$;

create trigger update_clients after update on clients referencing old table as was new table as became for each statement execute function update_clients('past');

-- When somebody was in contact with a client: calls, messages that were sent, and those that came.
create table client_contacts (
    id        uuid primary key, -- of the call or message
    client_id uuid not null,
    at        timestamptz not null
);

-- Shown to who has been found to see the client in the same transaction, which is what annals.client says.
create policy visible on client_contacts for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));

-- Values of custom fields that are short enough to be the same by intent, as JSON: to find clients with the same one.
create table client_values (
    client_id uuid not null,
    key       text not null,
    value     text not null,
    primary key (client_id, key)
);

-- Shown to who sees the client: that is a subquery of one value, since PostgreSQL may collect all clients at once for
-- one that asks whether there is any.
create policy visible on client_values for select to public using (
    (select true from clients c where c.id = client_id)); -- by the policy of clients
