-- What messages to clients are made of.
create table templates (
    id               uuid primary key,
    project_id       uuid, -- null: for clients of all projects
    name             text not null,
    default_language text not null,
    texts            jsonb not null, -- {language: {subject, text, html}}
    retired_at       timestamptz,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    revision         bigint not null
);

-- Row-level security: everybody sees those for all, and for the projects that they work for.
alter table templates enable row level security;
create policy visible on templates to public using (
    (select current_setting('annals.all', true) = 'on')
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[])
    or project_id is null and (select nullif(current_setting('annals.actor', true), '')) is not null);
