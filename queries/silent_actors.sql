-- title: Silent actors
-- question: Which actors were never stopped and have not been heard of for long (crashed ones first; an idle actor is silent, too)?
-- param: minutes = 60 -- silent for at least this long before the newest fact of the store
-- param: system = -- only this system; empty means all
-- param: limit = 50 -- rows at most, the longest silence first
WITH newest AS (
    SELECT max(at) AS at
    FROM (
        SELECT max(at) AS at FROM events
        UNION ALL
        SELECT max(at) AS at FROM audits
        UNION ALL
        SELECT max(at) AS at FROM dead_letters
    )
),
silence AS (
    SELECT
        actors.*,
        (CAST(newest.at AS BIGINT) - CAST(actors.last_seen AS BIGINT)) / 6e10 AS silent_min
    FROM actors CROSS JOIN newest
    WHERE actors.state <> 'stopped' AND ($system = '' OR actors.system_id = $system)
)
SELECT
    system_id,
    actor_address,
    state,
    round(silent_min, 1) AS silent_min,
    last_seen,
    last_event,
    crashes,
    restarts,
    last_error
FROM silence
WHERE silent_min >= $minutes
ORDER BY state = 'crashed' DESC, last_seen, system_id, actor_address
LIMIT $limit
