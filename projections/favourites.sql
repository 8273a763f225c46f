-- Which clients each employee has starred.
create table favourites (
    employee_id uuid not null,
    client_id   uuid not null,
    starred_at  timestamptz not null,
    primary key (employee_id, client_id)
);

-- Row-level security: one's own alone, and nothing for a key, which has none. Whether one still sees the client,
-- those who ask find out by joining clients, under its policy.
alter table favourites enable row level security;
create policy visible on favourites for select to public using (
    employee_id = (select nullif(current_setting('annals.me', true), '')::uuid));
