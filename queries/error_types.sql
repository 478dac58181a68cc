-- title: Error types
-- question: Which exception classes crash actors, how many actors does each crash, and since when?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: system = -- only this system; empty means all
-- param: limit = 20 -- maximum number of rows
WITH by_actor AS (
    SELECT
        coalesce(error_type, '(none)') AS error_type,
        system_id,
        actor_address,
        count(*) AS crashes,
        min(at) AS first_at,
        max(at) AS last_at
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP) AND ($system = '' OR system_id = $system)
    GROUP BY 1, 2, 3
),
by_type AS (
    SELECT
        error_type,
        sum(crashes) AS crashes,
        count(*) AS actors,
        count(DISTINCT system_id) AS systems,
        min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM by_actor
    GROUP BY error_type
)
SELECT
    error_type,
    crashes,
    round(100.0 * crashes / sum(crashes) OVER (), 2) AS share_pct,
    actors,
    systems,
    first_at,
    last_at
FROM by_type
ORDER BY crashes DESC, error_type
LIMIT $limit
