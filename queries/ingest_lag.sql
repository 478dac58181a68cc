-- title: Ingest lag
-- question: How much time passes before a fact is recorded, hour by hour?
-- param: since = 1970-01-01 -- only facts recorded at or after this instant
-- param: limit = 24 -- maximum number of rows, the newest hours first
WITH lags AS (
    -- Only facts with an epoch time in their timestamp. For the others, `at` is the time of recording.
    SELECT recorded_at, at, system_id FROM events WHERE timestamp = at
    UNION ALL
    SELECT recorded_at, at, system_id FROM audits WHERE timestamp = at
    UNION ALL
    SELECT recorded_at, at, system_id FROM dead_letters WHERE timestamp = at
),
timed AS (
    SELECT
        date_trunc('hour', recorded_at) AS recorded_hour,
        system_id,
        (CAST(recorded_at AS BIGINT) - CAST(at AS BIGINT)) / 1e6 AS lag_ms
    FROM lags
    WHERE recorded_at >= CAST($since AS TIMESTAMP)
)
SELECT
    recorded_hour,
    system_id,
    count(*) AS facts,
    round(min(lag_ms), 3) AS min_ms,
    round(approx_percentile_cont(lag_ms, 0.5), 3) AS p50_ms,
    round(approx_percentile_cont(lag_ms, 0.95), 3) AS p95_ms,
    round(approx_percentile_cont(lag_ms, 0.99), 3) AS p99_ms,
    round(max(lag_ms), 3) AS max_ms
FROM timed
GROUP BY recorded_hour, system_id
ORDER BY recorded_hour DESC, system_id
LIMIT $limit
