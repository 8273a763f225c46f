create index if not exists history_position on history (position);
create index if not exists history_client on history (client_id, position) where client_id is not null;
create index if not exists history_type on history (type, position);
create index if not exists history_actor on history (actor_id, position);
create index if not exists history_actor_type on history (actor_id, type, position);
create index if not exists history_project on history (project_id, position) where project_id is not null;
create index if not exists history_project_type on history (project_id, type, position) where project_id is not null;
create index if not exists history_project_actor on history (project_id, actor_id, type, position) where project_id is not null;
