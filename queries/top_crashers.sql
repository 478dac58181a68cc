-- title: Top crashers
-- question: Which actors crash most often, what is their share of all crashes, and what was their last error?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: system = -- only this system; empty means all
-- param: limit = 20 -- maximum number of rows
WITH by_actor AS (
    SELECT
        system_id,
        actor_address,
        count(*) AS crashes,
        count(DISTINCT error_type) AS error_types,
        last_value(error ORDER BY at, stream, seq) AS last_error,
        min(at) AS first_crash_at,
        max(at) AS last_crash_at
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP) AND ($system = '' OR system_id = $system)
    GROUP BY system_id, actor_address
)
SELECT
    system_id,
    actor_address,
    crashes,
    round(100.0 * crashes / sum(crashes) OVER (), 2) AS share_pct,
    error_types,
    last_error,
    first_crash_at,
    last_crash_at
FROM by_actor
ORDER BY crashes DESC, system_id, actor_address
LIMIT $limit
