SELECT
    system_id,
    actor_address,
    first_seen,
    last_seen,
    starts,
    stops,
    restarts,
    crashes,
    last_event,
    last_error,
    CASE last_step
        WHEN 'ActorStarted' THEN 'running'
        WHEN 'ActorRestarted' THEN 'running'
        WHEN 'ActorCrashed' THEN 'crashed'
        WHEN 'ActorStopped' THEN 'stopped'
        ELSE 'unknown'
    END AS state
FROM (
    SELECT
        system_id,
        actor_address,
        min(at) AS first_seen,
        max(at) AS last_seen,
        count(*) FILTER (WHERE event_type = 'ActorStarted') AS starts,
        count(*) FILTER (WHERE event_type = 'ActorStopped') AS stops,
        count(*) FILTER (WHERE event_type = 'ActorRestarted') AS restarts,
        count(*) FILTER (WHERE event_type = 'ActorCrashed') AS crashes,
        last_value(event_type ORDER BY at, stream, seq) AS last_event,
        last_value(error ORDER BY at, stream, seq) FILTER (WHERE event_type = 'ActorCrashed') AS last_error,
        last_value(event_type ORDER BY at, stream, seq)
            FILTER (WHERE event_type IN ('ActorStarted', 'ActorRestarted', 'ActorCrashed', 'ActorStopped')) AS last_step
    FROM events
    GROUP BY system_id, actor_address
)
