create index if not exists history_position on history (position);
create index if not exists history_client on history (client_id, position) where client_id is not null;
