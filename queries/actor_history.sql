-- title: Actor history
-- question: What happened to one actor, including the messages that could not be delivered to it?
-- param: actor = -- the actor's address, such as shop:7; empty means all
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: until = 2262-01-01 -- only facts before this instant
-- param: limit = 50 -- maximum number of rows: the newest facts, shown in the order of time
WITH facts AS (
    SELECT
        at, system_id, actor_address, event_type AS what,
        coalesce(error, reason, nullif(left(payload, 200), '{}')) AS detail,
        stream, seq
    FROM events
    WHERE at >= CAST($since AS TIMESTAMP)
      AND at < CAST($until AS TIMESTAMP)
      AND ($actor = '' OR actor_address = $actor)
    UNION ALL
    SELECT
        at, system_id, target, 'DeadLetter',
        concat(message_type, ' ', left(payload, 200)),
        stream, seq
    FROM dead_letters
    WHERE at >= CAST($since AS TIMESTAMP)
      AND at < CAST($until AS TIMESTAMP)
      AND ($actor = '' OR target = $actor)
),
newest AS (
    SELECT * FROM facts ORDER BY at DESC, stream DESC, seq DESC LIMIT $limit
)
SELECT at, system_id, actor_address, what, detail
FROM newest
ORDER BY at, stream, seq
