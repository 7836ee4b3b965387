-- The shoppers' live state, version 4. Its rules are triggers.sql.

create table recommendation_queue (
    user_id text primary key not null,
    product_queue text not null     -- {"pool": [[product_id, counter, score], ...]}
) strict;

create table purchases (
    user_id text not null,
    product_id text not null,
    purchased_at text not null,     -- UTC; of the purchase that was recorded first
    refunded_at text,               -- UTC; set, until it is bought again: the product may be queued
    primary key (user_id, product_id)
) strict, without rowid;

create table events (
    event_id text primary key not null,
    event_time text not null,       -- UTC
    event_type text not null,
    user_id text not null,
    product_id text not null,
    user_session text,
    price real,
    category_id text,
    category_code text,
    brand text,
    received_at text not null       -- UTC
) strict;

create index events_of_user on events (user_id, product_id);

-- What has changed the queues, in the order in which it did; journal.py says what each kind means.
create table journal (
    seq integer primary key,
    user_id text not null,
    kind text not null,
    what text,
    amount real,
    room integer
) strict;

create index import_of_user on journal (user_id) where kind = 'imported';

-- Which anonymous shoppers have logged in, and as whom.
create table merges (
    session text primary key not null,
    user_id text not null,
    merged_at text not null         -- UTC
) strict, without rowid;
