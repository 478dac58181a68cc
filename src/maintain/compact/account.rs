//! The account of a merge: every fact of the old segments is in a new one, or dropped by a rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::merge::{Input, Merged};
use super::source::ByRule;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Segment, Total};

/// The result of a round of merges.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) dropped: ByRule,
}

/// Gives each new segment the sum of its facts' sizes. If the numbers do not add up, that is an error:
/// such a merge must not be committed.
pub(super) fn settle(inputs: &[Input], merged: Vec<Merged>) -> Result<Made> {
    #[derive(Default)]
    struct Account {
        kept: u64,
        known: u64,
        dropped: Total,
        rest: Option<(usize, usize)>,
        wrong: bool,
    }
    let mut made = Made::default();
    let mut bytes: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    let mut accounts: BTreeMap<usize, Account> = BTreeMap::new();
    for (part, merged) in merged.iter().enumerate() {
        for share in &merged.shares {
            let account = accounts.entry(share.input).or_default();
            account.kept += share.kept;
            for (segment, measured) in &share.measured {
                account.known += measured;
                *bytes.entry((part, *segment)).or_default() += measured;
            }
            for (rule, total) in &share.dropped {
                account.dropped = account.dropped.plus(*total).unwrap_or_default();
                let of_rule = made.dropped.entry(*rule).or_default();
                *of_rule = of_rule.plus(*total).unwrap_or_default();
            }
            if let Some(rest) = share.rest {
                account.wrong |= account.rest.replace((part, rest)).is_some();
            }
        }
    }
    for (input, account) in accounts {
        let Some(input) = inputs.get(input) else { continue };
        let segment = &input.segment;
        let found = account.kept + account.dropped.facts;
        let known = account.known.checked_add(account.dropped.bytes);
        let rest = known.and_then(|known| segment.fact_bytes.checked_sub(known));
        let rest = rest.filter(|rest| account.rest.is_some() || *rest == 0).filter(|_| !account.wrong);
        let Some(rest) = rest.filter(|_| found == segment.rows) else {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "the merge of {} does not add up: the ledger says that the segment has {} facts of {} \
                     bytes, but it had {found}, {} of them kept; nothing was changed. Run `ostracon scan \
                     --deep` to see what is wrong",
                    segment.path, segment.rows, segment.fact_bytes, account.kept
                ),
            ));
        };
        if let Some(segment) = account.rest {
            *bytes.entry(segment).or_default() += rest;
        }
    }
    for (part, merged) in merged.into_iter().enumerate() {
        for (number, mut segment) in merged.segments.into_iter().enumerate() {
            segment.fact_bytes = bytes.get(&(part, number)).copied().unwrap_or_default();
            made.segments.push(Arc::new(segment));
        }
    }
    Ok(made)
}
