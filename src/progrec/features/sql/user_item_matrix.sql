-- What a user has done with an item in all, and how much that speaks for it.
with counted as (
    select
        user_id,
        item_id,
        count(case when event_type = 'purchase' then 1 end) as purchase_count,
        sum(case when event_type = 'purchase' then cast(price as decimal(18, 6)) end) as spent,
        count(case when event_type = 'click' then 1 end) as num_clicks,
        count(case when event_type = 'view' then 1 end) as num_views,
        count(case when event_type = 'cart' then 1 end) as num_carts,
        count(case when event_type = 'remove_from_cart' then 1 end) as num_removes
    from enriched
    group by user_id, item_id
),

totals as (
    select
        counted.user_id,
        counted.item_id,
        counted.purchase_count + coalesce(earlier.purchase_count, 0) as purchase_count,
        cast(
            coalesce(counted.spent, 0) + coalesce(cast(earlier.total_spent as decimal(28, 6)), 0)
            as double
        ) as total_spent,
        counted.num_clicks + coalesce(earlier.num_clicks, 0) as num_clicks,
        counted.num_views + coalesce(earlier.num_views, 0) as num_views,
        counted.num_carts + coalesce(earlier.num_carts, 0) as num_carts,
        counted.num_removes + coalesce(earlier.num_removes, 0) as num_removes
    from counted
    left join earlier_user_item_matrix as earlier
        on counted.user_id = earlier.user_id and counted.item_id = earlier.item_id
)

select
    totals.*,
    weights.purchase * totals.purchase_count
        + weights.click * totals.num_clicks
        + weights.view * totals.num_views
        + weights.cart * totals.num_carts
        + weights.remove_from_cart * totals.num_removes as interaction_score
from totals
cross join weights
order by user_id, item_id
