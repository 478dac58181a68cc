-- title: Crash loops
-- question: Which actors crashed again and again within a short time, from when to when, and over what?
-- param: crashes = 5 -- this many crashes of one actor (2 or more) ...
-- param: within_s = 60 -- ... within this many seconds make a loop
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 20 -- rows at most
WITH numbered AS (
    -- Of each crash: its number among the actor's crashes, and the instant of the crash N - 1 before it.
    SELECT
        system_id,
        actor_address,
        at,
        stream,
        seq,
        error,
        CAST(row_number() OVER one_actor AS BIGINT) AS nth,
        lag(at, $crashes - 1) OVER one_actor AS loop_began_at
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP)
    WINDOW one_actor AS (PARTITION BY system_id, actor_address ORDER BY at, stream, seq)
),
looping AS (
    -- The crashes that complete N within the time. Two such crashes less than N apart share crashes: one loop.
    SELECT
        *,
        CASE WHEN nth - lag(nth) OVER one_actor < $crashes THEN 0 ELSE 1 END AS is_new_loop
    FROM numbered
    WHERE (CAST(at AS BIGINT) - CAST(loop_began_at AS BIGINT)) / 1e9 <= $within_s
    WINDOW one_actor AS (PARTITION BY system_id, actor_address ORDER BY at, stream, seq)
),
labelled AS (
    SELECT
        *,
        sum(is_new_loop) OVER (
            PARTITION BY system_id, actor_address ORDER BY at, stream, seq
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS loop_number
    FROM looping
)
SELECT
    system_id,
    actor_address,
    max(nth) - min(nth) + $crashes AS crashes,
    min(loop_began_at) AS began_at,
    max(at) AS ended_at,
    round((CAST(max(at) AS BIGINT) - CAST(min(loop_began_at) AS BIGINT)) / 1e9, 3) AS duration_s,
    last_value(error ORDER BY at, stream, seq) AS last_error
FROM labelled
GROUP BY system_id, actor_address, loop_number
ORDER BY crashes DESC, began_at, system_id, actor_address
LIMIT $limit
