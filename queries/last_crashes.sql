-- title: Last crashes
-- question: Which actors crashed last, and with which error?
-- param: since = 1970-01-01 -- only facts at or after this instant
-- param: until = 2262-01-01 -- only facts before this instant
-- param: error_type = -- only this exception class; empty means all
-- param: limit = 20 -- maximum number of rows, the newest first
SELECT at, system_id, actor_address, error_type, error, reason
FROM crashes
WHERE at >= CAST($since AS TIMESTAMP)
  AND at < CAST($until AS TIMESTAMP)
  AND ($error_type = '' OR error_type = $error_type)
ORDER BY at DESC, stream DESC, seq DESC
LIMIT $limit
