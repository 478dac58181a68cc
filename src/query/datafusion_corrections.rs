//! Corrections of DataFusion: rules and plan nodes that keep it from wrong answers.
//!
//! Each file says at its top what DataFusion 55.2 does wrong, and when the file can be deleted. So these files are the
//! first to look at after DataFusion is updated. [`session`](super::session) puts the rules among DataFusion's own.
//!
//! - Joins: [`null_keys`], [`outer_joins`], [`using_keys`].
//! - Filters: [`above_aggregates`], [`by_position`].
//! - Orders: [`ensure_sorted`], [`window_orders`].
//! - Unions: [`empty_branches`], [`union_constants`].
//! - Aggregates: [`known_aggregates`], [`nested_distinct`], [`one_row`].
//! - Equalities: [`hide_equalities`].
//! - Windows: [`ignored_nulls`].
//!
//! [`computed_columns`], [`hide_properties`] and [`value_or_null`] are the means that several of them share.

pub(in crate::query) mod above_aggregates;
pub(in crate::query) mod by_position;
pub(in crate::query) mod computed_columns;
pub(in crate::query) mod empty_branches;
pub(in crate::query) mod ensure_sorted;
pub(in crate::query) mod hide_equalities;
pub(in crate::query) mod hide_properties;
pub(in crate::query) mod ignored_nulls;
pub(in crate::query) mod known_aggregates;
pub(in crate::query) mod nested_distinct;
pub(in crate::query) mod null_keys;
pub(in crate::query) mod one_row;
pub(in crate::query) mod outer_joins;
pub(in crate::query) mod union_constants;
pub(in crate::query) mod using_keys;
pub(in crate::query) mod value_or_null;
pub(in crate::query) mod window_orders;
