-- What a user did with an item on one day.
-- Key: date, user_id, item_id.
with daily as (
    select
        cast(event_time as date) as date,
        user_id,
        product_id as item_id,
        count(case when event_type = 'view' then 1 end) as num_views,
        count(case when event_type = 'click' then 1 end) as num_clicks,
        count(case when event_type = 'cart' then 1 end) as num_carts,
        count(case when event_type = 'remove_from_cart' then 1 end) as num_removes,
        count(case when event_type = 'purchase' then 1 end) as num_purchases,
        -- Decimals add up to the same sum in any order; floats do not.
        sum(case when event_type = 'purchase' then cast(price as decimal(18, 4)) end) as spent
    from events
    group by cast(event_time as date), user_id, product_id
),

final as (
    select
        date,
        user_id,
        item_id,
        num_views,
        num_clicks,
        num_carts,
        num_removes,
        num_purchases,
        cast(coalesce(spent, 0) as double) as total_spent
    from daily
)

select * from final
order by date, user_id, item_id
