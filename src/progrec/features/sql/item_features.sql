-- What has happened to an item in all, and what it is.
-- Key: item_id.
with totals as (
    select
        item_id,
        sum(num_purchases) as total_sales,
        sum(cast(total_spent as decimal(38, 4))) as revenue,
        sum(num_views) as views,
        sum(num_carts) as carts
    from interactions
    group by item_id
),

-- The log's last word on each attribute: a shop renames brands and moves products.
-- Of two words at one moment the greater stands, so that the answer does not depend on the reader.
attributes as (
    select
        product_id as item_id,
        avg(cast(price as decimal(18, 4))) as avg_price,
        arg_max(category_code, struct_pack(at := event_time, word := category_code))
            filter (where category_code is not null) as category_code,
        arg_max(category_id, struct_pack(at := event_time, word := category_id))
            filter (where category_id is not null) as category_id,
        arg_max(brand, struct_pack(at := event_time, word := brand))
            filter (where brand is not null) as brand
    from events
    group by product_id
),

final as (
    select
        totals.item_id,
        cast(totals.total_sales as bigint) as total_sales,
        cast(totals.revenue as double) as revenue,
        attributes.avg_price,
        cast(totals.views as bigint) as views,
        cast(totals.carts as bigint) as carts,
        case when totals.carts > 0 then totals.total_sales / totals.carts end
            as cart_to_purchase_rate,
        coalesce(
            catalogue.category_code, attributes.category_code,
            catalogue.category_id, attributes.category_id
        ) as category,
        coalesce(catalogue.brand, attributes.brand) as brand
    from totals
    inner join attributes on totals.item_id = attributes.item_id
    left join catalogue on totals.item_id = catalogue.product_id
)

select * from final
order by item_id
