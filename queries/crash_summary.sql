-- title: Crash summary
-- question: How many crashes, crashed actors and restarts did each system have, and which error and which actor were most frequent?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: until = 2262-01-01 -- only facts before this instant
WITH by_error AS (
    SELECT
        system_id,
        coalesce(error_type, '(none)') AS error_type,
        count(*) AS crashes,
        min(at) AS first_at,
        max(at) AS last_at
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP) AND at < CAST($until AS TIMESTAMP)
    GROUP BY 1, 2
),
by_actor AS (
    SELECT system_id, actor_address, count(*) AS crashes
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP) AND at < CAST($until AS TIMESTAMP)
    GROUP BY 1, 2
),
errors AS (
    SELECT
        system_id,
        sum(crashes) AS crashes,
        count(*) AS error_types,
        first_value(error_type ORDER BY crashes DESC, error_type) AS top_error_type,
        max(crashes) AS top_error_crashes,
        min(first_at) AS first_crash_at,
        max(last_at) AS last_crash_at
    FROM by_error
    GROUP BY system_id
),
worst AS (
    SELECT
        system_id,
        count(*) AS actors,
        first_value(actor_address ORDER BY crashes DESC, actor_address) AS worst_actor,
        max(crashes) AS worst_actor_crashes
    FROM by_actor
    GROUP BY system_id
),
answers AS (
    SELECT system_id, count(*) AS restarts
    FROM restarts
    WHERE at >= CAST($since AS TIMESTAMP) AND at < CAST($until AS TIMESTAMP)
    GROUP BY system_id
)
SELECT
    errors.system_id,
    errors.crashes,
    coalesce(answers.restarts, 0) AS restarts,
    worst.actors AS actors_crashed,
    worst.worst_actor,
    worst.worst_actor_crashes,
    errors.error_types,
    errors.top_error_type,
    errors.top_error_crashes,
    errors.first_crash_at,
    errors.last_crash_at
FROM errors
JOIN worst ON worst.system_id = errors.system_id
LEFT JOIN answers ON answers.system_id = errors.system_id
ORDER BY errors.crashes DESC, errors.system_id
