-- title: Registry problems
-- question: Which registered names were orphans or pointed to dead actors, for how long, and are they still there?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 20 -- maximum number of rows
WITH checked AS (
    SELECT system_id, at, registry_orphans, registry_dead, max(at) OVER (PARTITION BY system_id) AS newest_at
    FROM audits
    WHERE at >= CAST($since AS TIMESTAMP)
),
problems AS (
    SELECT system_id, at, newest_at, 'orphan' AS problem, unnest(registry_orphans) AS name FROM checked
    UNION ALL
    SELECT system_id, at, newest_at, 'dead' AS problem, unnest(registry_dead) AS name FROM checked
)
SELECT
    system_id,
    name,
    problem,
    count(*) AS audits,
    min(at) AS first_at,
    max(at) AS last_at,
    round((CAST(max(at) AS BIGINT) - CAST(min(at) AS BIGINT)) / 1e9, 3) AS seen_for_s,
    max(at) = max(newest_at) AS is_open
FROM problems
GROUP BY system_id, name, problem
ORDER BY is_open DESC, audits DESC, system_id, name, problem
LIMIT $limit
