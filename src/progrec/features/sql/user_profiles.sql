-- How a user goes about the shop: means over the sessions, and the last one.
-- Doubles are summed as decimals, whose sum is the same in any order.
with totals as (
    select
        user_id,
        count(*) as total_sessions,
        sum(num_clicks) as clicks,
        sum(num_views) as views,
        sum(cast(session_length as decimal(28, 6))) as length,
        sum(cast(avg_time_gap as decimal(28, 12))) as gap,
        sum(cast(avg_purchase_amount as decimal(28, 12))) as amount,
        count(avg_purchase_amount) as sessions_with_amount,
        max(past_purchases) as max_past_purchases,
        max_by(num_clicks, session_id) as last_session_clicks,
        max_by(num_views, session_id) as last_session_views,
        max_by(session_length, session_id) as last_session_length,
        max_by(last_event, session_id) as last_session_event
    from sessions
    group by user_id
)

select
    user_id,
    total_sessions,
    cast(clicks as double) / total_sessions as avg_clicks_per_session,
    cast(views as double) / total_sessions as avg_views_per_session,
    cast(length as double) / total_sessions as avg_session_length,
    cast(gap as double) / total_sessions as avg_time_gap,
    case
        when sessions_with_amount > 0 then cast(amount as double) / sessions_with_amount
    end as avg_purchase_amount,
    max_past_purchases,
    last_session_clicks,
    last_session_views,
    last_session_length,
    last_session_event
from totals
order by user_id
