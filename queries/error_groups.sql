-- title: Error groups
-- question: Which errors differ only in numbers, ids or quoted data, how often does each group occur, and when first and last?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: error_type = -- only this exception class; empty means all
-- param: limit = 20 -- maximum number of rows
WITH by_actor AS (
    SELECT
        coalesce(error_group(error), '(no error text)') AS error_group,
        system_id,
        actor_address,
        count(*) AS crashes,
        min(error) AS example,
        min(at) AS first_at,
        max(at) AS last_at
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP) AND ($error_type = '' OR error_type = $error_type)
    GROUP BY 1, 2, 3
)
SELECT
    error_group,
    sum(crashes) AS crashes,
    count(*) AS actors,
    count(DISTINCT system_id) AS systems,
    min(first_at) AS first_at,
    max(last_at) AS last_at,
    min(example) AS example
FROM by_actor
GROUP BY error_group
ORDER BY crashes DESC, error_group
LIMIT $limit
