create index if not exists clients_created on clients (project_id, created_at, id);
create index if not exists clients_name on clients (project_id, name_key collate "C", id);
create index if not exists clients_search on clients using gin (search gin_trgm_ops);
create index if not exists clients_tags on clients using gin (tags);
