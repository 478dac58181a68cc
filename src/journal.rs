//! The journal: makes a fact durable before it is in a segment.
//!
//! Every stream has a folder, `journal/<stream>/`, with a lock file and journal files. The process that
//! holds the lock owns the stream: only this process appends, to one file at a time ([`append`]). A flush
//! seals that file, and removes it once the ledger covers its facts; the next fact goes into a new file,
//! which was begun before ([`begin`]). If the owner dies, any process can read its files ([`replay`]),
//! and the stream's next owner flushes them.
//!
//! Files consist of frames ([`frame`](crate::frame)) and are only ever appended to. Concurrent recorders that
//! asked for [`Durability::Synced`](crate::Durability::Synced) share a sync ([`group_commit`]).
//!
//! A journal does not repair itself. A tail that was cut by a crash stays as it is, and the file is
//! removed when its facts are flushed. If a crash cut the tail, the cut fact was never acknowledged; if
//! something else cut it, the fact may have been. A reader cannot know which. So the stream ends, and its
//! numbers are not given out again. Damage before the tail is an error for every process until `recover`
//! repairs it.

pub(crate) mod append;
pub(crate) mod begin;
pub(crate) mod claim;
pub(crate) mod group_commit;
pub(crate) mod intact_frames;
pub(crate) mod replay;
pub(crate) mod source;
pub(crate) mod tail;
