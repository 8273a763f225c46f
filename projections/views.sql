-- Saved lists. Those that were deleted are not here.
create table views (
    id         uuid primary key,
    owner_id   uuid not null,
    name       text not null,
    columns    jsonb not null, -- [{field, width, frozen}]
    filter     text not null,  -- JSON into which nothing here looks; empty for none
    q          text not null,
    sort       text[] not null,
    shared     text not null,  -- nobody, desk, project, everybody
    desk_id    uuid,           -- with which it is shared, if it is
    project_id uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    revision   bigint not null
);

-- Which views each employee has starred.
create table view_favourites (
    employee_id uuid not null,
    view_id     uuid not null,
    starred_at  timestamptz not null,
    primary key (employee_id, view_id)
);

-- With which view those begin who hold a role.
create table default_views (
    role    text primary key, -- the name of a built-in one, the id of another
    view_id uuid not null,
    set_at  timestamptz not null
);

-- Row-level security: view.State.Visible. A view is seen by its owner, by those with whom it is shared, and where it
-- is shared by who manages the settings.
alter table views enable row level security;
create policy visible on views for select to public using (
    owner_id = (select nullif(current_setting('annals.me', true), '')::uuid)
    or shared = 'everybody' and (select nullif(current_setting('annals.actor', true), '')) is not null
    or desk_id = any ((select nullif(current_setting('annals.desks', true), '')::uuid[])::uuid[])
    or project_id = any ((select nullif(current_setting('annals.projects', true), '')::uuid[])::uuid[])
    or shared <> 'nobody' and (select current_setting('annals.settings', true) = 'all'));

alter table view_favourites enable row level security;
create policy visible on view_favourites for select to public using (
    employee_id = (select nullif(current_setting('annals.me', true), '')::uuid));

alter table default_views enable row level security;
create policy visible on default_views for select to public using (
    exists (select from views v where v.id = view_id)); -- by the policy of views
