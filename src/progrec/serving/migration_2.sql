-- Version 1 -> 2: refunds, the journal and merges. The journal begins with the queues as they stand.

alter table purchases add column refunded_at text;

create table journal (
    seq integer primary key,
    user_id text not null,
    kind text not null,
    what text,
    amount real,
    room integer
) strict;

create index journal_of_user on journal (user_id);

create table merges (
    session text primary key not null,
    user_id text not null,
    merged_at text not null
) strict, without rowid;

insert into journal (user_id, kind, what)
select user_id, 'joined', product_queue from recommendation_queue order by user_id;
