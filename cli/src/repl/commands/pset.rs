//! `\pset`: sets the look of answers, with those words of psql that have a meaning here.

use super::super::super::sanitize::visible;
use super::super::super::table::Expanded;
use super::super::session::Session;
use super::{Next, settings, unquoted};

/// A setting of the look of answers.
struct Setting {
    /// Its names. The first is ours; the others are from psql.
    names: &'static [&'static str],
    words: &'static [&'static str],
    set: fn(&mut Session, &str) -> anyhow::Result<Next>,
    shown: fn(&Session) -> String,
}

const ALL: &[Setting] = &[
    Setting {
        names: &["expanded", "x", "vertical"],
        words: &["on", "off", "auto"],
        set: settings::expanded,
        shown: |session| match session.settings.expanded {
            Expanded::Off => "off".to_owned(),
            Expanded::On => "on".to_owned(),
            Expanded::Auto => "auto".to_owned(),
        },
    },
    Setting {
        names: &["format"],
        words: super::FORMATS,
        set: settings::format,
        shown: |session| settings::named(&session.settings.format),
    },
    Setting {
        names: &["null"],
        words: &[],
        set: null,
        shown: |session| format!("'{}'", session.settings.null),
    },
    Setting {
        names: &["pager"],
        words: &["on", "off"],
        set: settings::pager,
        shown: |session| session.settings.pager.clone().unwrap_or_else(|| "off".to_owned()),
    },
];

pub(super) fn run(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let (name, value) = arguments.split_once(char::is_whitespace).unwrap_or((arguments, ""));
    if name.is_empty() {
        let lines = ALL.iter().map(|one| {
            let name = one.names.first().copied().unwrap_or_default();
            format!("{name:<10}{}\n", visible(&(one.shown)(session)))
        });
        return super::page(session, &lines.collect::<String>());
    }
    let Some(setting) = find(name) else {
        anyhow::bail!(
            "\\pset does not know {name:?}; it knows {} (for the zone of times use \\timezone, for the time \
             of statements \\timing)",
            names().join(", ")
        );
    };
    (setting.set)(session, value.trim())
}

fn find(name: &str) -> Option<&'static Setting> {
    ALL.iter().find(|setting| setting.names.contains(&name))
}

/// The names of the settings.
pub(in super::super) fn names() -> Vec<&'static str> {
    ALL.iter().filter_map(|setting| setting.names.first().copied()).collect()
}

/// The values of a setting.
pub(in super::super) fn words(name: &str) -> Vec<&'static str> {
    find(name).map(|setting| setting.words.to_vec()).unwrap_or_default()
}

#[expect(clippy::unnecessary_wraps, reason = "commands may fail")]
fn null(session: &mut Session, value: &str) -> anyhow::Result<Next> {
    if !value.is_empty() {
        session.settings.null = visible(&unquoted(value)).into_owned();
    }
    settings::tell(session, &format!("NULL is shown in tables as '{}'", session.settings.null));
    Ok(Next::Prompt)
}
