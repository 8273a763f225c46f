-- What takes longest first: two are built at a time.
create index if not exists clients_search on clients using gin (search gin_trgm_ops);
create index if not exists clients_tags on clients using gin (tags);
-- The arms of the list of clients (package readapi) in the order of its usual sorts, with all that policies ask
-- for, so that who may see a row is known before the row is fetched.
create index if not exists clients_created on clients (created_at, id) include (project_id, desk_id, manager_id);
create index if not exists clients_project_created on clients (project_id, created_at, id) include (desk_id, manager_id);
create index if not exists clients_desk_created on clients (desk_id, created_at, id) include (project_id, manager_id);
create index if not exists clients_manager_created on clients (manager_id, created_at, id) include (project_id, desk_id);
create index if not exists clients_name on clients (name_key, id) include (project_id, desk_id, manager_id);
create index if not exists clients_project_name on clients (project_id, name_key, id) include (desk_id, manager_id);
create index if not exists clients_desk_name on clients (desk_id, name_key, id) include (project_id, manager_id);
create index if not exists clients_manager_name on clients (manager_id, name_key, id) include (project_id, desk_id);
create index if not exists client_times_updated on client_times (updated_at, client_id) include (project_id, desk_id, manager_id);
create index if not exists client_counts_all on client_counts (project_id) where status = '*';
create index if not exists client_words_beginning on client_words (length(word), word);
create index if not exists client_words_end on client_words (length(word), reverse(word) collate "C");
create index if not exists client_contacts_client on client_contacts (client_id, at);
create index if not exists client_values_same on client_values (key, value);
