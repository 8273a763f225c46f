create index if not exists employee_periods_time on employee_periods (valid_to, valid_from);
