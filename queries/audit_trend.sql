-- title: Audit trend
-- question: How do the numbers in a system's audits change: actors alive, stopping and restarting, and dead letters?
-- param: minutes = 60 -- the length of each row's time span in minutes
-- param: system = -- only this system; empty means all
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 48 -- maximum number of rows, the newest spans first
WITH steps AS (
    -- The count of dead letters starts at 0 with each run of a system. If it falls, all counted letters are new.
    -- Counting starts at the first audit.
    SELECT
        *,
        CASE
            WHEN dead_letters_count >= lag(dead_letters_count) OVER one_system
            THEN dead_letters_count - lag(dead_letters_count) OVER one_system
            WHEN lag(dead_letters_count) OVER one_system IS NULL THEN 0
            ELSE dead_letters_count
        END AS new_dead_letters
    FROM audits
    WHERE at >= CAST($since AS TIMESTAMP) AND ($system = '' OR system_id = $system)
    WINDOW one_system AS (PARTITION BY system_id ORDER BY at, stream, seq)
)
SELECT
    date_bin(CAST(concat($minutes, ' minutes') AS INTERVAL), at) AS since_at,
    system_id,
    count(*) AS audits,
    min(alive_actors) AS min_alive,
    round(avg(alive_actors), 2) AS avg_alive,
    max(alive_actors) AS max_alive,
    last_value(alive_actors ORDER BY at, stream, seq) AS last_alive,
    last_value(total_actors ORDER BY at, stream, seq) AS last_total,
    max(stopping_actors) AS max_stopping,
    max(restarting_actors) AS max_restarting,
    sum(new_dead_letters) AS new_dead_letters
FROM steps
GROUP BY 1, 2
ORDER BY since_at DESC, system_id
LIMIT $limit
