create index if not exists activities_feed on activities (client_id, at, id);
create index if not exists activities_kind on activities (client_id, kind, at, id);
create index if not exists activities_pinned on activities (client_id, at, id) where pinned;
create index if not exists activities_assigned on activities (assignee_id, open, due_at, id) where kind = 'action';
