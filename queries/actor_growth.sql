-- title: Actor growth
-- question: How many actors were started and stopped each day, and does the difference show a leak?
-- param: system = -- only this system; empty means all
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 60 -- maximum number of rows, the newest days first
WITH moves AS (
    SELECT
        CAST(at AS DATE) AS day,
        system_id,
        count(*) FILTER (WHERE event_type = 'ActorStarted') AS starts,
        count(*) FILTER (WHERE event_type = 'ActorStopped') AS stops
    FROM events
    WHERE event_type IN ('ActorStarted', 'ActorStopped')
      AND at >= CAST($since AS TIMESTAMP)
      AND ($system = '' OR system_id = $system)
    GROUP BY 1, 2
),
counted AS (
    SELECT
        CAST(at AS DATE) AS day,
        system_id,
        last_value(alive_actors ORDER BY at, stream, seq) AS alive_in_last_audit
    FROM audits
    WHERE at >= CAST($since AS TIMESTAMP) AND ($system = '' OR system_id = $system)
    GROUP BY 1, 2
)
SELECT
    moves.day,
    moves.system_id,
    moves.starts,
    moves.stops,
    moves.starts - moves.stops AS growth,
    sum(moves.starts - moves.stops) OVER (
        PARTITION BY moves.system_id ORDER BY moves.day
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS growth_so_far,
    counted.alive_in_last_audit
FROM moves
LEFT JOIN counted ON counted.day = moves.day AND counted.system_id = moves.system_id
ORDER BY moves.day DESC, moves.system_id
LIMIT $limit
