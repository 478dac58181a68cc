-- title: Before the crash
-- question: What happened to an actor, step by step, before its last crash?
-- param: actor = -- the actor's address, such as shop:7; empty means the actors that crashed last
-- param: actors = 5 -- maximum number of actors, the last one to crash first
-- param: steps = 10 -- maximum number of facts before the crash, for each actor
-- param: until = 2262-01-01 -- only crashes before this instant
WITH last_crash AS (
    SELECT
        system_id,
        actor_address,
        max(at) AS crash_at,
        last_value(stream ORDER BY at, stream, seq) AS crash_stream,
        last_value(seq ORDER BY at, stream, seq) AS crash_seq
    FROM crashes
    WHERE at < CAST($until AS TIMESTAMP) AND ($actor = '' OR actor_address = $actor)
    GROUP BY system_id, actor_address
    ORDER BY crash_at DESC, crash_stream DESC, crash_seq DESC
    LIMIT $actors
),
facts AS (
    SELECT
        at, system_id, actor_address, event_type AS what,
        coalesce(error, reason, nullif(left(payload, 200), '{}')) AS detail,
        stream, seq
    FROM events
    WHERE at < CAST($until AS TIMESTAMP) AND ($actor = '' OR actor_address = $actor)
    UNION ALL
    SELECT
        at, system_id, target, 'DeadLetter',
        concat(message_type, ' ', left(payload, 200)),
        stream, seq
    FROM dead_letters
    WHERE at < CAST($until AS TIMESTAMP) AND ($actor = '' OR target = $actor)
),
steps AS (
    -- There is one crash per actor. So the join adds a crash to each fact, and does not multiply facts.
    SELECT
        facts.*,
        last_crash.crash_at,
        last_crash.crash_stream,
        last_crash.crash_seq,
        CAST(row_number() OVER (
            PARTITION BY facts.system_id, facts.actor_address
            ORDER BY facts.at DESC, facts.stream DESC, facts.seq DESC
        ) AS BIGINT) - 1 AS steps_before
    FROM facts
    JOIN last_crash
      ON last_crash.system_id = facts.system_id AND last_crash.actor_address = facts.actor_address
    WHERE facts.at < crash_at
       OR (facts.at = crash_at AND facts.stream < crash_stream)
       OR (facts.at = crash_at AND facts.stream = crash_stream AND facts.seq <= crash_seq)
)
SELECT
    system_id,
    actor_address,
    crash_at,
    steps_before,
    round((CAST(crash_at AS BIGINT) - CAST(at AS BIGINT)) / 1e9, 3) AS before_s,
    what,
    detail,
    at
FROM steps
WHERE steps_before <= $steps
ORDER BY crash_at DESC, crash_stream DESC, crash_seq DESC, steps_before DESC
