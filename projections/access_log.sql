-- What was shown of clients, an entry a row: to whom, when, and where they were.
create table access_log (
    id          uuid primary key,
    at          timestamptz not null,
    employee_id uuid not null, -- whose key it is, where a key asked
    actor_id    uuid not null, -- the employee or key
    kind        text not null,
    clients     uuid[] not null,
    count       int not null, -- of the whole answer
    item        uuid,
    as_of       text not null default '',
    filters     int not null default 0,
    searched    int not null default 0, -- letters
    request_id  uuid not null,
    ip          text not null default '',
    user_agent  text not null default ''
);

-- The same by client: a row for each of an entry's. A page of a client's is read off the primary key.
create table access_log_clients (
    client_id   uuid not null,
    at          timestamptz not null,
    id          uuid not null, -- of the entry
    employee_id uuid not null,
    actor_id    uuid not null,
    kind        text not null,
    primary key (client_id, at, id)
);

-- Few have most of the entries: a page of them is read off an index, as if each had many.
alter table access_log alter column employee_id set (n_distinct = 10);
alter table access_log_clients alter column client_id set (n_distinct = 10);

-- Row-level security: those about a client or an employee of whom the caller has been found, in the same transaction,
-- to see what others did, which is what annals.looked_at and annals.looking say.
create policy visible on access_log for select to public using (
    employee_id = (select nullif(current_setting('annals.looking', true), '')::uuid)
    or (select nullif(current_setting('annals.looked_at', true), '')::uuid) = any(clients));
create policy visible on access_log_clients for select to public using (
    client_id = (select nullif(current_setting('annals.looked_at', true), '')::uuid));
