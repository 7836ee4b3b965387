-- The rules of the shoppers' state, so that no writer can break them.

-- What is wrong with each queue. The triggers below see to it that nothing ever is.
-- What counts here is that each product can be recognized: it is the first part of an entry, a text
-- in the one spelling that there is of it. Counters and scores are checked by whoever reads them.
create view queue_fault as
select user_id, case
    when not json_valid(product_queue) then 'shape'
    when not (
        -- Quick, and true of what the service writes: all n entries are arrays, and by the number of
        -- quotes, brackets and commas each is ["...",_,_]. Any other form is looked at part by part.
        select product_queue glob '{"pool":[[][[]"*'
            and instr(product_queue, '[""') = 0 and instr(product_queue, '\') = 0
            and arrays = n
            and length(replace(product_queue, '"', '')) = length(product_queue) - 2 - 2 * n
            and length(replace(product_queue, '["', '')) = length(product_queue) - 2 * n
            and length(replace(product_queue, '[', '')) = length(product_queue) - 1 - n
            and length(replace(product_queue, ',', '')) = length(product_queue) + 1 - 3 * n
        from (
            select count(*) as n, count(*) filter (where type = 'array') as arrays
            from json_each(product_queue, '$.pool')
        )
    ) and (
        -- Two keys of one name would let SQLite and Python read different pools.
        (select count(*) from json_each(product_queue)) <> 1
        or json_type(product_queue, '$.pool') is not 'array'
        -- A product has one spelling: the only escapes are \\ and \".
        or instr(replace(replace(product_queue, '\\', ''), '\"', ''), '\')
        or exists (
            select 1 from json_each(product_queue, '$.pool') as entry
            where entry.type <> 'array'
                or json_array_length(entry.value) <> 3
                or json_type(entry.value, '$[0]') <> 'text'
                or json_extract(entry.value, '$[0]') = ''
        )
    ) then 'shape'
    -- Most shoppers have purchased nothing, and one look at the index says so.
    when exists (
        select 1 from purchases
        where purchases.user_id = recommendation_queue.user_id and refunded_at is null
    ) and exists (
        select 1 from json_tree(product_queue, '$.pool') as part cross join purchases
        where part.type = 'text'
            and purchases.user_id = recommendation_queue.user_id
            and purchases.product_id = part.atom
            and refunded_at is null
    ) then 'purchased'
end as fault
from recommendation_queue;

create trigger queue_inserted after insert on recommendation_queue begin
    select case fault
        when 'shape' then raise(abort, 'product_queue is not {"pool": [[product_id, counter, score], ...]}')
        when 'purchased' then raise(abort, 'product_queue holds a product that the user has purchased')
    end from queue_fault where user_id = new.user_id;
end;

create trigger queue_updated after update on recommendation_queue begin
    select case fault
        when 'shape' then raise(abort, 'product_queue is not {"pool": [[product_id, counter, score], ...]}')
        when 'purchased' then raise(abort, 'product_queue holds a product that the user has purchased')
    end from queue_fault where user_id = new.user_id;
end;

-- The queues that hold a product that their users have purchased, and what is left without it.
-- The first condition is quick; it lets in some that do not hold the product, and all that do.
create view bought as
select user_id, product_id, json_object('pool', json((
    select json_group_array(json(value)) from (
        select value from json_each(product_queue, '$.pool')
        where json_extract(value, '$[0]') <> product_id
        order by key
    )
))) as rest
from recommendation_queue join purchases using (user_id)
where instr(product_queue, json_quote(product_id)) and refunded_at is null;

create trigger purchase_inserted after insert on purchases when new.refunded_at is null begin
    insert into journal (user_id, kind, what)
    select user_id, 'bought', product_id from bought
    where user_id = new.user_id and product_id = new.product_id;
    update recommendation_queue set product_queue = rest from bought
    where recommendation_queue.user_id = new.user_id
        and bought.user_id = new.user_id and product_id = new.product_id;
end;

create trigger purchase_updated after update on purchases when new.refunded_at is null begin
    insert into journal (user_id, kind, what)
    select user_id, 'bought', product_id from bought
    where user_id = new.user_id and product_id = new.product_id;
    update recommendation_queue set product_queue = rest from bought
    where recommendation_queue.user_id = new.user_id
        and bought.user_id = new.user_id and product_id = new.product_id;
end;

create trigger purchase_deleted before delete on purchases when exists (
    select 1 from events
    where user_id = old.user_id and product_id = old.product_id and event_type = 'purchase'
) begin
    select raise(abort, 'the event of this purchase is kept');
end;

-- A key that is changed leaves its purchase behind, and may take the place of another.
create trigger purchase_moved before update of user_id, product_id on purchases
when (new.user_id, new.product_id) <> (old.user_id, old.product_id) and (
    exists (
        select 1 from events
        where user_id = old.user_id and product_id = old.product_id and event_type = 'purchase'
    )
    or old.refunded_at is not null
) begin
    select raise(abort, 'the event of this purchase is kept, or it was refunded');
end;

create trigger purchase_event after insert on events when new.event_type = 'purchase' begin
    update purchases set refunded_at = null
    where user_id = new.user_id and product_id = new.product_id and refunded_at is not null;
    insert into purchases (user_id, product_id, purchased_at)
    values (new.user_id, new.product_id, new.event_time)
    on conflict do nothing;
end;

create trigger purchase_event_updated after update of event_type, user_id, product_id on events
when new.event_type = 'purchase' begin
    insert into purchases (user_id, product_id, purchased_at)
    values (new.user_id, new.product_id, new.event_time)
    on conflict do nothing;
end;
