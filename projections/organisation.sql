-- Projects, their desks, who works for which, and what their roles let them do.
create table projects (
    id              uuid primary key,
    name            text not null default '',
    name_key        text collate "C" not null default '', -- folded
    default_desk_id uuid not null,
    created_at      timestamptz not null,
    revision        bigint not null
);

create table desks (
    id         uuid primary key,
    project_id uuid not null,
    name       text not null default '',
    name_key   text collate "C" not null default '', -- folded
    is_default boolean not null default false,
    created_at timestamptz not null,
    revision   bigint not null
);

create table employees (
    id             uuid primary key,
    name           text not null default '',
    email          text not null default '',
    roles          text[] not null default '{}', -- roles.ref
    deactivated_at timestamptz,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    revision       bigint not null,
    erased         boolean not null default false,
    handle         text not null generated always as (lower(split_part(email, '@', 1))) stored -- by which colleagues mention them
);

create table employee_projects (
    employee_id uuid not null,
    project_id  uuid not null,
    primary key (employee_id, project_id)
);

create table employee_desks (
    employee_id uuid not null,
    desk_id     uuid not null,
    primary key (employee_id, desk_id)
);

-- The built-in roles and those that people made.
create table roles (
    id          uuid primary key,
    ref         text not null, -- what employees hold: the name of a built-in role, the id of another
    name        text not null default '',
    built_in    boolean not null default false,
    permissions jsonb not null,
    created_at  timestamptz, -- null: built in
    updated_at  timestamptz,
    deleted_at  timestamptz,
    revision    bigint not null
);

create table api_keys (
    id          uuid primary key,
    name        text not null default '',
    owner_id    uuid not null,
    permissions jsonb not null,
    projects    uuid[] not null default '{}', -- none of both: those of the owner
    desks       uuid[] not null default '{}',
    expires_at  timestamptz,
    revoked_at  timestamptz,
    created_at  timestamptz not null,
    revision    bigint not null
);

-- What to call employees and API keys: whoever reads what one of them did, or manages, may know by
-- whom it was, whether they see the employee or not.
create table names (
    id       uuid primary key,
    kind     text not null default 'employee', -- or api_key
    name     text not null default '',
    name_key text collate "C" not null default '' -- folded
);

-- Row-level security: package access says what the settings are. A setting is read once a query, in a
-- subquery, and compared by operators that are leakproof, so that indexes are used.
alter table projects enable row level security;
create policy visible on projects to public using (
    (select current_setting('annals.all', true) = 'on')
    or id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[]));

alter table desks enable row level security;
create policy visible on desks to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[]));

alter table employee_projects enable row level security;
create policy visible on employee_projects to public using (
    (select current_setting('annals.all', true) = 'on')
    or employee_id = (select nullif(current_setting('annals.me', true), '')::uuid)
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[]));

alter table employee_desks enable row level security;
create policy visible on employee_desks to public using (
    (select current_setting('annals.all', true) = 'on')
    or employee_id = (select nullif(current_setting('annals.me', true), '')::uuid)
    or exists (select from desks d where d.id = desk_id)); -- by the policy of desks

alter table employees enable row level security;
create policy visible on employees to public using (
    (select current_setting('annals.employees', true) = 'all')
    or id = (select nullif(current_setting('annals.me', true), '')::uuid)
    or (select current_setting('annals.employees', true) = 'project') and exists (select from employee_projects s where s.employee_id = id
        and s.project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[]))
    or (select current_setting('annals.employees', true) = 'desk') and exists (select from employee_desks s where s.employee_id = id
        and s.desk_id = any ((select nullif(current_setting('annals.desks', true), '')::uuid[])::uuid[])));

alter table roles enable row level security;
create policy visible on roles to public using ((select nullif(current_setting('annals.actor', true), '')) is not null);

alter table api_keys enable row level security;
create policy visible on api_keys to public using (
    owner_id = (select nullif(current_setting('annals.me', true), '')::uuid)
    or (select current_setting('annals.settings', true) = 'all')
    or (select current_setting('annals.audit', true) = 'all'));

alter table names enable row level security;
create policy visible on names to public using ((select nullif(current_setting('annals.actor', true), '')) is not null);
