-- What employees are told: a row a notice, without anything of a person. What is shown of the client is read
-- from clients, by whoever may see it.
create table notifications (
    id          uuid primary key,
    employee_id uuid not null,
    client_id   uuid,          -- null where it is about no client
    kind        text not null,
    at          timestamptz not null,
    position    bigint not null, -- of the event; no employee is told of one twice
    actor_id    uuid not null,
    category    text not null, -- what the event belongs to
    item_id     uuid not null,
    type        text not null, -- of the event
    read_at     timestamptz
) with (fillfactor = 90);

-- How employees want to be told, where that is not in the page.
create table notification_preferences (
    employee_id uuid not null,
    kind        text not null,
    channel     text not null, -- email, none
    primary key (employee_id, kind)
);

-- Which events an employee has been told of has to do with them alone, and with clients that they see still:
-- those who ask join clients, under its policy.
create policy visible on notifications for select to public using (
    employee_id = (select nullif(current_setting('annals.me', true), '')::uuid));

create policy visible on notification_preferences for select to public using (
    employee_id = (select nullif(current_setting('annals.me', true), '')::uuid));
