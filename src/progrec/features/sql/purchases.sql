-- What was bought: one row a purchase, of the log or of a batch.
select
    user_id,
    product_id as item_id,
    price as purchase_amount,
    event_time as purchase_date
from events
where event_type = 'purchase'
order by event_time, position
