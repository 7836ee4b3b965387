-- How an item sells, and what it is.
with counted as (
    select
        item_id,
        count(case when event_type = 'purchase' then 1 end) as sales,
        count(case when event_type = 'purchase' then price end) as priced,
        sum(case when event_type = 'purchase' then cast(price as decimal(18, 6)) end) as revenue,
        count(case when event_type = 'view' then 1 end) as views,
        count(case when event_type = 'cart' then 1 end) as carts
    from enriched
    group by item_id
),

-- The log's last word on each attribute: a shop renames brands and moves products. Of two words
-- at one moment the greater stands, so that the answer does not depend on the reader.
words as (
    select product_id as item_id, category_id, category_code, brand, max(event_time) as said
    from events
    group by product_id, category_id, category_code, brand
),

ranked as (
    select
        item_id,
        category_id,
        category_code,
        brand,
        row_number() over (
            partition by item_id order by category_id is null, said desc, category_id desc
        ) as category_id_rank,
        row_number() over (
            partition by item_id order by category_code is null, said desc, category_code desc
        ) as category_code_rank,
        row_number() over (
            partition by item_id order by brand is null, said desc, brand desc
        ) as brand_rank
    from words
),

attributes as (
    select
        item_id,
        max(case when category_id_rank = 1 then category_id end) as category_id,
        max(case when category_code_rank = 1 then category_code end) as category_code,
        max(case when brand_rank = 1 then brand end) as brand
    from ranked
    group by item_id
),

totals as (
    select
        counted.item_id,
        counted.sales + coalesce(earlier.total_sales, 0) as total_sales,
        counted.priced + coalesce(earlier.priced_sales, 0) as priced_sales,
        cast(
            coalesce(counted.revenue, 0) + coalesce(cast(earlier.revenue as decimal(28, 6)), 0)
            as double
        ) as revenue,
        counted.views + coalesce(earlier.views, 0) as views,
        counted.carts + coalesce(earlier.carts, 0) as carts,
        coalesce(
            catalogue.category_code, attributes.category_code, earlier.category_code
        ) as category_code,
        coalesce(
            catalogue.category_id, attributes.category_id, earlier.category
        ) as category_id,
        coalesce(catalogue.brand, attributes.brand, earlier.brand) as brand
    from counted
    inner join attributes on counted.item_id = attributes.item_id
    left join catalogue on counted.item_id = catalogue.product_id
    left join earlier_item_features as earlier on counted.item_id = earlier.item_id
)

-- A purchase without an amount counts, and has no part in the average.
select
    item_id,
    total_sales,
    revenue,
    revenue / nullif(priced_sales, 0) as avg_price,
    views,
    carts,
    cast(total_sales as double) / nullif(carts, 0) as cart_to_purchase_rate,
    coalesce(category_code, category_id) as category,
    brand,
    category_code,
    priced_sales
from totals
order by item_id
