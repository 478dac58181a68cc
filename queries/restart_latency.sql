-- title: Restart latency
-- question: After a crash with this error, how often was the actor restarted, and how long did it take?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: system = -- only this system; empty means all
-- param: limit = 20 -- rows at most
WITH steps AS (
    -- A restart answers a crash when it is the actor's very next step. The two bear the same clock,
    -- so the time between them is taken from the facts' own timestamps, epoch times or not.
    SELECT
        system_id,
        event_type,
        coalesce(error_type, '(none)') AS error_type,
        CAST(timestamp AS BIGINT) AS own_ns,
        lag(event_type) OVER one_actor AS before_type,
        coalesce(lag(error_type) OVER one_actor, '(none)') AS before_error_type,
        lag(CAST(timestamp AS BIGINT)) OVER one_actor AS before_ns
    FROM events
    WHERE event_type IN ('ActorStarted', 'ActorCrashed', 'ActorRestarted', 'ActorStopped')
      AND at >= CAST($since AS TIMESTAMP)
      AND ($system = '' OR system_id = $system)
    WINDOW one_actor AS (PARTITION BY system_id, actor_address ORDER BY at, stream, seq)
),
answers AS (
    SELECT
        system_id,
        CASE event_type WHEN 'ActorCrashed' THEN error_type ELSE before_error_type END AS error_type,
        event_type,
        CASE WHEN event_type = 'ActorRestarted' AND own_ns >= before_ns
             THEN (CAST(own_ns AS DOUBLE) - CAST(before_ns AS DOUBLE)) / 1e6 END AS latency_ms
    FROM steps
    WHERE event_type = 'ActorCrashed'
       OR (event_type = 'ActorRestarted' AND before_type = 'ActorCrashed')
)
SELECT
    system_id,
    error_type,
    count(*) FILTER (WHERE event_type = 'ActorCrashed') AS crashes,
    count(*) FILTER (WHERE event_type = 'ActorRestarted') AS restarted,
    round(100.0 * count(*) FILTER (WHERE event_type = 'ActorRestarted')
        / nullif(count(*) FILTER (WHERE event_type = 'ActorCrashed'), 0), 2) AS restarted_pct,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms), 3) AS p50_ms,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms), 3) AS p95_ms,
    round(max(latency_ms), 3) AS max_ms
FROM answers
GROUP BY system_id, error_type
ORDER BY crashes DESC, system_id, error_type
LIMIT $limit
