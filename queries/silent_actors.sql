-- title: Silent actors
-- question: Which actors were not stopped, but have had no facts for a long time (crashed actors first; an idle actor has no facts either)?
-- param: minutes = 60 -- minutes without a fact, before the newest fact of the store
-- param: system = -- only this system; empty means all
-- param: limit = 50 -- maximum number of rows, the longest silence first
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
