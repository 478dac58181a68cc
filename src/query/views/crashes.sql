SELECT * FROM events WHERE event_type = 'ActorCrashed'
