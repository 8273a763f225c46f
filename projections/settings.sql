-- What people define for their clients: custom fields, tags and rules of retention, for a project or for all, and
-- which changes of status there are in a project.
create table custom_fields (
    id            uuid primary key,
    project_id    uuid, -- null: clients of all projects have it
    key           text not null,
    type          text not null,
    label         text not null,
    help          text not null,
    heading       text not null,
    ordinal       int not null,
    required      boolean not null,
    unique_values boolean not null,
    initial       jsonb, -- what new clients have; null for nothing
    options       jsonb not null,
    retired_at    timestamptz,
    created_at    timestamptz not null,
    updated_at    timestamptz not null
);

create table tags (
    id          uuid primary key,
    project_id  uuid, -- null: on clients of all projects
    key         text not null,
    label       text not null,
    label_key   text not null, -- folded
    colour      text not null,
    description text not null,
    merged_into uuid, -- a tag that is not merged itself, unless it was later
    retired_at  timestamptz,
    created_at  timestamptz not null,
    updated_at  timestamptz not null
);

-- Every name that a tag has or had, and the tag that is meant by it today. The project is the zero id for
-- those on clients of all projects.
create table tag_names (
    project_id uuid not null,
    name       text not null,
    name_key   text not null, -- folded; two names of a project that are the same folded mean one tag
    tag_id     uuid not null,
    label      text not null, -- of that tag
    label_key  text not null, -- folded
    primary key (project_id, name)
);

-- By which clients are erased when what is known of them is needed no longer.
create table retention_rules (
    id         uuid primary key,
    project_id uuid, -- null: clients of all projects
    name       text not null,
    statuses   text[] not null, -- none: all
    since      text not null,
    days       int not null,
    action     text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table status_transitions (
    project_id uuid primary key,
    allowed    jsonb -- null: all
);

-- Definitions of a category are one aggregate, whose revision it is that commands are held against.
create table registries (
    category text primary key,
    revision bigint not null
);

-- Row-level security: everybody sees what is defined for all, and for the projects that they work for.
alter table custom_fields enable row level security;
create policy visible on custom_fields to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[])
    or project_id is null and (select nullif(current_setting('annals.actor', true), '')) is not null);

alter table tags enable row level security;
create policy visible on tags to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[])
    or project_id is null and (select nullif(current_setting('annals.actor', true), '')) is not null);

alter table retention_rules enable row level security;
create policy visible on retention_rules to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[])
    or project_id is null and (select nullif(current_setting('annals.actor', true), '')) is not null);

alter table tag_names enable row level security;
create policy visible on tag_names to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[])
    or project_id = '00000000-0000-0000-0000-000000000000' and (select nullif(current_setting('annals.actor', true), '')) is not null);

alter table status_transitions enable row level security;
create policy visible on status_transitions to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[]));

alter table registries enable row level security;
create policy visible on registries to public using ((select nullif(current_setting('annals.actor', true), '')) is not null);
