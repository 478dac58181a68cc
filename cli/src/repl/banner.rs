//! The first lines of the prompt: a summary of the store.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ostracon::{Kind, ScanDepth, ScanReport};

use super::super::print::grouped;
use super::super::sanitize::visible;
use super::session::Session;

/// How long a scan may delay the prompt. Later findings are shown at a later prompt.
const PATIENCE: Duration = Duration::from_millis(40);

/// Shows the banner, and returns a channel for later findings of the scan.
pub(super) fn show(session: &Session, name: &str) -> anyhow::Result<Receiver<String>> {
    let (tell, news) = channel();
    let store = Arc::clone(&session.store);
    std::thread::Builder::new().name("scan".to_owned()).spawn(move || {
        let found = match store.scan(ScanDepth::Quick) {
            Ok(report) => report_text(&report),
            Err(error) => Some(format!("cannot scan the store: {}", visible(&error.to_string()))),
        };
        if let Some(found) = found {
            let _ = tell.send(found);
        }
    })?;

    let summary = session.store.summary()?;
    let mut out = std::io::stdout().lock();
    let counts: Vec<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let of = summary.of(kind);
            let seen = of.facts.saturating_sub(of.hidden.unwrap_or_default());
            format!("{} {}", grouped(seen), kind.table().replace('_', " "))
        })
        .collect();
    writeln!(out, "Ostracon {}, the store {name}: {}.", env!("CARGO_PKG_VERSION"), counts.join(", "))?;
    match summary.hidden() {
        Some(0) => {}
        Some(hidden) => writeln!(
            out,
            "Rules of retention hide {} more facts: see \\stats and `ostracon retention explain {name}`.",
            grouped(hidden)
        )?,
        None => writeln!(out, "Cannot count the facts that rules of retention hide.")?,
    }
    let first = Kind::ALL.into_iter().filter_map(|kind| summary.of(kind).first_at).min();
    let last = Kind::ALL.into_iter().filter_map(|kind| summary.of(kind).last_at).max();
    if let (Some(first), Some(last)) = (first, last) {
        let style = session.style();
        writeln!(out, "From {} to {}.", style.time(first), style.time(last))?;
    }
    let live = session.store.live_streams()?;
    if !live.is_empty() {
        let live: Vec<_> = live.iter().map(ToString::to_string).collect();
        writeln!(out, "Being written now: stream {}.", live.join(", "))?;
    }
    if let Ok(found) = news.recv_timeout(PATIENCE) {
        writeln!(out, "{found}")?;
    }
    writeln!(out, "SQL ends with ; and \\? shows help. To begin with: \\run crash_summary")?;
    out.flush()?;
    Ok(news)
}

fn report_text(report: &ScanReport) -> Option<String> {
    let first = report.anomalies.first()?;
    let count = report.anomalies.len();
    let plural = if count == 1 { "anomaly" } else { "anomalies" };
    Some(format!(
        "A quick scan found {count} {plural}: {} in {}. `ostracon scan` shows details.",
        first.kind,
        visible(&first.path)
    ))
}
