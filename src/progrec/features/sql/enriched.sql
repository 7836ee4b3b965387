-- Every event with what its user had bought before: strictly before, so that a purchase does not
-- foretell itself, nor what was done at the same moment.
-- `events` are the next ones of the stream, `spending` is what went before them.
with buyers as (
    select user_id, min(event_time) as first_time
    from events
    where event_type = 'purchase'
    group by user_id
),

-- Only who buys among these events needs more than the state: the rest pass without a sort.
bought as (
    select
        events.position,
        count(case when events.event_type = 'purchase' then 1 end) over earlier as purchases,
        count(case when events.event_type = 'purchase' then events.price end) over earlier
            as priced,
        sum(
            case when events.event_type = 'purchase' then cast(events.price as decimal(18, 6)) end
        ) over earlier as spent
    from events
    inner join buyers
        on events.user_id = buyers.user_id and events.event_time >= buyers.first_time
    window earlier as (
        partition by events.user_id order by events.event_time
        range between unbounded preceding and interval '1' microsecond preceding
    )
),

-- What was bought at the very time of the event does not count, wherever the stream was cut.
known as (
    select
        events.*,
        coalesce(bought.purchases, 0) + coalesce(spending.purchases, 0)
            - case
                when events.event_time = spending.last_time then spending.last_purchases else 0
            end as purchases,
        coalesce(bought.priced, 0) + coalesce(spending.priced, 0)
            - case when events.event_time = spending.last_time then spending.last_priced else 0 end
            as priced,
        coalesce(bought.spent, 0) + coalesce(spending.spent, 0)
            - case when events.event_time = spending.last_time then spending.last_spent else 0 end
            as spent
    from events
    left join spending on events.user_id = spending.user_id
    left join bought on events.position = bought.position
)

select
    event_time,
    event_type,
    user_id,
    product_id as item_id,
    price,
    source,
    case when priced > 0 then cast(spent as double) / priced end as avg_purchase_amount,
    purchases as past_purchases
from known
order by position
