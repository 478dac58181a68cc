//! The meaning of the rows of each table, and of its columns.

/// The tables; those of facts come first.
pub(super) const TABLES: [(&str, &str); 12] = [
    ("events", "the events of actors"),
    ("audits", "snapshots of a system's counters"),
    ("dead_letters", "messages that reached no actor"),
    ("crashes", "events that are crashes"),
    ("restarts", "events that are restarts"),
    ("actors", "one row for each actor: its state, its counts, its last error"),
    ("store.segments", "the files that hold facts"),
    ("store.commits", "the changes to the store, and who made them"),
    ("store.streams", "the writers, and how far each has come"),
    ("store.consumers", "consumer groups, and the pending facts of each consumer"),
    ("store.unverified", "facts that may not be what was recorded"),
    ("store.metrics", "counters of this process"),
];

/// The meanings of columns, for every table.
const COLUMNS: [(&str, &str); 32] = [
    ("at", "the wall-clock time of the fact"),
    ("system_id", "the actor system"),
    ("actor_address", "the address of the actor"),
    ("event_type", "the type of the event"),
    ("error", "the text of the error, of a crash"),
    ("error_type", "the error's class"),
    ("reason", "the reason in the payload"),
    ("payload", "JSON, as it was recorded"),
    ("recorded_at", "the time when the store recorded it"),
    ("timestamp", "the time of the actor system's clock"),
    ("stream", "the writer that recorded it"),
    ("seq", "its number in the stream"),
    ("extra", "JSON of the fields that have no column"),
    ("target", "the actor that should receive it"),
    ("message_type", "the message's class"),
    ("total_actors", "the number of all actors"),
    ("alive_actors", "actors that run"),
    ("stopping_actors", "actors that are stopping"),
    ("restarting_actors", "actors that are restarting"),
    ("registry_size", "names in the registry"),
    ("registry_orphans", "registered actors without an owner"),
    ("registry_dead", "registered actors that are dead"),
    ("dead_letters_count", "dead letters so far"),
    ("first_seen", "the time of its first event"),
    ("last_seen", "the time of its last event"),
    ("starts", "how often it started"),
    ("stops", "how often it stopped"),
    ("restarts", "how often it was restarted"),
    ("crashes", "how often it crashed"),
    ("last_event", "the type of its last event"),
    ("last_error", "the error of its last crash"),
    ("state", "running, crashed, stopped or unknown"),
];

/// The meanings of columns in the tables about the store. They have priority over the meaning of a fact's
/// column with the same name.
const OF_STORE: [(&str, &str, &str); 49] = [
    ("segments", "path", "the path of the file in the store's folder"),
    ("segments", "kind", "the table whose rows it holds"),
    ("segments", "rows", "the number of its facts"),
    ("segments", "bytes", "the size of the file"),
    ("segments", "fact_bytes", "the size of its facts as JSON lines"),
    ("segments", "stream", "the writer of its facts; NULL for several"),
    ("segments", "first_seq", "its first seq; NULL for several streams"),
    ("segments", "last_seq", "its last seq; NULL for several streams"),
    ("segments", "first_recorded_at", "the time when its first fact was recorded"),
    ("segments", "last_recorded_at", "the time when its last fact was recorded"),
    ("segments", "first_at", "the smallest at of its facts"),
    ("segments", "last_at", "the largest at of its facts"),
    ("segments", "blake3", "the digest of the file"),
    ("commits", "number", "its place in the ledger"),
    ("commits", "at", "the time when it was made"),
    ("commits", "action", "the action: create, flush, compact, hold, …"),
    ("commits", "by", "the process that made it"),
    ("commits", "stream", "the writer whose facts it adds"),
    ("commits", "first_seq", "the first seq that it covers"),
    ("commits", "last_seq", "the last seq that it covers"),
    ("commits", "segments_added", "the number of new files"),
    ("commits", "rows_added", "facts in the new files"),
    ("commits", "bytes_added", "bytes of the new files"),
    ("commits", "imported_from", "the input that its facts were imported from"),
    ("commits", "hold", "the hold that was added or released"),
    ("commits", "who", "the person who added or released the hold"),
    ("commits", "why", "the reason for adding or releasing it"),
    ("commits", "rows_dropped", "facts that a compaction dropped for good"),
    ("commits", "dropped_by_rule", "the dropped facts of each rule, as JSON"),
    ("commits", "parent", "the digest of the commit before"),
    ("streams", "stream", "the writer's number"),
    ("streams", "committed_seq", "its last seq in a segment"),
    ("streams", "last_seq", "its last seq, flushed or not"),
    ("streams", "unflushed", "facts that are in no segment yet"),
    ("streams", "last_recorded_at", "the time when its last fact was recorded"),
    (
        "streams",
        "ended",
        "whether no writer will continue it, after a crash or a repair; an idle stream is continued",
    ),
    ("consumers", "kind", "the table that the group consumes"),
    ("consumers", "group_name", "the group"),
    ("consumers", "delivered", "the last seq that the group got from each stream"),
    ("consumers", "consumer", "a consumer with pending facts; NULL if nothing is pending"),
    ("consumers", "pending", "delivered facts that are not acknowledged"),
    ("consumers", "waiting_since", "the time when the oldest of them was delivered"),
    ("unverified", "kind", "the table that the facts are in"),
    ("unverified", "stream", "the writer that recorded them"),
    ("unverified", "first_seq", "the first seq"),
    ("unverified", "last_seq", "the last seq"),
    ("metrics", "name", "the name of the counter"),
    ("metrics", "value", "the count or amount since this process started"),
    ("metrics", "meaning", "the meaning of the counter"),
];

/// The meaning of a column; empty if it is unknown.
pub(super) fn meaning(table: &str, column: &str) -> &'static str {
    let of_store = table.strip_prefix("store.").and_then(|table| {
        OF_STORE.iter().find(|(of, name, _)| *of == table && *name == column).map(|(.., meaning)| *meaning)
    });
    let of_facts = || COLUMNS.iter().find(|(name, _)| *name == column).map(|(_, meaning)| *meaning);
    of_store.or_else(of_facts).unwrap_or_default()
}
