create index if not exists access_log_employee on access_log (employee_id, at, id);
