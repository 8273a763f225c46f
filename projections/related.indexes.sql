create index if not exists records_added on records (client_id, kind, added_at, id);
create index if not exists records_occurred on records (client_id, kind, occurred_at, id);
create index if not exists records_due on records (client_id, kind, due_at, id);
create index if not exists records_status on records (client_id, kind, status, added_at, id);
create index if not exists records_system on records (client_id, kind, system, added_at, id);
