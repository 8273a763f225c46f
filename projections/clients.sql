-- One row a client, with what the list shows and sorts by; the rest of the record is in client_details. Nothing that changes with every event is
-- indexed, and a fifth of each page stays free, so that most updates touch no index (HOT).
--
-- The columns *_key hold their fields folded for searching and sorting, which is done in Go. What is
-- put together from several fields is generated, so that an edit of one need not know the others.
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
    first_key           text not null default '',
    middle_key          text not null default '',
    last_key            text not null default '',
    display_key         text not null default '',
    company_key         text not null default '',
    email_key           text not null default '',
    phone_key           text not null default '', -- folded, and its digits
    e164_key            text not null default '', -- the digits of the number as in E.164
    emails_key          text not null default '', -- of the other addresses
    phones_key          text not null default '', -- of the other numbers, with the digits of each, and of each as in E.164
    -- client.Details.Name in SQL; TestClientNames holds the two together.
    name                text not null generated always as (
        case when display_name <> '' then display_name
            when type <> 'company' and first_name || middle_name || last_name <> ''
            then btrim(first_name || coalesce(' ' || nullif(middle_name, ''), '') || coalesce(' ' || nullif(last_name, ''), ''))
            else company end) stored,
    name_key            text collate "C" generated always as ( -- null without a name
        nullif(case when display_name <> '' then display_key
            when type <> 'company' and first_name || middle_name || last_name <> ''
            then btrim(first_key || coalesce(' ' || nullif(middle_key, ''), '') || coalesce(' ' || nullif(last_key, ''), ''))
            else company_key end, '')) stored,
    search              text not null generated always as (
        btrim(coalesce(nullif(display_key, '') || ' ', '')
            || coalesce(nullif(first_key, '') || ' ', '') || coalesce(nullif(middle_key, '') || ' ', '') || coalesce(nullif(last_key, '') || ' ', '')
            || coalesce(nullif(email_key, '') || ' ', '') || coalesce(nullif(emails_key, '') || ' ', '') || coalesce(nullif(company_key, '') || ' ', '')
            || coalesce(nullif(phone_key, '') || ' ', '') || coalesce(nullif(e164_key, '') || ' ', '') || phones_key)) stored
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

-- All that the record shows and the list does not: a value each path, as client.Flatten has them.
create table client_details (
    client_id     uuid primary key,
    details       jsonb not null default '{}',
    status_at     timestamptz not null, -- when the status last changed
    status_reason text not null default ''
) with (fillfactor = 80);

-- When somebody was in contact with a client: calls, messages that were sent, and those that came.
create table client_contacts (
    id        uuid primary key, -- of the call or message
    client_id uuid not null,
    at        timestamptz not null
);

-- Shown to who has been found to see the client in the same transaction, which is what annals.client says.
create policy visible on client_details for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));

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
