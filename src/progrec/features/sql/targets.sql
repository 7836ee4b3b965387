-- Who bought what within the target window: what a recommender should have foreseen.
-- Key: user_id, item_id.
with bought as (
    select distinct
        interactions.user_id,
        interactions.item_id
    from interactions
    cross join target_window
    where interactions.num_purchases > 0
        and interactions.date >= target_window.first_day
        and interactions.date <= target_window.last_day
),

final as (
    select user_id, item_id from bought
)

select * from final
order by user_id, item_id
