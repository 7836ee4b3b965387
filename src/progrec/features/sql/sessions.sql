-- What a user did without a pause longer than the gap.
-- A user's last session before these events is the first slot: it may go on.
with last_sessions as (
    select user_id, max(session_id) as session_id
    from earlier_sessions
    group by user_id
),

-- Events of one slot, which is as long as the gap, cannot be further apart than the gap: they are
-- of one session, and a session is put together of few slots instead of many events.
slots as (
    select
        enriched.user_id,
        cast(null as bigint) as session_id,
        min(enriched.event_time) as first_time,
        date_diff('microsecond', timestamp '1970-01-01', max(enriched.event_time)) as last_us,
        count(case when enriched.event_type = 'click' then 1 end) as num_clicks,
        count(case when enriched.event_type = 'view' then 1 end) as num_views,
        count(case when enriched.event_type = 'cart' then 1 end) as num_carts,
        count(case when enriched.event_type = 'remove_from_cart' then 1 end) as num_removes,
        count(case when enriched.event_type = 'purchase' then 1 end) as num_purchases,
        max_by(enriched.event_type, enriched.position) as last_event,
        max_by(enriched.avg_purchase_amount, enriched.position) as avg_purchase_amount,
        max_by(enriched.past_purchases, enriched.position) as past_purchases
    from enriched
    cross join session
    group by
        enriched.user_id,
        floor(
            date_diff('second', timestamp '1970-01-01', enriched.event_time)
            / (60 * session.gap_minutes)
        )
    union all
    select
        earlier_sessions.user_id,
        earlier_sessions.session_id,
        session_start,
        date_diff('microsecond', timestamp '1970-01-01', session_start)
            + cast(round(session_length * 1000000) as bigint),
        num_clicks,
        num_views,
        num_carts,
        num_removes,
        num_purchases,
        last_event,
        avg_purchase_amount,
        past_purchases
    from earlier_sessions
    inner join last_sessions
        on earlier_sessions.user_id = last_sessions.user_id
        and earlier_sessions.session_id = last_sessions.session_id
),

pauses as (
    select
        *,
        date_diff('microsecond', timestamp '1970-01-01', first_time)
            - lag(last_us) over (partition by user_id order by first_time) as pause
    from slots
),

steps as (
    select
        pauses.*,
        case
            when session_id is not null then session_id
            when pause > 60000000 * session.gap_minutes then 1
            else 0
        end as step
    from pauses
    cross join session
),

numbered as (
    select
        *,
        sum(step) over (
            partition by user_id order by first_time
            rows between unbounded preceding and current row
        ) as number
    from steps
),

totals as (
    select
        user_id,
        number,
        sum(num_clicks) as num_clicks,
        sum(num_views) as num_views,
        sum(num_carts) as num_carts,
        sum(num_removes) as num_removes,
        sum(num_purchases) as num_purchases,
        min(first_time) as session_start,
        max(last_us) - date_diff('microsecond', timestamp '1970-01-01', min(first_time)) as length,
        max_by(last_event, first_time) as last_event,
        max_by(avg_purchase_amount, first_time) as avg_purchase_amount,
        max(past_purchases) as past_purchases
    from numbered
    group by user_id, number
    having count(case when session_id is null then 1 end) > 0
),

counted as (
    select
        *,
        num_clicks + num_views + num_carts + num_removes + num_purchases as num_events
    from totals
)

select
    user_id,
    cast(number as bigint) as session_id,
    cast(num_clicks as bigint) as num_clicks,
    cast(num_views as bigint) as num_views,
    cast(num_carts as bigint) as num_carts,
    cast(num_removes as bigint) as num_removes,
    cast(num_purchases as bigint) as num_purchases,
    session_start,
    cast(length as double) / 1000000 as session_length,
    case
        when num_events > 1
            then cast(length as double) / 1000000 / (num_events - 1)
        else 0.0
    end as avg_time_gap,
    last_event,
    avg_purchase_amount,
    past_purchases
from counted
order by user_id, session_id
