-- title: Mean time between failures
-- question: How long does an actor, or a whole system, run between one crash and the next?
-- param: by = actor -- `actor` for a row per actor, `system` for a row per system
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: min_crashes = 2 -- leave out actors or systems with fewer crashes (at least 2, because one crash gives no time between crashes)
-- param: limit = 20 -- maximum number of rows, the shortest time first
WITH failures AS (
    SELECT
        system_id,
        CASE $by WHEN 'system' THEN '(all)' ELSE actor_address END AS actor_address,
        at,
        stream,
        seq
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP)
),
gaps AS (
    SELECT
        system_id,
        actor_address,
        at,
        (CAST(at AS BIGINT) - CAST(lag(at) OVER one_actor AS BIGINT)) / 1e9 AS gap_s
    FROM failures
    WINDOW one_actor AS (PARTITION BY system_id, actor_address ORDER BY at, stream, seq)
)
SELECT
    system_id,
    actor_address,
    count(*) AS crashes,
    round((CAST(max(at) AS BIGINT) - CAST(min(at) AS BIGINT)) / 1e9 / (count(*) - 1), 6) AS mtbf_s,
    round(min(gap_s), 6) AS shortest_s,
    round(max(gap_s), 6) AS longest_s,
    min(at) AS first_crash_at,
    max(at) AS last_crash_at
FROM gaps
GROUP BY system_id, actor_address
HAVING count(*) >= greatest($min_crashes, 2)
ORDER BY mtbf_s, system_id, actor_address
LIMIT $limit
