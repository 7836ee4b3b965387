-- What a user has done in all.
-- Key: user_id.
with totals as (
    select
        user_id,
        sum(num_purchases) as total_purchases,
        sum(cast(total_spent as decimal(38, 4))) as total_spent,
        sum(num_views) as views,
        sum(num_clicks) as clicks,
        sum(num_carts) as carts,
        sum(num_removes) as removes
    from interactions
    group by user_id
),

final as (
    select
        user_id,
        cast(total_purchases as bigint) as total_purchases,
        cast(total_spent as double) as total_spent,
        case
            when total_purchases > 0 then cast(total_spent as double) / total_purchases else 0
        end as avg_spent,
        cast(views as bigint) as views,
        cast(clicks as bigint) as clicks,
        cast(carts as bigint) as carts,
        cast(removes as bigint) as removes
    from totals
)

select * from final
order by user_id
