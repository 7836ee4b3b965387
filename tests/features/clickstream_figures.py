"""What the tables of the real clickstream hold of some shoppers and items, worked by hand.

The raw rows, in order of time. History and batch state days, so their purchases are at midnight.
The stream is of 2023-12-01, and has no prices; history goes on after it.

    user_6    batch   2023-11-27        item_17   48.03     his first: nothing before it
              stream            01:27   item_399  click
                                02:17   item_304  add_to_cart      50 minutes later

    user_19   history 2023-03-29        item_351  27
              history 2023-04-05        item_319  238
              history 2023-06-23        item_109  167
              history 2023-10-04        item_382  409
              batch   2023-11-03        item_6    111.53
              stream            00:29   item_410  view
                                00:59   item_483  click            30 minutes later, not more
                                01:10   item_74   add_to_cart
                                01:17   item_132  click
              history 2023-12-18        item_92   400

    user_60   history 2023-01-02        item_77   15
              history 2023-07-08        item_123  300
              history 2023-09-08        item_381  321
              history 2023-10-09        item_69   297
              batch   2023-11-12        item_9    144.18
              history 2023-11-30        item_177  99
              history 2023-11-30        item_141  49               the same moment
              stream            00:17   item_461  add_to_cart
                                00:21   item_344  add_to_cart
                                00:25   item_195  click
                                01:28   item_387  add_to_cart      63 minutes later
                                02:52   item_487  view             84 minutes later

    user_82   history 2023-02-19        item_113  467
              history 2023-06-04        item_215  174
              history 2023-07-07        item_212  62
              history 2023-10-05        item_38   320
              batch   2023-11-02        item_1    164.59
              batch   2023-11-05        item_1    82.26            the same item
              batch   2023-11-09        item_20   183.22
              batch   2023-11-16        item_17   160.51
              batch   2023-11-28        item_18   150.09
              stream            00:34   item_363  add_to_cart
                                00:57   item_154  click
                                01:02   item_300  view
              history 2023-12-13        item_222  247

    user_95   history 2023-06-27        item_420  59
              batch   2023-12-01        item_13   64.93            the stream's own day
              stream            01:31   item_99   click            his only event, 91 minutes later

    item_9    bought for 23 (2023-10-01), 144.18, 195.63, 89.98 (November), 193.37 (2023-12-01)
    item_17   bought for 35.50, 11.25, 160.51, 65.06, 44.67, 48.03 (November);
              add_to_cart three times, view once
    item_23   bought for 300, 29 (by August) and 466 (2023-12-28); add_to_cart once, click twice
    item_99   view once, click once
    item_304  add_to_cart once, bought for 173 the day after (2023-12-02)
    item_487  view twice, add_to_cart once
"""

from __future__ import annotations

from features.clickstream_shop import Row, at

# user_id, item_id, purchase_amount, purchase_date
PURCHASES: list[Row] = [
    ("user_6", "item_17", 48.03, at("11-27")),
    ("user_19", "item_351", 27.0, at("03-29")),
    ("user_19", "item_319", 238.0, at("04-05")),
    ("user_19", "item_109", 167.0, at("06-23")),
    ("user_19", "item_382", 409.0, at("10-04")),
    ("user_19", "item_6", 111.53, at("11-03")),
    ("user_19", "item_92", 400.0, at("12-18")),
    ("user_60", "item_77", 15.0, at("01-02")),
    ("user_60", "item_123", 300.0, at("07-08")),
    ("user_60", "item_381", 321.0, at("09-08")),
    ("user_60", "item_69", 297.0, at("10-09")),
    ("user_60", "item_9", 144.18, at("11-12")),
    ("user_60", "item_177", 99.0, at("11-30")),
    ("user_60", "item_141", 49.0, at("11-30")),
    ("user_82", "item_113", 467.0, at("02-19")),
    ("user_82", "item_215", 174.0, at("06-04")),
    ("user_82", "item_212", 62.0, at("07-07")),
    ("user_82", "item_38", 320.0, at("10-05")),
    ("user_82", "item_1", 164.59, at("11-02")),
    ("user_82", "item_1", 82.26, at("11-05")),
    ("user_82", "item_20", 183.22, at("11-09")),
    ("user_82", "item_17", 160.51, at("11-16")),
    ("user_82", "item_18", 150.09, at("11-28")),
    ("user_82", "item_222", 247.0, at("12-13")),
    ("user_95", "item_420", 59.0, at("06-27")),
    ("user_95", "item_13", 64.93, at("12-01")),
]

# The mean of what each had paid before the stream, as a sum over a count.
M19 = 952.53 / 5  # 27 + 238 + 167 + 409 + 111.53
M60 = 1225.18 / 7  # 15 + 300 + 321 + 297 + 144.18 + 99 + 49
M82 = 1763.67 / 9  # 467 + 174 + 62 + 320 + 164.59 + 82.26 + 183.22 + 160.51 + 150.09
M95 = 123.93 / 2  # 59 + 64.93

# event_time, event_type, user_id, item_id, price, source, avg_purchase_amount, past_purchases
ENRICHED: list[Row] = [
    (at("11-27"), "purchase", "user_6", "item_17", 48.03, "batch", None, 0),
    (at("12-01 01:27"), "click", "user_6", "item_399", None, "stream", 48.03, 1),
    (at("12-01 02:17"), "cart", "user_6", "item_304", None, "stream", 48.03, 1),
    # Each purchase knows those before it: 27; 27 + 238 = 265; + 167 = 432; + 409 = 841.
    (at("03-29"), "purchase", "user_19", "item_351", 27.0, "batch", None, 0),
    (at("04-05"), "purchase", "user_19", "item_319", 238.0, "batch", 27.0, 1),
    (at("06-23"), "purchase", "user_19", "item_109", 167.0, "batch", 132.5, 2),
    (at("10-04"), "purchase", "user_19", "item_382", 409.0, "batch", 144.0, 3),
    (at("11-03"), "purchase", "user_19", "item_6", 111.53, "batch", 210.25, 4),
    (at("12-01 00:29"), "view", "user_19", "item_410", None, "stream", M19, 5),
    (at("12-01 00:59"), "click", "user_19", "item_483", None, "stream", M19, 5),
    (at("12-01 01:10"), "cart", "user_19", "item_74", None, "stream", M19, 5),
    (at("12-01 01:17"), "click", "user_19", "item_132", None, "stream", M19, 5),
    (at("12-18"), "purchase", "user_19", "item_92", 400.0, "batch", M19, 5),
    # 15; + 300 = 315; + 321 = 636; + 297 = 933; + 144.18 = 1077.18, of 5. The two purchases of
    # one moment do not know each other; what comes after knows both.
    (at("01-02"), "purchase", "user_60", "item_77", 15.0, "batch", None, 0),
    (at("07-08"), "purchase", "user_60", "item_123", 300.0, "batch", 15.0, 1),
    (at("09-08"), "purchase", "user_60", "item_381", 321.0, "batch", 157.5, 2),
    (at("10-09"), "purchase", "user_60", "item_69", 297.0, "batch", 212.0, 3),
    (at("11-12"), "purchase", "user_60", "item_9", 144.18, "batch", 233.25, 4),
    (at("11-30"), "purchase", "user_60", "item_177", 99.0, "batch", 215.436, 5),
    (at("11-30"), "purchase", "user_60", "item_141", 49.0, "batch", 215.436, 5),
    (at("12-01 00:17"), "cart", "user_60", "item_461", None, "stream", M60, 7),
    (at("12-01 00:21"), "cart", "user_60", "item_344", None, "stream", M60, 7),
    (at("12-01 00:25"), "click", "user_60", "item_195", None, "stream", M60, 7),
    (at("12-01 01:28"), "cart", "user_60", "item_387", None, "stream", M60, 7),
    (at("12-01 02:52"), "view", "user_60", "item_487", None, "stream", M60, 7),
    # 467; + 174 = 641; + 62 = 703; + 320 = 1023; + 164.59 = 1187.59; + 82.26 = 1269.85;
    # + 183.22 = 1453.07; + 160.51 = 1613.58; + 150.09 = 1763.67.
    (at("02-19"), "purchase", "user_82", "item_113", 467.0, "batch", None, 0),
    (at("06-04"), "purchase", "user_82", "item_215", 174.0, "batch", 467.0, 1),
    (at("07-07"), "purchase", "user_82", "item_212", 62.0, "batch", 320.5, 2),
    (at("10-05"), "purchase", "user_82", "item_38", 320.0, "batch", 703 / 3, 3),
    (at("11-02"), "purchase", "user_82", "item_1", 164.59, "batch", 255.75, 4),
    (at("11-05"), "purchase", "user_82", "item_1", 82.26, "batch", 237.518, 5),
    (at("11-09"), "purchase", "user_82", "item_20", 183.22, "batch", 1269.85 / 6, 6),
    (at("11-16"), "purchase", "user_82", "item_17", 160.51, "batch", 1453.07 / 7, 7),
    (at("11-28"), "purchase", "user_82", "item_18", 150.09, "batch", 201.6975, 8),
    (at("12-01 00:34"), "cart", "user_82", "item_363", None, "stream", M82, 9),
    (at("12-01 00:57"), "click", "user_82", "item_154", None, "stream", M82, 9),
    (at("12-01 01:02"), "view", "user_82", "item_300", None, "stream", M82, 9),
    (at("12-13"), "purchase", "user_82", "item_222", 247.0, "batch", M82, 9),
    (at("06-27"), "purchase", "user_95", "item_420", 59.0, "batch", None, 0),
    (at("12-01"), "purchase", "user_95", "item_13", 64.93, "batch", 59.0, 1),
    (at("12-01 01:31"), "click", "user_95", "item_99", None, "stream", M95, 2),
]

# user_id, session_id, num_clicks, num_views, num_carts, num_removes, num_purchases, session_start,
# session_length, avg_time_gap, last_event, avg_purchase_amount, past_purchases
SESSIONS: list[Row] = [
    ("user_6", 0, 0, 0, 0, 0, 1, at("11-27"), 0.0, 0.0, "purchase", None, 0),
    ("user_6", 1, 1, 0, 0, 0, 0, at("12-01 01:27"), 0.0, 0.0, "click", 48.03, 1),
    ("user_6", 2, 0, 0, 1, 0, 0, at("12-01 02:17"), 0.0, 0.0, "cart", 48.03, 1),
    # The stream's four events are one session, 00:29 to 01:17: 48 minutes in 3 steps.
    ("user_19", 0, 0, 0, 0, 0, 1, at("03-29"), 0.0, 0.0, "purchase", None, 0),
    ("user_19", 1, 0, 0, 0, 0, 1, at("04-05"), 0.0, 0.0, "purchase", 27.0, 1),
    ("user_19", 2, 0, 0, 0, 0, 1, at("06-23"), 0.0, 0.0, "purchase", 132.5, 2),
    ("user_19", 3, 0, 0, 0, 0, 1, at("10-04"), 0.0, 0.0, "purchase", 144.0, 3),
    ("user_19", 4, 0, 0, 0, 0, 1, at("11-03"), 0.0, 0.0, "purchase", 210.25, 4),
    ("user_19", 5, 2, 1, 1, 0, 0, at("12-01 00:29"), 2880.0, 960.0, "click", M19, 5),
    ("user_19", 6, 0, 0, 0, 0, 1, at("12-18"), 0.0, 0.0, "purchase", M19, 5),
    # The two purchases of one moment are one session. 00:17 to 00:25: 8 minutes in 2 steps.
    ("user_60", 0, 0, 0, 0, 0, 1, at("01-02"), 0.0, 0.0, "purchase", None, 0),
    ("user_60", 1, 0, 0, 0, 0, 1, at("07-08"), 0.0, 0.0, "purchase", 15.0, 1),
    ("user_60", 2, 0, 0, 0, 0, 1, at("09-08"), 0.0, 0.0, "purchase", 157.5, 2),
    ("user_60", 3, 0, 0, 0, 0, 1, at("10-09"), 0.0, 0.0, "purchase", 212.0, 3),
    ("user_60", 4, 0, 0, 0, 0, 1, at("11-12"), 0.0, 0.0, "purchase", 233.25, 4),
    ("user_60", 5, 0, 0, 0, 0, 2, at("11-30"), 0.0, 0.0, "purchase", 215.436, 5),
    ("user_60", 6, 1, 0, 2, 0, 0, at("12-01 00:17"), 480.0, 240.0, "click", M60, 7),
    ("user_60", 7, 0, 0, 1, 0, 0, at("12-01 01:28"), 0.0, 0.0, "cart", M60, 7),
    ("user_60", 8, 0, 1, 0, 0, 0, at("12-01 02:52"), 0.0, 0.0, "view", M60, 7),
    # 00:34 to 01:02: 28 minutes in 2 steps.
    ("user_82", 0, 0, 0, 0, 0, 1, at("02-19"), 0.0, 0.0, "purchase", None, 0),
    ("user_82", 1, 0, 0, 0, 0, 1, at("06-04"), 0.0, 0.0, "purchase", 467.0, 1),
    ("user_82", 2, 0, 0, 0, 0, 1, at("07-07"), 0.0, 0.0, "purchase", 320.5, 2),
    ("user_82", 3, 0, 0, 0, 0, 1, at("10-05"), 0.0, 0.0, "purchase", 703 / 3, 3),
    ("user_82", 4, 0, 0, 0, 0, 1, at("11-02"), 0.0, 0.0, "purchase", 255.75, 4),
    ("user_82", 5, 0, 0, 0, 0, 1, at("11-05"), 0.0, 0.0, "purchase", 237.518, 5),
    ("user_82", 6, 0, 0, 0, 0, 1, at("11-09"), 0.0, 0.0, "purchase", 1269.85 / 6, 6),
    ("user_82", 7, 0, 0, 0, 0, 1, at("11-16"), 0.0, 0.0, "purchase", 1453.07 / 7, 7),
    ("user_82", 8, 0, 0, 0, 0, 1, at("11-28"), 0.0, 0.0, "purchase", 201.6975, 8),
    ("user_82", 9, 1, 1, 1, 0, 0, at("12-01 00:34"), 1680.0, 840.0, "view", M82, 9),
    ("user_82", 10, 0, 0, 0, 0, 1, at("12-13"), 0.0, 0.0, "purchase", M82, 9),
    ("user_95", 0, 0, 0, 0, 0, 1, at("06-27"), 0.0, 0.0, "purchase", None, 0),
    ("user_95", 1, 0, 0, 0, 0, 1, at("12-01"), 0.0, 0.0, "purchase", 59.0, 1),
    ("user_95", 2, 1, 0, 0, 0, 0, at("12-01 01:31"), 0.0, 0.0, "click", M95, 2),
]

# user_id, total_sessions, avg_clicks_per_session, avg_views_per_session, avg_session_length,
# avg_time_gap, avg_purchase_amount, max_past_purchases, last_session_clicks, last_session_views,
# last_session_length, last_session_event. The first session of each knows no amount.
PROFILES: list[Row] = [
    # (48.03 + 48.03) / 2
    ("user_6", 3, 1 / 3, 0.0, 0.0, 0.0, 48.03, 1, 0, 0, 0.0, "cart"),
    # 27 + 132.5 + 144 + 210.25 + 2 * 190.506 = 894.762, of 6
    ("user_19", 7, 2 / 7, 1 / 7, 2880 / 7, 960 / 7, 149.127, 5, 0, 0, 0.0, "purchase"),
    # 15 + 157.5 + 212 + 233.25 + 215.436 = 833.186, and 3 * M60; of 8
    ("user_60", 9, 1 / 9, 1 / 9, 480 / 9, 240 / 9, (833.186 + 3 * M60) / 8, 7, 0, 1, 0.0, "view"),
    # 467 + 320.5 + 255.75 + 237.518 + 201.6975 = 1482.4655, the three fractions, and 2 * M82; of 10
    (
        *("user_82", 11, 1 / 11, 1 / 11, 1680 / 11, 840 / 11),
        (1482.4655 + 703 / 3 + 1269.85 / 6 + 1453.07 / 7 + 2 * M82) / 10,
        *(9, 0, 0, 0.0, "purchase"),
    ),
    # (59 + 61.965) / 2
    ("user_95", 3, 1 / 3, 0.0, 0.0, 0.0, 60.4825, 2, 1, 0, 0.0, "click"),
]

# user_id, item_id, purchase_count, total_spent, num_clicks, num_views, num_carts, num_removes,
# interaction_score. The only item that anyone of these came back to is user_82's item_1.
MATRIX: list[Row] = [
    ("user_6", "item_17", 1, 48.03, 0, 0, 0, 0, 1.0),
    ("user_6", "item_304", 0, 0.0, 0, 0, 1, 0, 0.0),
    ("user_6", "item_399", 0, 0.0, 1, 0, 0, 0, 0.2),
    ("user_19", "item_109", 1, 167.0, 0, 0, 0, 0, 1.0),
    ("user_19", "item_132", 0, 0.0, 1, 0, 0, 0, 0.2),
    ("user_19", "item_319", 1, 238.0, 0, 0, 0, 0, 1.0),
    ("user_19", "item_351", 1, 27.0, 0, 0, 0, 0, 1.0),
    ("user_19", "item_382", 1, 409.0, 0, 0, 0, 0, 1.0),
    ("user_19", "item_410", 0, 0.0, 0, 1, 0, 0, 0.1),
    ("user_19", "item_483", 0, 0.0, 1, 0, 0, 0, 0.2),
    ("user_19", "item_6", 1, 111.53, 0, 0, 0, 0, 1.0),
    ("user_19", "item_74", 0, 0.0, 0, 0, 1, 0, 0.0),
    ("user_19", "item_92", 1, 400.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_123", 1, 300.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_141", 1, 49.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_177", 1, 99.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_195", 0, 0.0, 1, 0, 0, 0, 0.2),
    ("user_60", "item_344", 0, 0.0, 0, 0, 1, 0, 0.0),
    ("user_60", "item_381", 1, 321.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_387", 0, 0.0, 0, 0, 1, 0, 0.0),
    ("user_60", "item_461", 0, 0.0, 0, 0, 1, 0, 0.0),
    ("user_60", "item_487", 0, 0.0, 0, 1, 0, 0, 0.1),
    ("user_60", "item_69", 1, 297.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_77", 1, 15.0, 0, 0, 0, 0, 1.0),
    ("user_60", "item_9", 1, 144.18, 0, 0, 0, 0, 1.0),
    ("user_82", "item_1", 2, 246.85, 0, 0, 0, 0, 2.0),
    ("user_82", "item_113", 1, 467.0, 0, 0, 0, 0, 1.0),
    ("user_82", "item_154", 0, 0.0, 1, 0, 0, 0, 0.2),
    ("user_82", "item_17", 1, 160.51, 0, 0, 0, 0, 1.0),
    ("user_82", "item_18", 1, 150.09, 0, 0, 0, 0, 1.0),
    ("user_82", "item_20", 1, 183.22, 0, 0, 0, 0, 1.0),
    ("user_82", "item_212", 1, 62.0, 0, 0, 0, 0, 1.0),
    ("user_82", "item_215", 1, 174.0, 0, 0, 0, 0, 1.0),
    ("user_82", "item_222", 1, 247.0, 0, 0, 0, 0, 1.0),
    ("user_82", "item_300", 0, 0.0, 0, 1, 0, 0, 0.1),
    ("user_82", "item_363", 0, 0.0, 0, 0, 1, 0, 0.0),
    ("user_82", "item_38", 1, 320.0, 0, 0, 0, 0, 1.0),
    ("user_95", "item_13", 1, 64.93, 0, 0, 0, 0, 1.0),
    ("user_95", "item_420", 1, 59.0, 0, 0, 0, 0, 1.0),
    ("user_95", "item_99", 0, 0.0, 1, 0, 0, 0, 0.2),
]

# user_id, total_purchases, total_spent, avg_spent, views, clicks, carts, removes, priced_purchases
USERS: list[Row] = [
    ("user_6", 1, 48.03, 48.03, 0, 1, 1, 0, 1),
    ("user_19", 6, 1352.53, 1352.53 / 6, 1, 2, 1, 0, 6),  # 952.53 + 400
    ("user_60", 7, 1225.18, 1225.18 / 7, 1, 1, 3, 0, 7),
    ("user_82", 10, 2010.67, 201.067, 1, 1, 1, 0, 10),  # 1763.67 + 247
    ("user_95", 2, 123.93, 61.965, 0, 1, 0, 0, 2),
]

# item_id, total_sales, revenue, avg_price, views, carts, cart_to_purchase_rate, category, brand,
# category_code, priced_sales. The shop says neither category nor brand.
SOLD: list[Row] = [
    ("item_9", 5, 646.16, 129.232, 0, 0, None, None, None, None, 5),
    ("item_17", 6, 365.02, 365.02 / 6, 1, 3, 2.0, None, None, None, 6),
    ("item_23", 3, 795.0, 265.0, 0, 1, 3.0, None, None, None, 3),
    ("item_99", 0, 0.0, None, 1, 0, None, None, None, None, 0),
    ("item_304", 1, 173.0, 173.0, 0, 1, 1.0, None, None, None, 1),
    ("item_487", 0, 0.0, None, 2, 1, 0.0, None, None, None, 0),
]
