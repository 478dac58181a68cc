SELECT * FROM events WHERE event_type = 'ActorRestarted'
