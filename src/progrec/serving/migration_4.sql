-- Version 3 -> 4: what every visit and event would have to write to is no more.

drop index journal_of_user;

create index import_of_user on journal (user_id) where kind = 'imported';
