-- title: Crashes by day
-- question: On which days did actors crash, and how many different actors?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 20 -- maximum number of rows, the newest days first
WITH by_actor AS (
    SELECT CAST(at AS DATE) AS day, system_id, actor_address, count(*) AS crashes
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP)
    GROUP BY 1, 2, 3
)
SELECT
    day,
    sum(crashes) AS crashes,
    count(*) AS actors,
    count(DISTINCT system_id) AS systems,
    max(crashes) AS worst_actor_crashes
FROM by_actor
GROUP BY day
ORDER BY day DESC
LIMIT $limit
