-- What is counted of all clients at once where it would be counted once for each, and from then on by each.
insert into client_times select id, updated_at, project_id, desk_id, manager_id from clients;
insert into client_counts
    select coalesce(project_id, none.id), coalesce(desk_id, none.id), coalesce(manager_id, none.id), status, deactivated_at is null, count(*)
    from clients, (values ('00000000-0000-0000-0000-000000000000'::uuid)) none (id) group by 1, 2, 3, 4, 5
    union all select coalesce(project_id, none.id), coalesce(desk_id, none.id), case when desk_id is null then coalesce(manager_id, none.id) else none.id end, '*', true, count(*)
    from clients, (values ('00000000-0000-0000-0000-000000000000'::uuid)) none (id) group by 1, 2, 3;
insert into client_words
    select word, count(*) from clients, unnest(string_to_array(btrim(search, ' '), ' ')) word where word >= ':' and length(word) <= 32 group by word;
create trigger count_clients after insert on clients referencing new table as added for each statement execute function count_clients();
create trigger time_new_clients after insert on clients referencing new table as became for each statement execute function time_clients();
create trigger time_clients after update on clients referencing new table as became for each statement execute function time_clients();
create or replace trigger update_clients after update on clients referencing old table as was new table as became for each statement execute function update_clients();
