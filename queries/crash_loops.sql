-- title: Crash loops
-- question: Which actors crashed repeatedly within a short time, from when to when, and with which error?
-- param: crashes = 5 -- the number of crashes of one actor that make a loop (2 or more)
-- param: within_s = 60 -- the number of seconds within which these crashes must occur
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 20 -- maximum number of rows
WITH numbered AS (
    -- For each crash: its number among the actor's crashes, and the instant of the crash N - 1 crashes earlier.
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
    -- The crashes that complete N crashes within the time. If two of them are less than N apart, they share
    -- crashes, and belong to one loop.
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
