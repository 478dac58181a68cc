-- title: Restart latency
-- question: After a crash with this error, how often was the actor restarted, and how long did it take?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: system = -- only this system; empty means all
-- param: limit = 20 -- maximum number of rows
WITH steps AS (
    -- In descending order, so that `lag` returns the next fact (it is much faster than `lead`). A restart
    -- belongs to the crash directly before it. Both have timestamps of one clock, so the time between them is
    -- the difference of their timestamps, whether these are epoch times or not.
    SELECT
        system_id,
        event_type,
        error_type,
        CAST(timestamp AS BIGINT) AS own_ns,
        lag(CASE event_type WHEN 'ActorRestarted' THEN CAST(timestamp AS BIGINT) END) OVER newest_first AS restart_ns
    FROM events
    WHERE event_type IN ('ActorCrashed', 'ActorRestarted')
      AND at >= CAST($since AS TIMESTAMP)
      AND ($system = '' OR system_id = $system)
    WINDOW newest_first AS (
        PARTITION BY system_id, actor_address ORDER BY at DESC, stream DESC, seq DESC
    )
),
answers AS (
    SELECT
        system_id,
        coalesce(error_type, '(none)') AS error_type,
        CASE WHEN restart_ns >= own_ns
             THEN (CAST(restart_ns AS DOUBLE) - CAST(own_ns AS DOUBLE)) / 1e6 END AS latency_ms
    FROM steps
    WHERE event_type = 'ActorCrashed'
)
SELECT
    system_id,
    error_type,
    count(*) AS crashes,
    count(latency_ms) AS restarted,
    round(100.0 * count(latency_ms) / count(*), 2) AS restarted_pct,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms), 3) AS p50_ms,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms), 3) AS p95_ms,
    round(max(latency_ms), 3) AS max_ms
FROM answers
GROUP BY system_id, error_type
ORDER BY crashes DESC, system_id, error_type
LIMIT $limit
