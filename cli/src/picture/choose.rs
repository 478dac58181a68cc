//! Chooses the picture of an answer, and its columns, where the request leaves that open.
//!
//! The columns before the first number say what the number is about: times or names. So
//!
//! - a time and a number make a line, or bars if the times are few; names that distinguish the rows of one
//!   time make one line each, or the rows of a heat map if there are too many;
//! - a name and a number make bars, in the order of the answer;
//! - two names that form a matrix make a heat map;
//! - a number alone makes a histogram, and so does a time alone, to show when it happened; a name alone is
//!   counted.

use std::collections::HashSet;

use anyhow::{bail, ensure};

use super::request::{Kind, Request};
use super::series::{Class, Table};

/// The number of lines in one picture: a reader cannot distinguish more.
pub(super) const MOST_SERIES: usize = 8;
/// The number of times up to which bars are drawn instead of a line.
const FEW_TIMES: usize = 6;
/// The number of different values with which a number can still be the row of a heat map.
const MOST_STEPS: usize = 64;
/// Columns that give the position of a fact and measure nothing.
const NOT_MEASURED: [&str; 2] = ["stream", "seq"];

/// A picture and its columns, by their positions in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A bar for each row and value, or a bar with the number of rows for each label.
    Bars {
        labels: Vec<usize>,
        values: Vec<usize>,
        by: Option<usize>,
    },
    Lines {
        x: usize,
        ys: Vec<usize>,
        by: Option<usize>,
    },
    Histogram {
        of: usize,
    },
    /// The sum of `z`, or the number of rows, for each pair.
    Heat {
        x: usize,
        y: usize,
        z: Option<usize>,
    },
}

impl Plan {
    /// Whether the picture uses a column.
    pub(super) fn shows(&self, column: usize) -> bool {
        match self {
            Self::Bars { labels, values, by } => {
                labels.contains(&column) || values.contains(&column) || *by == Some(column)
            }
            Self::Lines { x, ys, by } => *x == column || ys.contains(&column) || *by == Some(column),
            Self::Histogram { of } => *of == column,
            Self::Heat { x, y, z } => *x == column || *y == column || *z == Some(column),
        }
    }
}

/// The columns that the request names.
struct RequestedColumns {
    x: Vec<usize>,
    y: Vec<usize>,
    z: Option<usize>,
    by: Option<usize>,
}

impl RequestedColumns {
    fn of(table: &Table<'_>, request: &Request) -> anyhow::Result<Self> {
        let many = |names: &Option<String>| match names {
            None => Ok(Vec::new()),
            // The name of a column may contain commas.
            Some(name) => match table.find(name) {
                Ok(column) => Ok(vec![column]),
                Err(_) => name.split(',').map(|name| table.find(name.trim())).collect(),
            },
        };
        let one = |name: &Option<String>| name.as_deref().map(|name| table.find(name)).transpose();
        Ok(Self { x: many(&request.x)?, y: many(&request.y)?, z: one(&request.z)?, by: one(&request.by)? })
    }
}

/// Chooses everything that the request leaves open.
pub(super) fn choose(table: &Table<'_>, request: &Request) -> anyhow::Result<Plan> {
    let asked = RequestedColumns::of(table, request)?;
    let chooser = Chooser { table, asked: &asked };
    let plan = match request.kind {
        None if asked.z.is_some() || chooser.is_spanned() => chooser.heat()?,
        None => chooser.whatever_fits()?,
        Some(Kind::Bar) => chooser.bars()?,
        Some(Kind::Line) => chooser.lines()?,
        Some(Kind::Histogram) => chooser.histogram()?,
        Some(Kind::Heat) => chooser.heat()?,
    };
    ensure!(
        asked.z.is_none() || matches!(plan, Plan::Heat { .. }),
        "only a heat map has a z; for example: heat x=day y=hour z=crashes"
    );
    Ok(plan)
}

struct Chooser<'a> {
    table: &'a Table<'a>,
    asked: &'a RequestedColumns,
}

impl Chooser<'_> {
    fn class(&self, column: usize) -> Class {
        self.table.columns[column].class
    }

    fn all(&self, class: Class) -> impl Iterator<Item = usize> {
        (0..self.table.columns.len()).filter(move |column| self.class(*column) == class)
    }

    fn is_asked(&self, column: usize) -> bool {
        let asked = self.asked;
        asked.x.contains(&column) || asked.y.contains(&column) || [asked.z, asked.by].contains(&Some(column))
    }

    /// Whether the requested y cannot be measured, but can be a side of a heat map.
    fn is_spanned(&self) -> bool {
        matches!(self.asked.y.as_slice(), [y] if matches!(self.class(*y), Class::Text | Class::Time))
    }

    /// The numbers that measure something and have no place in the picture yet.
    fn measures(&self) -> impl Iterator<Item = usize> {
        self.all(Class::Number).filter(|column| {
            !self.is_asked(*column) && !NOT_MEASURED.contains(&self.table.columns[*column].name.as_str())
        })
    }

    /// The columns, for a message. It also says why some numbers are not used.
    fn listed(&self) -> String {
        let is_there = |name: &&str| self.table.columns.iter().any(|column| column.name == *name);
        let unmeasured: Vec<_> = NOT_MEASURED.into_iter().filter(is_there).collect();
        match unmeasured.as_slice() {
            [] => self.table.listed(),
            [first, ..] => format!(
                "{}; {} only give the position of a fact, and are drawn only if they are named, for example \
                 y={first}",
                self.table.listed(),
                NOT_MEASURED.join(" and ")
            ),
        }
    }

    /// The requested numbers, else the first number.
    fn ys(&self) -> anyhow::Result<Vec<usize>> {
        for column in &self.asked.y {
            ensure!(
                self.class(*column) == Class::Number,
                "y={} is {}; it must be a number",
                self.table.columns[*column].title(),
                self.class(*column).name()
            );
        }
        Ok(if self.asked.y.is_empty() { self.measures().take(1).collect() } else { self.asked.y.clone() })
    }

    /// The columns that the numbers are about: the times and texts before the first number.
    fn subjects(&self) -> Vec<usize> {
        let first = self.measures().next().unwrap_or(self.table.columns.len());
        let is_subject = |column: &usize| {
            matches!(self.class(*column), Class::Time | Class::Text) && !self.is_asked(*column)
        };
        let before: Vec<_> = (0..first).filter(is_subject).collect();
        // In `SELECT count(*), day`, they come after the number.
        if before.is_empty() {
            (0..self.table.columns.len()).filter(is_subject).take(1).collect()
        } else {
            before
        }
    }

    fn different(&self, columns: &[usize]) -> anyhow::Result<usize> {
        if let [column] = columns {
            return Ok(self.table.codes(*column)?.labels.len());
        }
        let codes = columns
            .iter()
            .map(|column| Ok(&self.table.codes(*column)?.of_rows))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let key = |row: usize| codes.iter().map(|codes| codes[row]).collect::<Vec<_>>();
        Ok((0..self.table.rows).map(key).collect::<HashSet<_>>().len())
    }

    fn whatever_fits(&self) -> anyhow::Result<Plan> {
        let ys = self.ys()?;
        let xs = if self.asked.x.is_empty() { self.subjects() } else { self.asked.x.clone() };
        let time = xs.iter().copied().find(|x| self.class(*x) == Class::Time);
        match (time, xs.first(), ys.first()) {
            (Some(time), _, Some(y)) => self.over_time(time, &ys, *y),
            (Some(time), _, None) => Ok(Plan::Histogram { of: time }),
            (None, Some(x), Some(_)) if self.class(*x) == Class::Number => {
                Ok(Plan::Lines { x: *x, ys, by: self.asked.by })
            }
            (None, Some(x), None) if self.class(*x) == Class::Number => Ok(Plan::Histogram { of: *x }),
            (None, Some(_), y) => {
                if let ([x, y], Some(z), None) = (xs.as_slice(), y, self.asked.by)
                    && self.is_matrix(*x, *y)?
                {
                    return Ok(Plan::Heat { x: *y, y: *x, z: Some(*z) });
                }
                self.bars()
            }
            (None, None, Some(y)) => {
                let next = self.measures().find(|column| column != y);
                match next {
                    Some(next) if self.asked.y.is_empty() && self.is_ordered(*y)? => {
                        Ok(Plan::Lines { x: *y, ys: vec![next], by: self.asked.by })
                    }
                    _ => Ok(Plan::Histogram { of: *y }),
                }
            }
            (None, None, None) => bail!(
                "there is nothing to draw: a picture needs a time, a number or a text, and the answer has {}",
                self.listed()
            ),
        }
    }

    /// A number over time: a line, several lines, bars, or a heat map.
    fn over_time(&self, time: usize, ys: &[usize], y: usize) -> anyhow::Result<Plan> {
        let times = self.different(&[time])?;
        let mut by = self.asked.by;
        if by.is_none() && ys.len() == 1 && times < self.table.rows {
            if let Some(name) = self.distinguishing()? {
                if self.different(&[name])? > MOST_SERIES && times > 1 {
                    return Ok(Plan::Heat { x: time, y: name, z: Some(y) });
                }
                by = Some(name);
            } else if let Some(z) = self.measures().find(|column| *column != y)
                && self.asked.y.is_empty()
                && self.different(&[y])? <= MOST_STEPS
                && self.different(&[time, y])? == self.table.rows
                && times > 1
            {
                // In `SELECT day, hour, count(*)`, the hour is not a measurement.
                return Ok(Plan::Heat { x: time, y, z: Some(z) });
            }
        }
        if times <= FEW_TIMES && self.table.rows <= 2 * FEW_TIMES {
            return Ok(Plan::Bars { labels: vec![time], values: ys.to_vec(), by });
        }
        Ok(Plan::Lines { x: time, ys: ys.to_vec(), by })
    }

    /// The name that distinguishes most rows, among the names that the numbers are about.
    fn distinguishing(&self) -> anyhow::Result<Option<usize>> {
        let names = self.subjects().into_iter().filter(|column| self.class(*column) == Class::Text);
        let mut best = (1, None);
        for name in names {
            let different = self.different(&[name])?;
            if different > best.0 {
                best = (different, Some(name));
            }
        }
        Ok(best.1)
    }

    /// The fewest names that distinguish the rows as well as all names do.
    fn all_distinguishing(&self, mut names: Vec<usize>) -> anyhow::Result<Vec<usize>> {
        let all = self.different(&names)?;
        let mut by_use = Vec::new();
        for name in &names {
            by_use.push((std::cmp::Reverse(self.different(&[*name])?), *name));
        }
        by_use.sort_unstable();
        let mut chosen = Vec::new();
        for (_, name) in by_use {
            if chosen.is_empty() || self.different(&chosen)? < all {
                chosen.push(name);
            }
        }
        names.retain(|name| chosen.contains(name));
        Ok(names)
    }

    /// Whether most pairs of the two columns have a row, and each pair only one.
    fn is_matrix(&self, x: usize, y: usize) -> anyhow::Result<bool> {
        if self.class(x) == Class::Number || self.class(y) == Class::Number {
            return Ok(false);
        }
        let (xs, ys) = (self.different(&[x])?, self.different(&[y])?);
        Ok(xs > 1
            && ys > 1
            && self.table.rows * 4 >= xs * ys * 3
            && self.different(&[x, y])? == self.table.rows)
    }

    fn is_ordered(&self, column: usize) -> anyhow::Result<bool> {
        let numbers = self.table.numbers(column)?;
        let rising = |a: &Option<f64>, b: &Option<f64>| matches!((a, b), (Some(a), Some(b)) if a < b);
        Ok(numbers.len() > 2
            && (numbers.is_sorted_by(rising) || numbers.iter().rev().is_sorted_by(|a, b| rising(a, b))))
    }

    fn bars(&self) -> anyhow::Result<Plan> {
        let values = self.ys()?;
        let mut labels = if self.asked.x.is_empty() { self.subjects() } else { self.asked.x.clone() };
        ensure!(
            !labels.is_empty(),
            "bars need a column for their labels: a text, a time or, as x=, a number; the answer has {}",
            self.table.listed()
        );
        if values.is_empty() {
            // The rows are counted: by one name, because with more names each row could be a group of its
            // own.
            labels.truncate(if self.asked.x.is_empty() { 1 } else { labels.len() });
        } else if self.asked.x.is_empty() && self.table.rows > 1 {
            labels = self.all_distinguishing(labels)?;
        }
        Ok(Plan::Bars { labels, values, by: self.asked.by })
    }

    fn lines(&self) -> anyhow::Result<Plan> {
        let ys = self.ys()?;
        let x = match self.asked.x.as_slice() {
            [] => self.all(Class::Time).find(|column| !self.is_asked(*column)).or_else(|| {
                // Of two numbers, the first is x.
                self.all(Class::Number).find(|column| !self.is_asked(*column) && !ys.contains(column))
            }),
            [x] => Some(*x),
            _ => bail!("a line has one x; for example: line x=day y=crashes"),
        };
        let x = match x {
            Some(x) if matches!(self.class(x), Class::Time | Class::Number) => x,
            Some(x) => bail!(
                "x={} is {}; a line needs a time or a number as x (bars take any column)",
                self.table.columns[x].title(),
                self.class(x).name()
            ),
            None => {
                bail!("a line needs a time or a number as x; the answer has {}", self.table.listed())
            }
        };
        ensure!(!ys.is_empty(), "a line needs a number as y; the answer has {}", self.listed());
        let by = match self.asked.by {
            None if ys.len() == 1 && self.different(&[x])? < self.table.rows => self.distinguishing()?,
            by => by,
        };
        Ok(Plan::Lines { x, ys, by })
    }

    fn histogram(&self) -> anyhow::Result<Plan> {
        let asked = self.asked.y.iter().chain(&self.asked.x).copied().next();
        let of = asked.or_else(|| self.measures().next()).or_else(|| self.all(Class::Time).next());
        match of {
            Some(of) if matches!(self.class(of), Class::Time | Class::Number) => Ok(Plan::Histogram { of }),
            Some(of) => bail!(
                "{} is {}; a histogram needs numbers or times (bars count texts)",
                self.table.columns[of].title(),
                self.class(of).name()
            ),
            None => bail!("a histogram needs a number or a time; the answer has {}", self.listed()),
        }
    }

    fn heat(&self) -> anyhow::Result<Plan> {
        let mut free = (0..self.table.columns.len())
            .filter(|column| self.class(*column) != Class::Other && !self.is_asked(*column));
        let mut next = |asked: &[usize]| match asked {
            [] => free.next(),
            [column] => Some(*column),
            _ => None,
        };
        let (Some(x), Some(y)) = (next(&self.asked.x), next(&self.asked.y)) else {
            bail!(
                "a heat map needs one column as x and one as y, and takes a number as z; the answer has {}",
                self.table.listed()
            );
        };
        let z = self.asked.z.or_else(|| self.measures().find(|column| *column != x && *column != y));
        if let Some(z) = z {
            ensure!(
                self.class(z) == Class::Number,
                "z={} is {}; it must be a number",
                self.table.columns[z].title(),
                self.class(z).name()
            );
        }
        Ok(Plan::Heat { x, y, z })
    }
}
