-- title: Dead letter hotspots
-- question: Which actors had messages that could not be delivered to them, how many messages, and of which type?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 20 -- maximum number of rows
WITH by_type AS (
    SELECT
        system_id,
        coalesce(target, '(no target)') AS target,
        message_type,
        count(*) AS dead_letters,
        min(at) AS first_at,
        max(at) AS last_at
    FROM dead_letters
    WHERE at >= CAST($since AS TIMESTAMP)
    GROUP BY 1, 2, 3
),
by_target AS (
    SELECT
        system_id,
        target,
        sum(dead_letters) AS dead_letters,
        count(*) AS message_types,
        first_value(message_type ORDER BY dead_letters DESC, message_type) AS top_message_type,
        max(dead_letters) AS top_message_letters,
        min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM by_type
    GROUP BY system_id, target
)
SELECT
    system_id,
    target,
    dead_letters,
    round(100.0 * dead_letters / sum(dead_letters) OVER (), 2) AS share_pct,
    message_types,
    top_message_type,
    top_message_letters,
    first_at,
    last_at
FROM by_target
ORDER BY dead_letters DESC, system_id, target
LIMIT $limit
