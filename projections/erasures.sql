-- Clients under a legal hold.
create table holds (
    client_id uuid primary key,
    at        timestamptz not null,
    actor_id  uuid not null,
    reason    text not null
);

-- Certificates of erasure: one row a client who has been erased.
create table erasures (
    client_id        uuid primary key,
    at               timestamptz not null,
    actor_id         uuid not null,
    event_id         uuid not null,
    position         bigint not null, -- of client.erased
    basis            text not null,
    reason           text not null,
    requested_by     text not null,
    key_position     bigint,          -- of the destruction of the key
    key_destroyed_at timestamptz,
    done_position    bigint,          -- of erasure.carried_out
    done_at          timestamptz,
    done             jsonb,           -- what it tells
    clean_position   bigint,          -- of erasure.cleaned
    cleaned_at       timestamptz,
    cleaning         jsonb            -- what it tells
) with (fillfactor = 50);

-- Shown to who has been found to see the client in the same transaction, which is what annals.client says.
create policy visible on holds for select to public using (
    client_id = (select nullif(current_setting('annals.client', true), '')::uuid));

-- Likewise, and all of them to who sees all clients and what everybody did.
create policy visible on erasures for select to public using (
    case
        when client_id = (select nullif(current_setting('annals.client', true), '')::uuid) then true
        else (select current_setting('annals.audit', true) = 'all' and current_setting('annals.clients', true) = 'all') end);
