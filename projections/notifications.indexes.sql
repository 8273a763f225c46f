create index if not exists notifications_inbox on notifications (employee_id, position desc);
create index if not exists notifications_unread on notifications (employee_id, position desc) where read_at is null;
