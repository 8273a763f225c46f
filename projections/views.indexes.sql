create index if not exists views_owner on views (owner_id);
create index if not exists views_desk on views (desk_id) where desk_id is not null;
create index if not exists views_project on views (project_id) where project_id is not null;
create index if not exists views_shared on views (shared);
create index if not exists default_views_view on default_views (view_id);
