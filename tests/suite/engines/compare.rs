//! Many questions, asked of all; what differs is shown as small as it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ostracon::QueryOptions;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::facts::{Facts, Rows, ask, ask_with};
use super::grow::{Node, question};
use super::peers::{Answers, Peers};
use super::shrink::shrink;

/// Questions about one set of facts.
const BATCH: u64 = 250;

/// Progress is shown after this number of questions.
const SHOWN_EVERY: u64 = 5_000;

/// What Ostracon refuses, and others answer.
const REFUSED: [(&str, &str); 0] = [];

/// Where engines mean something else by the same words.
const DIALECT: [(&str, &str); 0] = [];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect(name))
}

/// Two halves at once, as a machine with two processors likes it.
#[test]
fn questions_have_one_answer_in_three_engines() {
    let questions = setting("QUERIES", 2_000);
    let seed = setting("SEED", 1);
    // `QUERIES=250 FIRST=44` asks the questions of seed 1000047 again.
    let first = setting("FIRST", 0);
    let batches = questions.div_ceil(BATCH);
    let asked = Arc::new(AtomicU64::new(0));
    let halves = [0, 1].map(|half| {
        let asked = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut bench = Bench::new();
            for batch in (half..batches).step_by(2) {
                bench.batch(seed.wrapping_mul(1_000_003).wrapping_add(first + batch));
                let asked = asked.fetch_add(BATCH, Ordering::Relaxed) + BATCH;
                if asked.is_multiple_of(SHOWN_EVERY) {
                    eprintln!("{asked} of {questions} questions");
                }
            }
            bench
        })
    });
    let [first, second] = halves.map(|half| half.join().unwrap());
    let mut differences = first.differences;
    differences.extend(second.differences);
    let mut refusals: Vec<(String, usize)> = first.refusals.into_iter().collect();
    refusals.extend(second.refusals);
    println!("{questions} questions, {} differences", differences.len());
    for (why, times) in refusals {
        println!("refused {times} times: {why}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

struct Bench {
    peers: Peers,
    runtime: Runtime,
    differences: Vec<String>,
    /// How often it differed in which way.
    kinds: std::collections::BTreeMap<String, u64>,
    refusals: std::collections::BTreeMap<String, usize>,
}

impl Bench {
    fn new() -> Self {
        Self {
            peers: Peers::start(),
            runtime: runtime(),
            differences: Vec::new(),
            kinds: Default::default(),
            refusals: Default::default(),
        }
    }

    fn batch(&mut self, seed: u64) {
        let facts = Facts::of(seed);
        self.peers.load(&facts.tables(&self.runtime));
        let questions: Vec<_> =
            (0..BATCH).map(|n| question(seed.wrapping_mul(BATCH).wrapping_add(n))).collect();
        let texts: Vec<String> = questions.iter().map(|question| question.tree.to_string()).collect();
        self.peers.ask(&texts);
        let ours: Vec<_> = texts.iter().map(|sql| ask(&facts.mixed, &self.runtime, sql)).collect();
        let theirs = self.peers.receive_answers();
        for (n, question) in questions.iter().enumerate() {
            let found =
                self.judge(&texts[n], question.ordered, ours[n].as_ref().map_err(Clone::clone), &theirs[n]);
            let found =
                found.or_else(|| self.differs_from_itself(&facts, &texts[n], question.ordered, n, &ours[n]));
            let Some(found) = found else { continue };
            // A few of each kind tell enough: to make one small takes long.
            let kind = found.split_whitespace().take(12).collect::<Vec<_>>().join(" ");
            let seen = self.kinds.entry(kind).or_insert(0);
            *seen += 1;
            if *seen > setting("SHOWN", 2) {
                self.add_difference(format!("seed {seed}, question {n}: {found}"));
                continue;
            }
            let report = self.report(&facts, &question.tree, question.ordered, &found);
            self.add_difference(format!("seed {seed}, question {n}: {report}"));
        }
    }

    /// Shown at once: the other questions may take an hour.
    fn add_difference(&mut self, report: String) {
        eprintln!("{report}\n");
        self.differences.push(report);
    }

    /// What is wrong with our answer, beside those of the others.
    fn judge(
        &mut self,
        sql: &str,
        ordered: bool,
        ours: Result<&Rows, String>,
        theirs: &Answers,
    ) -> Option<String> {
        if DIALECT.iter().any(|(words, _)| sql.contains(words)) {
            return None;
        }
        // Also if no engine answers the question.
        if let Err(why) = &ours
            && why.contains("panicked")
        {
            return Some(format!("it is refused: {why}"));
        }
        let theirs: Vec<&Rows> = theirs.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        // A question that nobody else understands asks nothing.
        if theirs.is_empty() {
            return None;
        }
        match ours {
            Ok(rows) => {
                let ordered = is_ordered(sql, ordered);
                let same = theirs.iter().any(|other| {
                    normal(rows, ordered) == normal(other, ordered)
                        || (may_be_paired_otherwise(sql) && alike_by_column(sql, rows, other))
                });
                (!same).then(|| "the answer is another".to_owned())
            }
            Err(why) => {
                let kind = why.split(['{', '(']).next().unwrap_or_default().to_owned();
                *self.refusals.entry(kind).or_default() += 1;
                let known = REFUSED.iter().any(|(words, _)| why.contains(words));
                (!known).then(|| format!("it is refused: {why}"))
            }
        }
    }

    /// The same question with the facts in other places, and answered in other ways.
    fn differs_from_itself(
        &self,
        facts: &Facts,
        sql: &str,
        ordered: bool,
        n: usize,
        ours: &Result<Rows, String>,
    ) -> Option<String> {
        let ordered = is_ordered(sql, ordered);
        let rows = ours.as_ref().ok()?;
        let ours = normal(rows, ordered);
        let (how, again) = match n % 4 {
            0 => ("with all facts in tails", ask(&facts.tails, &self.runtime, sql)),
            1 => {
                let options = QueryOptions::new().without_pruning();
                ("without pruning", ask_with(&facts.mixed, &self.runtime, sql, options))
            }
            _ => return None,
        };
        let same = again.as_ref().is_ok_and(|again| {
            normal(again, ordered) == ours
                || (may_be_paired_otherwise(sql) && alike_by_column(sql, rows, again))
        });
        (!same).then(|| format!("{how} it is {again:?}"))
    }

    /// The smallest tree that shows it, all answers, and which rule is at fault.
    fn report(&mut self, facts: &Facts, tree: &Node, ordered: bool, found: &str) -> String {
        let refused = found.starts_with("it is refused");
        let what = |found: &str| found.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        let mut last = found.to_owned();
        let small = shrink(tree.clone(), |tree| {
            let sql = tree.to_string();
            let ours = ask(&facts.mixed, &self.runtime, &sql);
            if ours.is_err() != refused {
                return false;
            }
            self.peers.ask(std::slice::from_ref(&sql));
            let theirs = self.peers.receive_answers().remove(0);
            let found = self
                .judge(&sql, ordered, ours.as_ref().map_err(Clone::clone), &theirs)
                .or_else(|| (0..2).find_map(|n| self.differs_from_itself(facts, &sql, ordered, n, &ours)));
            let same = found.as_ref().is_some_and(|found| !refused || what(found) == what(&last));
            if let Some(found) = found.filter(|_| same) {
                last = found;
            }
            same
        });
        let sql = small.to_string();
        self.peers.ask(std::slice::from_ref(&sql));
        let [duck, lite] = self.peers.receive_answers().remove(0);
        let ours = ask(&facts.mixed, &self.runtime, &sql);
        let guilty = if refused { None } else { duck.as_ref().ok().or(lite.as_ref().ok()) };
        let guilty = guilty.map(|right| {
            let right = normal(right, ordered);
            RULES
                .into_iter()
                .filter(|rule| {
                    let options = QueryOptions::new().without_rule(*rule);
                    ask_with(&facts.mixed, &self.runtime, &sql, options)
                        .is_ok_and(|rows| normal(&rows, ordered) == right)
                })
                .collect::<Vec<_>>()
        });
        let of = |answer: &Result<Rows, String>| answer.as_ref().map_or_else(Clone::clone, text);
        format!(
            "{last}\n{sql}\nostracon {}\nduckdb   {}\nsqlite   {}\nright without {:?}",
            of(&ours),
            of(&duck),
            of(&lite),
            guilty.unwrap_or_default()
        )
    }
}

/// Rules that one can do without.
const RULES: [&str; 27] = [
    "simplify_expressions",
    "eliminate_join",
    "eliminate_filter",
    "eliminate_cross_join",
    "eliminate_limit",
    "propagate_empty_relation",
    "filter_null_join_keys",
    "eliminate_outer_join",
    "push_down_limit",
    "push_down_filter",
    "single_distinct_aggregation_to_group_by",
    "eliminate_group_by_constant",
    "common_sub_expression_eliminate",
    "optimize_projections",
    "extract_equijoin_predicate",
    "eliminate_duplicated_expr",
    "optimize_unions",
    "unions_to_filter",
    "join_selection",
    "FilterPushdown",
    "FilterPushdown(Post)",
    "ProjectionPushdown",
    "known_aggregates",
    "WindowTopN",
    "LimitPushdown",
    "combine_in_lists",
    "LimitAggregation",
];

/// Whether rows that are alike may be in another order in one window than in the other: which values of the two
/// are in one row is nobody's to say then.
fn may_be_paired_otherwise(sql: &str) -> bool {
    sql.matches(" OVER (").count() > 1
}

/// Whether each column has the same values, in whatever rows. Where pairs that are equal are one row, there may be
/// more or fewer of them.
fn alike_by_column(sql: &str, ours: &Rows, theirs: &Rows) -> bool {
    let width = ours.first().map_or(0, Vec::len);
    let is_distinct = ["UNION SELECT", "UNION (", " DISTINCT "].into_iter().any(|words| sql.contains(words));
    let column = |rows: &Rows, at: usize| {
        let values: Rows = rows.iter().map(|row| vec![row[at].clone()]).collect();
        let mut values = normal(&values, false);
        if is_distinct {
            values.dedup();
        }
        values
    };
    (is_distinct || ours.len() == theirs.len())
        && theirs.iter().all(|row| row.len() == width)
        && (0..width).all(|at| column(ours, at) == column(theirs, at))
}

/// Whether a question still has the order that it was made with, after parts of it were cut off.
fn is_ordered(sql: &str, was: bool) -> bool {
    was && sql.starts_with("SELECT * FROM (") && sql.contains(" AS q ORDER BY ")
}

fn text(rows: &Rows) -> String {
    Value::Array(rows.iter().map(|row| Value::Array(row.clone())).collect()).to_string()
}

/// Rows so that equal answers are equal texts: numbers whatever their type, and rows in an order of their own
/// unless the question gives them one.
fn normal(rows: &Rows, ordered: bool) -> Vec<String> {
    let value = |value: &Value| match value.as_f64() {
        Some(number) => format!("{number:.6}"),
        None => value.to_string(),
    };
    let mut rows: Vec<String> =
        rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join("|")).collect();
    if !ordered {
        rows.sort_unstable();
    }
    rows
}
