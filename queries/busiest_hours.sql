-- title: Busiest hours
-- question: Which hours had the most facts, and how many facts were crashes?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 24 -- maximum number of rows
WITH hours AS (
    SELECT
        date_trunc('hour', at) AS hour,
        count(*) AS events,
        0 AS audits,
        0 AS dead_letters,
        count(*) FILTER (WHERE event_type = 'ActorCrashed') AS crashes
    FROM events
    WHERE at >= CAST($since AS TIMESTAMP)
    GROUP BY 1
    UNION ALL
    SELECT date_trunc('hour', at), 0, count(*), 0, 0
    FROM audits
    WHERE at >= CAST($since AS TIMESTAMP)
    GROUP BY 1
    UNION ALL
    SELECT date_trunc('hour', at), 0, 0, count(*), 0
    FROM dead_letters
    WHERE at >= CAST($since AS TIMESTAMP)
    GROUP BY 1
)
SELECT
    hour,
    sum(events) + sum(audits) + sum(dead_letters) AS facts,
    sum(events) AS events,
    sum(audits) AS audits,
    sum(dead_letters) AS dead_letters,
    sum(crashes) AS crashes
FROM hours
GROUP BY hour
ORDER BY facts DESC, hour
LIMIT $limit
