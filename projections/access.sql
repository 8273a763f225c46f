-- Who could see which clients, at any time: what each employee was assigned to and which roles they
-- had, and how far each role let them see. A period lasts until the next one begins; the last one has
-- no end. Where a clock was behind that of the event before, the later event counts from the earlier
-- one's time on, as in a replay.
create table employee_periods (
    employee_id uuid not null,
    revision    bigint not null, -- of the event that it begins with
    valid_from  timestamptz not null,
    valid_to    timestamptz,
    active      boolean not null,
    roles       text[] not null, -- role_periods.ref
    projects    uuid[] not null,
    desks       uuid[] not null,
    latest      timestamptz not null, -- of all events of the employee up to the next period
    primary key (employee_id, revision)
);

create table role_periods (
    role_id    uuid not null,
    revision   bigint not null,
    ref        text not null, -- what employees hold: the name of a built-in role, the id of another
    valid_from timestamptz not null,
    valid_to   timestamptz,
    name       text not null default '',
    reach      text not null, -- of clients.view; empty for nothing
    primary key (role_id, revision)
);

-- Row-level security: shown to who has been found to see a client, whose id is in annals.client then.
alter table employee_periods enable row level security;
create policy visible on employee_periods to public using (
    (select nullif(current_setting('annals.actor', true), '')) is not null
    and ((select nullif(current_setting('annals.client', true), '')) is not null or (select current_setting('annals.audit', true) = 'all')));

alter table role_periods enable row level security;
create policy visible on role_periods to public using (
    (select nullif(current_setting('annals.actor', true), '')) is not null
    and ((select nullif(current_setting('annals.client', true), '')) is not null or (select current_setting('annals.audit', true) = 'all')));
