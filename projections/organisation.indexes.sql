create index if not exists desks_project on desks (project_id);
create index if not exists employee_projects_project on employee_projects (project_id, employee_id);
create index if not exists employee_desks_desk on employee_desks (desk_id, employee_id);
create index if not exists roles_ref on roles (ref);
create index if not exists api_keys_owner on api_keys (owner_id);
create index if not exists employees_handle on employees (handle) where deactivated_at is null;
