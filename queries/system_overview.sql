-- title: System overview
-- question: Which systems have facts in this store, how many facts does each have, and what is its state now?
WITH seen AS (
    SELECT
        system_id,
        count(*) AS events,
        0 AS audits,
        0 AS dead_letters,
        min(at) AS first_at,
        max(at) AS last_at
    FROM events
    GROUP BY system_id
    UNION ALL
    SELECT system_id, 0, count(*), 0, min(at), max(at)
    FROM audits
    GROUP BY system_id
    UNION ALL
    SELECT system_id, 0, 0, count(*), min(at), max(at)
    FROM dead_letters
    GROUP BY system_id
),
facts AS (
    SELECT
        system_id,
        sum(events) AS events,
        sum(audits) AS audits,
        sum(dead_letters) AS dead_letters,
        min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM seen
    GROUP BY system_id
),
states AS (
    SELECT
        system_id,
        count(*) AS actors,
        count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state = 'crashed') AS crashed,
        count(*) FILTER (WHERE state = 'stopped') AS stopped,
        sum(crashes) AS crashes,
        sum(restarts) AS restarts
    FROM actors
    GROUP BY system_id
),
audited AS (
    SELECT system_id, last_value(alive_actors ORDER BY at, stream, seq) AS alive_in_last_audit
    FROM audits
    GROUP BY system_id
)
SELECT
    facts.system_id,
    facts.events + facts.audits + facts.dead_letters AS facts,
    facts.events,
    facts.audits,
    facts.dead_letters,
    coalesce(states.actors, 0) AS actors,
    coalesce(states.running, 0) AS running,
    coalesce(states.crashed, 0) AS crashed,
    coalesce(states.stopped, 0) AS stopped,
    coalesce(states.crashes, 0) AS crashes,
    coalesce(states.restarts, 0) AS restarts,
    audited.alive_in_last_audit,
    facts.first_at,
    facts.last_at
FROM facts
LEFT JOIN states ON states.system_id = facts.system_id
LEFT JOIN audited ON audited.system_id = facts.system_id
ORDER BY facts DESC, facts.system_id
