-- Who bought what within the target window: what a recommender should have foreseen.
select distinct
    purchases.user_id,
    purchases.item_id
from purchases
cross join target_window
where purchases.purchase_date >= target_window.first_day
    and purchases.purchase_date < target_window.end_day
order by user_id, item_id
