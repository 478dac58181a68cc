-- title: Dead letters after a crash
-- question: Which actors' crashes were followed by dead letters to them, by how many, and how soon?
-- param: within_s = 60 -- a dead letter counts for its target's last crash if it came up to this number of seconds after it
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: limit = 20 -- maximum number of rows
WITH marked AS (
    SELECT
        system_id, actor_address, at, stream, seq,
        0 AS is_letter, NULL AS message_type, CAST(at AS BIGINT) AS crash_ns
    FROM crashes
    WHERE at >= CAST($since AS TIMESTAMP)
    UNION ALL
    SELECT
        system_id, target, at, stream, seq,
        1, message_type, NULL
    FROM dead_letters
    WHERE at >= CAST($since AS TIMESTAMP) AND target IS NOT NULL
),
placed AS (
    -- One pass in the order of time assigns the last crash to the letters after it.
    SELECT
        system_id,
        actor_address,
        at,
        stream,
        seq,
        is_letter,
        message_type,
        max(crash_ns) OVER (
            PARTITION BY system_id, actor_address ORDER BY at, is_letter, stream, seq
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS last_crash_ns
    FROM marked
),
timed AS (
    SELECT
        *,
        (CAST(at AS BIGINT) - last_crash_ns) / 1e6 AS delay_ms,
        is_letter = 1 AND (CAST(at AS BIGINT) - last_crash_ns) / 1e9 <= $within_s AS is_loss
    FROM placed
)
SELECT
    system_id,
    actor_address,
    count(*) FILTER (WHERE is_letter = 0) AS crashes,
    count(DISTINCT last_crash_ns) FILTER (WHERE is_loss) AS crashes_with_loss,
    count(*) FILTER (WHERE is_loss) AS dead_letters_after_crash,
    count(*) FILTER (WHERE is_letter = 1) AS dead_letters,
    count(DISTINCT message_type) FILTER (WHERE is_loss) AS message_types,
    round(min(delay_ms) FILTER (WHERE is_loss), 3) AS min_delay_ms,
    round(max(delay_ms) FILTER (WHERE is_loss), 3) AS max_delay_ms,
    max(at) FILTER (WHERE is_loss) AS last_loss_at
FROM timed
GROUP BY system_id, actor_address
HAVING count(*) FILTER (WHERE is_loss) > 0
ORDER BY dead_letters_after_crash DESC, system_id, actor_address
LIMIT $limit
