//! What the rows of each table are, and what its columns mean.

/// The tables, facts first.
pub(super) const TABLES: [(&str, &str); 12] = [
    ("events", "what happened to actors"),
    ("audits", "snapshots of a system's counters"),
    ("dead_letters", "messages that reached nobody"),
    ("crashes", "events that are crashes"),
    ("restarts", "events that are restarts"),
    ("actors", "one row for each actor: its state, its counts, its last error"),
    ("store.segments", "the files that facts are in"),
    ("store.commits", "what was done to the store, and by whom"),
    ("store.streams", "the writers, and how far each has come"),
    ("store.consumers", "consumer groups, and what is pending with whom"),
    ("store.unverified", "facts that may not be what was recorded"),
    ("store.metrics", "counters of this process"),
];

/// Columns, of whichever table.
const COLUMNS: [(&str, &str); 32] = [
    ("at", "the wall time that people mean"),
    ("system_id", "which actor system"),
    ("actor_address", "which actor"),
    ("event_type", "what happened"),
    ("error", "the error's text, of a crash"),
    ("error_type", "the error's class"),
    ("reason", "why, as the payload says"),
    ("payload", "JSON, as it was recorded"),
    ("recorded_at", "when the store recorded it"),
    ("timestamp", "what the actor system's clock said"),
    ("stream", "which writer recorded it"),
    ("seq", "its number in the stream"),
    ("extra", "JSON of what a line said beyond the columns"),
    ("target", "the actor that was meant"),
    ("message_type", "the message's class"),
    ("total_actors", "actors in all"),
    ("alive_actors", "actors that run"),
    ("stopping_actors", "actors that are stopping"),
    ("restarting_actors", "actors that are restarting"),
    ("registry_size", "names in the registry"),
    ("registry_orphans", "registered actors that nobody owns"),
    ("registry_dead", "registered actors that are dead"),
    ("dead_letters_count", "dead letters so far"),
    ("first_seen", "at of its first event"),
    ("last_seen", "at of its last event"),
    ("starts", "how often it started"),
    ("stops", "how often it stopped"),
    ("restarts", "how often it was restarted"),
    ("crashes", "how often it crashed"),
    ("last_event", "what happened to it last"),
    ("last_error", "the error of its last crash"),
    ("state", "running, crashed, stopped or unknown"),
];

/// Columns of the tables about the store. Where a fact's column has the same name, this goes before it.
const OF_STORE: [(&str, &str, &str); 49] = [
    ("segments", "path", "where the file is, in the store's folder"),
    ("segments", "kind", "the table whose rows it holds"),
    ("segments", "rows", "how many"),
    ("segments", "bytes", "how long the file is"),
    ("segments", "fact_bytes", "how long its facts would be as JSON lines"),
    ("segments", "stream", "the writer whose facts these are; NULL for several"),
    ("segments", "first_seq", "the first of its numbers; NULL for several streams"),
    ("segments", "last_seq", "the last of its numbers; NULL for several streams"),
    ("segments", "first_recorded_at", "when the first was recorded"),
    ("segments", "last_recorded_at", "when the last was recorded"),
    ("segments", "first_at", "the least at of its facts"),
    ("segments", "last_at", "the greatest at of its facts"),
    ("segments", "blake3", "the digest of the file"),
    ("commits", "number", "its place in the ledger"),
    ("commits", "at", "when it was made"),
    ("commits", "action", "what was done: create, flush, compact, hold, …"),
    ("commits", "by", "the process that did it"),
    ("commits", "stream", "the writer whose facts it adds"),
    ("commits", "first_seq", "the first number that it covers"),
    ("commits", "last_seq", "the last number that it covers"),
    ("commits", "segments_added", "files that came"),
    ("commits", "rows_added", "facts in the files that came"),
    ("commits", "bytes_added", "bytes of the files that came"),
    ("commits", "imported_from", "the input that its facts were imported from"),
    ("commits", "hold", "the hold that was added or released"),
    ("commits", "who", "who added or released the hold"),
    ("commits", "why", "the reason that was given for it"),
    ("commits", "rows_dropped", "facts that a compaction dropped for good"),
    ("commits", "dropped_by_rule", "how many of them by each rule, as JSON"),
    ("commits", "parent", "the digest of the commit before"),
    ("streams", "stream", "the writer's number"),
    ("streams", "committed_seq", "its last number that is in a segment"),
    ("streams", "last_seq", "its last number, wherever that is"),
    ("streams", "unflushed", "facts that are in no segment yet"),
    ("streams", "last_recorded_at", "when its last fact was recorded"),
    (
        "streams",
        "ended",
        "whether its numbers are at an end, after a crash or a repair; an idle one is taken up again",
    ),
    ("consumers", "kind", "the table that the group consumes"),
    ("consumers", "group_name", "the group"),
    ("consumers", "delivered", "what the group was given, in each stream"),
    ("consumers", "consumer", "who has not acknowledged all; none where nothing is pending"),
    ("consumers", "pending", "facts that it was given and nobody has acknowledged"),
    ("consumers", "waiting_since", "when the oldest of them was delivered"),
    ("unverified", "kind", "the table that the facts are in"),
    ("unverified", "stream", "which writer recorded them"),
    ("unverified", "first_seq", "the first number"),
    ("unverified", "last_seq", "the last number"),
    ("metrics", "name", "what is counted"),
    ("metrics", "value", "how often, or how much, since this process began"),
    ("metrics", "meaning", "what that tells"),
];

/// What a column means; empty if nobody knows.
pub(super) fn meaning(table: &str, column: &str) -> &'static str {
    let of_store = table.strip_prefix("store.").and_then(|table| {
        OF_STORE.iter().find(|(of, name, _)| *of == table && *name == column).map(|(.., meaning)| *meaning)
    });
    let of_facts = || COLUMNS.iter().find(|(name, _)| *name == column).map(|(_, meaning)| *meaning);
    of_store.or_else(of_facts).unwrap_or_default()
}
