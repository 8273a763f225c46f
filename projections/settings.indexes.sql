create index if not exists tag_names_folded on tag_names (name_key, project_id);
create index if not exists tag_names_tag on tag_names (tag_id);
create index if not exists tag_names_label on tag_names (label_key);
