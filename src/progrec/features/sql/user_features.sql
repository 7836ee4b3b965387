-- What a user has done and spent in all.
with counted as (
    select
        user_id,
        count(case when event_type = 'purchase' then 1 end) as purchases,
        count(case when event_type = 'purchase' then price end) as priced,
        sum(case when event_type = 'purchase' then cast(price as decimal(18, 6)) end) as spent,
        count(case when event_type = 'view' then 1 end) as views,
        count(case when event_type = 'click' then 1 end) as clicks,
        count(case when event_type = 'cart' then 1 end) as carts,
        count(case when event_type = 'remove_from_cart' then 1 end) as removes
    from enriched
    group by user_id
),

totals as (
    select
        counted.user_id,
        counted.purchases + coalesce(earlier.total_purchases, 0) as total_purchases,
        counted.priced + coalesce(earlier.priced_purchases, 0) as priced_purchases,
        cast(
            coalesce(counted.spent, 0) + coalesce(cast(earlier.total_spent as decimal(28, 6)), 0)
            as double
        ) as total_spent,
        counted.views + coalesce(earlier.views, 0) as views,
        counted.clicks + coalesce(earlier.clicks, 0) as clicks,
        counted.carts + coalesce(earlier.carts, 0) as carts,
        counted.removes + coalesce(earlier.removes, 0) as removes
    from counted
    left join earlier_user_features as earlier on counted.user_id = earlier.user_id
)

-- A purchase without an amount counts, and has no part in the average.
select
    user_id,
    total_purchases,
    total_spent,
    coalesce(total_spent / nullif(priced_purchases, 0), 0) as avg_spent,
    views,
    clicks,
    carts,
    removes,
    priced_purchases
from totals
order by user_id
