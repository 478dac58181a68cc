//! The journal: what makes a fact durable before it is in a segment.
//!
//! Every stream has a folder, `journal/<stream>/`, and in it a lock file and journal files. The
//! process that holds the lock owns the stream: it alone appends, to one file at a time
//! ([`append`]). A flush seals that file, and removes it once the ledger covers its facts; the
//! next fact goes into a new file, which it has begun before ([`begin`]). What a dead owner left behind is read by anyone ([`replay`])
//! and flushed by the stream's next owner.
//!
//! Files consist of frames ([`frame`](crate::frame)) and are only ever appended to. Concurrent recorders that
//! asked for [`Durability::Synced`](crate::Durability::Synced) share a sync ([`group_commit`]).
//!
//! A journal does not repair itself. A tail that was cut by a crash is left as it is, and the file goes when
//! its facts are flushed. Nobody can tell whether it was a crash that cut it: then what was cut off was never
//! acknowledged, but else it may have been. So the stream ends, and its numbers are not given out again. Damage
//! before the tail is an error for everybody until `recover` deals with it.

pub(crate) mod append;
pub(crate) mod begin;
pub(crate) mod claim;
pub(crate) mod group_commit;
pub(crate) mod replay;
pub(crate) mod sound;
pub(crate) mod source;
pub(crate) mod tail;
