-- What the users who buy among `events` have bought by the end of them: the state that enrichment
-- carries on. The purchases at a user's last moment are told apart, for the stream may be cut
-- within a moment.
with bought as (
    select
        user_id,
        event_time as time,
        1 as purchases,
        case when price is not null then 1 else 0 end as priced,
        coalesce(cast(price as decimal(18, 6)), 0) as spent
    from events
    where event_type = 'purchase'
),

-- Of those who have not bought since, the state stays as it is.
before as (
    select * from spending
    where user_id in (select user_id from bought)
),

parts as (
    select user_id, time, purchases, priced, spent
    from bought
    union all
    select user_id, last_time, last_purchases, last_priced, last_spent
    from before
    union all
    select
        user_id,
        cast(null as timestamp),
        purchases - last_purchases,
        priced - last_priced,
        spent - last_spent
    from before
),

latest as (
    select user_id, max(time) as last_time
    from parts
    group by user_id
)

select
    parts.user_id,
    latest.last_time,
    cast(sum(parts.purchases) as bigint) as purchases,
    cast(sum(parts.priced) as bigint) as priced,
    cast(sum(parts.spent) as decimal(38, 6)) as spent,
    cast(sum(case when parts.time = latest.last_time then parts.purchases else 0 end) as bigint)
        as last_purchases,
    cast(sum(case when parts.time = latest.last_time then parts.priced else 0 end) as bigint)
        as last_priced,
    cast(sum(case when parts.time = latest.last_time then parts.spent else 0 end) as decimal(38, 6))
        as last_spent
from parts
inner join latest on parts.user_id = latest.user_id
group by parts.user_id, latest.last_time
