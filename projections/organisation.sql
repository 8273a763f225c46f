-- Projects, their desks, and who works for which.
create table projects (
    id              uuid primary key,
    name            text not null default '',
    default_desk_id uuid not null,
    created_at      timestamptz not null,
    revision        bigint not null
);

create table desks (
    id         uuid primary key,
    project_id uuid not null,
    name       text not null default '',
    is_default boolean not null default false,
    created_at timestamptz not null,
    revision   bigint not null
);

create table employees (
    id         uuid primary key,
    name       text not null default '',
    email      text not null default '',
    roles      text[] not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    revision   bigint not null,
    erased     boolean not null default false
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
