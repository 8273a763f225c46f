-- What other systems have about a client: one row a ticket, transaction or integration that is there.
create table records (
    id          uuid primary key,
    client_id   uuid not null,
    kind        text not null,
    system      text not null,
    external_id text not null,
    title       text not null,
    url         text not null,
    status      text not null,
    amount      numeric, -- with all decimals of its currency
    currency    text not null,
    occurred_at timestamptz,
    due_at      timestamptz,
    closed_at   timestamptz,
    data        jsonb not null,
    added_at    timestamptz not null,
    updated_at  timestamptz not null,
    actor_id    uuid not null, -- who told it last
    revision    bigint not null,
    erased      boolean not null default false
) with (fillfactor = 90);

-- A plan is made once and for all clients, and has to hold for the one with most: read off an index in its
-- order, where those of few rows would be as quick to fetch and sort. So this is how many clients there are
-- taken to be.
alter table records alter column client_id set (n_distinct = 10);

-- What the records of a client come to, which nobody has to wait for: a hundred thousand of them are a
-- row or two here. Kept by triggers, a statement at a time, so that they follow from the rows of records
-- and from nothing else, however these came to be as they are.
create table record_totals (
    client_id uuid not null,
    kind      text not null,
    currency  text not null,
    decimals  int not null, -- of each amount, and so of their sum, whatever was added and taken off meanwhile
    count     bigint not null,
    amount    numeric not null,
    primary key (client_id, kind, currency, decimals)
);

create table record_statuses (
    client_id uuid not null,
    kind      text not null,
    status    text not null,
    count     bigint not null,
    primary key (client_id, kind, status)
);

create function tally() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        update record_totals t set count = t.count - g.count, amount = t.amount - g.amount
            from (select client_id, kind, currency, scale(amount) as decimals, count(*) as count, sum(amount) as amount
                from gone where amount is not null group by 1, 2, 3, 4) g
            where (t.client_id, t.kind, t.currency, t.decimals) = (g.client_id, g.kind, g.currency, g.decimals);
        update record_statuses t set count = t.count - g.count
            from (select client_id, kind, status, count(*) as count from gone group by 1, 2, 3) g
            where (t.client_id, t.kind, t.status) = (g.client_id, g.kind, g.status);
    end if;
    if tg_op <> 'DELETE' then
        insert into record_totals as t (client_id, kind, currency, decimals, count, amount)
            select client_id, kind, currency, scale(amount), count(*), sum(amount) from come where amount is not null group by 1, 2, 3, 4
            on conflict (client_id, kind, currency, decimals) do update set count = t.count + excluded.count, amount = t.amount + excluded.amount;
        insert into record_statuses as t (client_id, kind, status, count)
            select client_id, kind, status, count(*) from come group by 1, 2, 3
            on conflict (client_id, kind, status) do update set count = t.count + excluded.count;
    end if;
    if tg_op <> 'INSERT' then
        delete from record_totals t using (select distinct client_id from gone) g where t.client_id = g.client_id and t.count = 0;
        delete from record_statuses t using (select distinct client_id from gone) g where t.client_id = g.client_id and t.count = 0;
    end if;
    return null;
end $$;

create trigger come after insert on records referencing new table as come for each statement execute function tally();
create trigger gone after delete on records referencing old table as gone for each statement execute function tally();
create trigger changed after update on records referencing old table as gone new table as come for each statement execute function tally();

-- Shown to who has been found to see the client in the same transaction, which is what annals.client says.
create policy visible on records for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));
create policy visible on record_totals for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));
create policy visible on record_statuses for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));
