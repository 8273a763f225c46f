create index if not exists activities_feed on activities (client_id, at, id);
create index if not exists activities_kind on activities (client_id, kind, at, id);
create index if not exists activities_pinned on activities (client_id, at, id) where pinned;
