create index if not exists history_position on history (position);
