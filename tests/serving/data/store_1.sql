-- The shoppers' live state. Its rules are triggers, so that no writer can break them.

create table recommendation_queue (
    user_id text primary key not null,
    product_queue text not null     -- {"pool": [[product_id, counter, score], ...]}
) strict;

create table purchases (
    user_id text not null,
    product_id text not null,
    purchased_at text not null,     -- UTC; of the purchase that was recorded first
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

-- What is wrong with each queue. The triggers below see to it that nothing ever is.
create view queue_fault as
select user_id, case
    when not json_valid(product_queue) then 'shape'
    -- Two keys of one name would let SQLite and Python read different pools.
    when (select count(*) from json_each(product_queue)) <> 1 then 'shape'
    when json_type(product_queue, '$.pool') is not 'array' then 'shape'
    -- A product has one spelling: the only escapes are \\ and \".
    when instr(replace(replace(product_queue, '\\', ''), '\"', ''), '\') then 'shape'
    when (
        select count(*) <> 1 + 4 * json_array_length(product_queue, '$.pool') or max(case path
            when '$' then false
            when '$.pool' then type <> 'array'
            else case key
                when 0 then type <> 'text' or atom = ''
                when 1 then type <> 'integer' or typeof(atom) <> 'integer' or atom < 0
                when 2 then type not in ('integer', 'real') or abs(atom) = 9e999
                else true
            end
        end)
        from json_tree(product_queue, '$.pool')
    ) then 'shape'
    when (
        select count(distinct json_extract(value, '$[0]')) <> count(*)
        from json_each(product_queue, '$.pool')
    ) then 'twice'
    when exists (
        select 1 from json_each(product_queue, '$.pool') as entry cross join purchases
        where purchases.user_id = recommendation_queue.user_id
            and purchases.product_id = json_extract(entry.value, '$[0]')
    ) then 'purchased'
end as fault
from recommendation_queue;

-- The queues without what their users have purchased.
create view clean_queue as
select user_id, json_object('pool', json((
    select json_group_array(json(value)) from (
        select value from json_each(product_queue, '$.pool')
        where not exists (
            select 1 from purchases
            where purchases.user_id = recommendation_queue.user_id
                and purchases.product_id = json_extract(value, '$[0]')
        )
        order by key
    )
))) as product_queue
from recommendation_queue;

create trigger queue_inserted after insert on recommendation_queue begin
    select case fault
        when 'shape' then raise(abort, 'product_queue is not {"pool": [[product_id, counter, score], ...]}')
        when 'twice' then raise(abort, 'product_queue holds a product twice')
        when 'purchased' then raise(abort, 'product_queue holds a product that the user has purchased')
    end from queue_fault where user_id = new.user_id;
end;

create trigger queue_updated after update on recommendation_queue begin
    select case fault
        when 'shape' then raise(abort, 'product_queue is not {"pool": [[product_id, counter, score], ...]}')
        when 'twice' then raise(abort, 'product_queue holds a product twice')
        when 'purchased' then raise(abort, 'product_queue holds a product that the user has purchased')
    end from queue_fault where user_id = new.user_id;
end;

create trigger purchase_inserted after insert on purchases begin
    update recommendation_queue
    set product_queue = (select product_queue from clean_queue where user_id = new.user_id)
    where user_id = new.user_id and exists (
        select 1 from queue_fault where user_id = new.user_id and fault = 'purchased'
    );
end;

create trigger purchase_updated after update on purchases begin
    update recommendation_queue
    set product_queue = (select product_queue from clean_queue where user_id = new.user_id)
    where user_id = new.user_id and exists (
        select 1 from queue_fault where user_id = new.user_id and fault = 'purchased'
    );
end;

create trigger purchase_event after insert on events when new.event_type = 'purchase' begin
    insert into purchases (user_id, product_id, purchased_at)
    values (new.user_id, new.product_id, new.event_time)
    on conflict do nothing;
end;
