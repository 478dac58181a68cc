//! Questions, made up.
//!
//! A question is a tree of text: a node has a place (what may stand where it stands) and parts. So it can be
//! written down without a grammar, and cut down without one ([`shrink`](super::shrink)).

use std::fmt;

use super::facts::Kind::{self, Bool, Int, Text};
use super::facts::{Dice, TABLES};

/// What may stand where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Value(Kind),
    /// Nothing may stand there, too.
    Optional,
    /// A whole query with these columns.
    Query,
    /// Something in a FROM.
    Source,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Words(String),
    Node(Node),
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) parts: Vec<Part>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Words(words) => f.write_str(words),
            Part::Node(node) => node.fmt(f),
        })
    }
}

/// A node from a text with a `{}` for each of its children.
fn node(place: Place, text: &str, children: Vec<Node>) -> Node {
    let mut words = text.split("{}");
    let mut parts = vec![Part::Words(words.next().unwrap_or_default().to_owned())];
    for child in children {
        parts.push(Part::Node(child));
        parts.push(Part::Words(words.next().expect("a place for each child").to_owned()));
    }
    assert!(words.next().is_none(), "a child for each place: {text}");
    Node { place, parts }
}

fn value(kind: Kind, text: &str, children: Vec<Node>) -> Node {
    node(Place::Value(kind), text, children)
}

/// Children side by side.
fn list(children: Vec<Node>, between: &str) -> (String, Vec<Node>) {
    (vec!["{}"; children.len()].join(between), children)
}

fn optional(text: &str, children: Vec<Node>) -> Node {
    node(Place::Optional, text, children)
}

fn nothing() -> Node {
    optional("", Vec::new())
}

/// Names of columns, and what they give.
type Scope = Vec<(String, Kind)>;

/// A question: what it says, and whether the order of its rows counts.
pub(super) struct Question {
    pub(super) tree: Node,
    pub(super) ordered: bool,
}

/// The question of a seed.
pub(super) fn question(seed: u64) -> Question {
    let mut grower = Grower { dice: Dice(seed), aliases: 0 };
    let width = 1 + grower.dice.roll(3);
    let kinds: Vec<Kind> = (0..width).map(|_| grower.kind()).collect();
    let tree = grower.query(&kinds, &Vec::new(), 3);
    // All columns decide, so rows that compare equal are equal.
    if grower.dice.one_in(3) {
        let order: Vec<String> = (1..=width)
            .map(|column| {
                let order = grower.dice.pick(&["", " DESC"]);
                let nulls = grower.dice.pick(&["FIRST", "LAST"]);
                format!("c{column}{order} NULLS {nulls}")
            })
            .collect();
        let limit = if grower.dice.one_in(2) {
            let offset = if grower.dice.one_in(3) { " OFFSET 1" } else { "" };
            optional(&format!(" LIMIT {}{offset}", 1 + grower.dice.roll(4)), Vec::new())
        } else {
            nothing()
        };
        let text = format!("SELECT * FROM ({{}}) AS q ORDER BY {}{{}}", order.join(", "));
        return Question { tree: node(Place::Query, &text, vec![tree, limit]), ordered: true };
    }
    Question { tree, ordered: false }
}

struct Grower {
    dice: Dice,
    aliases: usize,
}

impl Grower {
    fn kind(&mut self) -> Kind {
        *self.dice.pick(&[Int, Int, Text, Text, Bool])
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// A query whose columns are named c1, c2, … `outer` are columns that it may name although they are
    /// outside of it.
    fn query(&mut self, kinds: &[Kind], outer: &Scope, depth: usize) -> Node {
        if depth > 0 && outer.is_empty() && self.dice.one_in(7) {
            let set = *self.dice.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "UNION ALL"]);
            let left = self.select(kinds, outer, depth - 1);
            let right = self.select(kinds, outer, depth - 1);
            return node(Place::Query, &format!("{{}} {set} {{}}"), vec![left, right]);
        }
        self.select(kinds, outer, depth)
    }

    fn select(&mut self, kinds: &[Kind], outer: &Scope, depth: usize) -> Node {
        let (source, scope) = self.source(depth);
        let seen: Scope = scope.iter().chain(outer).cloned().collect();
        let filter = if self.dice.one_in(4) {
            nothing()
        } else {
            let condition = self.value(Bool, &seen, &seen, depth);
            optional(" WHERE {}", vec![condition])
        };
        match self.dice.roll(6) {
            0 => self.grouped(kinds, source, filter, &scope, depth),
            1 if outer.is_empty() => self.windowed(kinds, source, filter, &scope, depth),
            _ => {
                let columns =
                    self.columns(kinds, |grower, kind| grower.value(kind, &seen, &seen, depth.min(2)));
                let distinct =
                    if self.dice.one_in(6) { optional("DISTINCT ", Vec::new()) } else { nothing() };
                let (text, mut children) = list(columns, ", ");
                children.insert(0, distinct);
                children.extend([source, filter]);
                node(Place::Query, &format!("SELECT {{}}{text} FROM {{}}{{}}"), children)
            }
        }
    }

    fn columns(&mut self, kinds: &[Kind], mut of: impl FnMut(&mut Self, Kind) -> Node) -> Vec<Node> {
        let mut columns = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            let column = of(self, *kind);
            // Not a value: it cannot be put in the place of one.
            columns.push(node(Place::Source, &format!("{{}} AS c{}", at + 1), vec![column]));
        }
        columns
    }

    fn grouped(&mut self, kinds: &[Kind], source: Node, filter: Node, scope: &Scope, depth: usize) -> Node {
        let keys: Vec<(String, Kind)> =
            (0..self.dice.roll(3)).map(|_| self.dice.pick(scope).clone()).collect();
        let aggregate = |grower: &mut Self, kind: Kind| {
            if !keys.is_empty() && grower.dice.one_in(2) {
                let fitting: Vec<_> = keys.iter().filter(|(_, of)| *of == kind).collect();
                if !fitting.is_empty() {
                    return value(kind, &grower.dice.pick(&fitting).0.clone(), Vec::new());
                }
            }
            grower.aggregate(kind, scope, depth, "")
        };
        let columns = self.columns(kinds, aggregate);
        let group = if keys.is_empty() {
            nothing()
        } else {
            let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
            node(Place::Source, &format!(" GROUP BY {}", names.join(", ")), Vec::new())
        };
        let having = if self.dice.one_in(3) {
            let condition = self.aggregate(Bool, scope, depth, "");
            optional(" HAVING {}", vec![condition])
        } else {
            nothing()
        };
        let (text, mut children) = list(columns, ", ");
        children.extend([source, filter, group, having]);
        node(Place::Query, &format!("SELECT {text} FROM {{}}{{}}{{}}{{}}"), children)
    }

    /// An aggregate; `over` is what makes a window of it.
    fn aggregate(&mut self, kind: Kind, scope: &Scope, depth: usize, over: &str) -> Node {
        let filter = if self.dice.one_in(4) {
            let condition = self.value(Bool, scope, &Vec::new(), depth.min(1));
            optional(" FILTER (WHERE {})", vec![condition])
        } else {
            nothing()
        };
        match kind {
            Bool => {
                let number = self.aggregate(Int, scope, depth, over);
                let comparison = *self.dice.pick(&["=", "<>", "<", ">", ">="]);
                let than = self.dice.roll(4);
                value(Bool, &format!("({{}} {comparison} {than})"), vec![number])
            }
            Text => {
                let function = *self.dice.pick(&["min", "max"]);
                let of = self.value(Text, scope, &Vec::new(), depth.min(1));
                value(Text, &format!("{function}({{}}){{}}{over}"), vec![of, filter])
            }
            Int => {
                let distinct = if over.is_empty() && self.dice.one_in(4) { "DISTINCT " } else { "" };
                match self.dice.roll(4) {
                    0 => value(Int, &format!("count(*){{}}{over}"), vec![filter]),
                    1 => {
                        let kind = self.kind();
                        let of = self.value(kind, scope, &Vec::new(), depth.min(1));
                        value(Int, &format!("count({distinct}{{}}){{}}{over}"), vec![of, filter])
                    }
                    _ => {
                        let function = *self.dice.pick(&["sum", "min", "max"]);
                        let of = self.value(Int, scope, &Vec::new(), depth.min(1));
                        value(Int, &format!("{function}({distinct}{{}}){{}}{over}"), vec![of, filter])
                    }
                }
            }
        }
    }

    fn windowed(&mut self, kinds: &[Kind], source: Node, filter: Node, scope: &Scope, depth: usize) -> Node {
        let window = |grower: &mut Self, kind: Kind| {
            if grower.dice.one_in(3) {
                return grower.value(kind, scope, scope, depth.min(1));
            }
            let partition = if grower.dice.one_in(2) {
                format!("PARTITION BY {} ", grower.dice.pick(scope).0)
            } else {
                String::new()
            };
            // By all columns: what is equal in all of them is equal in the answer.
            let order: Vec<String> = scope
                .iter()
                .map(|(name, _)| {
                    format!(
                        "{name}{} NULLS {}",
                        grower.dice.pick(&["", " DESC"]),
                        grower.dice.pick(&["FIRST", "LAST"])
                    )
                })
                .collect();
            let frame = *grower.dice.pick(&[
                "",
                " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                " ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING",
                " ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
                " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            ]);
            let ordered = format!("{partition}ORDER BY {}", order.join(", "));
            match (kind, grower.dice.roll(3)) {
                (Int, 0) => {
                    let function = *grower.dice.pick(&["row_number()", "rank()", "dense_rank()", "ntile(2)"]);
                    value(Int, &format!("{function} OVER ({ordered})"), Vec::new())
                }
                (kind, 1) => {
                    let function = *grower.dice.pick(&["lag", "lead", "first_value", "last_value"]);
                    let of = grower.value(kind, scope, &Vec::new(), depth.min(1));
                    let frame =
                        if function.starts_with('l') && function != "last_value" { "" } else { frame };
                    value(kind, &format!("{function}({{}}) OVER ({ordered}{frame})"), vec![of])
                }
                (kind, _) => grower.aggregate(kind, scope, depth, &format!(" OVER ({ordered}{frame})")),
            }
        };
        let columns = self.columns(kinds, window);
        let (text, mut children) = list(columns, ", ");
        children.extend([source, filter]);
        node(Place::Query, &format!("SELECT {text} FROM {{}}{{}}"), children)
    }

    /// What stands in a FROM, and the columns that it has.
    fn source(&mut self, depth: usize) -> (Node, Scope) {
        let (mut source, mut scope) = self.table(depth);
        let joins = if depth == 0 { 0 } else { *self.dice.pick(&[0, 0, 0, 1, 1, 2]) };
        for _ in 0..joins {
            let (right, columns) = self.table(depth - 1);
            let both: Scope = scope.iter().chain(&columns).cloned().collect();
            let join =
                *self.dice.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT JOIN"]);
            source = if join == "CROSS JOIN" {
                node(Place::Source, "{} CROSS JOIN {}", vec![source, right])
            } else {
                let on = self.join_condition(&scope, &columns, &both, join == "FULL JOIN");
                node(Place::Source, &format!("{{}} {join} {{}} ON {{}}"), vec![source, right, on])
            };
            scope = both;
        }
        (source, scope)
    }

    fn join_condition(&mut self, left: &Scope, right: &Scope, both: &Scope, plain: bool) -> Node {
        let kind = *self.dice.pick(&[Int, Text]);
        let column = |grower: &mut Self, scope: &Scope| {
            let fitting: Vec<_> =
                scope.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.clone()).collect();
            (!fitting.is_empty()).then(|| value(kind, grower.dice.pick::<String>(&fitting), Vec::new()))
        };
        let (Some(a), Some(b)) = (column(self, left), column(self, right)) else {
            return value(Bool, "TRUE", Vec::new());
        };
        let comparison =
            if plain { "=" } else { *self.dice.pick(&["=", "=", "=", "<", "<>", "IS NOT DISTINCT FROM"]) };
        let equal = value(Bool, &format!("({{}} {comparison} {{}})"), vec![a, b]);
        if plain || !self.dice.one_in(3) {
            return equal;
        }
        let more = self.value(Bool, both, &Vec::new(), 1);
        let and = *self.dice.pick(&["AND", "AND", "OR"]);
        value(Bool, &format!("({{}} {and} {{}})"), vec![equal, more])
    }

    fn table(&mut self, depth: usize) -> (Node, Scope) {
        let alias = self.alias();
        if depth > 0 && self.dice.one_in(4) {
            let kinds: Vec<Kind> = (0..1 + self.dice.roll(3)).map(|_| self.kind()).collect();
            let query = self.query(&kinds, &Vec::new(), depth - 1);
            let scope = kinds.iter().enumerate().map(|(at, kind)| (format!("{alias}.c{}", at + 1), *kind));
            let scope = scope.collect();
            return (node(Place::Source, &format!("({{}}) AS {alias}"), vec![query]), scope);
        }
        let (name, columns) = TABLES[*self.dice.pick(&[0, 0, 0, 1, 1, 2, 3, 4, 5])];
        let scope = columns.iter().map(|(column, kind)| (format!("{alias}.{column}"), *kind)).collect();
        (node(Place::Source, &format!("{name} AS {alias}"), Vec::new()), scope)
    }

    /// An expression over these columns, and of subqueries over `outer`; of none if that is empty.
    fn value(&mut self, kind: Kind, scope: &Scope, outer: &Scope, depth: usize) -> Node {
        if depth == 0 || self.dice.one_in(5) {
            return self.leaf(kind, scope);
        }
        let of = |grower: &mut Self, kind| grower.value(kind, scope, outer, depth - 1);
        match (kind, self.dice.roll(16)) {
            (_, 0) => {
                let (when, then, otherwise) = (of(self, Bool), of(self, kind), of(self, kind));
                let otherwise = optional(" ELSE {}", vec![otherwise]);
                value(kind, "CASE WHEN {} THEN {}{} END", vec![when, then, otherwise])
            }
            (_, 1) => {
                let (first, second) = (of(self, kind), of(self, kind));
                let function = *self.dice.pick(&["coalesce", "nullif"]);
                value(kind, &format!("{function}({{}}, {{}})"), vec![first, second])
            }
            (_, 2) if !outer.is_empty() => self.scalar_query(kind, scope, outer, depth - 1),
            (Int, 3..=7) => {
                let (first, second) = (of(self, Int), of(self, Int));
                let operator = *self.dice.pick(&["+", "-", "*"]);
                value(Int, &format!("({{}} {operator} {{}})"), vec![first, second])
            }
            (Int, 8) => value(Int, "({} % 3)", vec![of(self, Int)]),
            (Int, 9..=11) => value(Int, "length({})", vec![of(self, Text)]),
            (Text, 3..=5) => value(Text, "({} || {})", vec![of(self, Text), of(self, Text)]),
            (Text, 6) => value(Text, "upper({})", vec![of(self, Text)]),
            (Text, 7) => value(Text, "substr({}, 1, 2)", vec![of(self, Text)]),
            (Text, 8) => value(Text, "replace({}, 'o', '')", vec![of(self, Text)]),
            (Bool, 2) => value(Bool, "(NOT {})", vec![of(self, Bool)]),
            (Bool, 3) => {
                let test = *self.dice.pick(&["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NULL", "IS NOT NULL"]);
                value(Bool, &format!("({{}} {test})"), vec![of(self, Bool)])
            }
            (Bool, 4..=6) => {
                let operator = *self.dice.pick(&["AND", "OR"]);
                value(Bool, &format!("({{}} {operator} {{}})"), vec![of(self, Bool), of(self, Bool)])
            }
            (Bool, 7) => {
                let kind = *self.dice.pick(&[Int, Text]);
                let test = *self.dice.pick(&["IS NULL", "IS NOT NULL"]);
                value(Bool, &format!("({{}} {test})"), vec![of(self, kind)])
            }
            (Bool, 8) => {
                let kind = *self.dice.pick(&[Int, Text]);
                let not = *self.dice.pick(&["", "NOT "]);
                let operand = of(self, kind);
                let values = (0..1 + self.dice.roll(4)).map(|_| self.listed(kind, scope)).collect();
                let (text, mut children) = list(values, ", ");
                children.insert(0, operand);
                value(Bool, &format!("({{}} {not}IN ({text}))"), children)
            }
            (Bool, 9) => {
                let not = *self.dice.pick(&["", "NOT "]);
                let parts = vec![of(self, Int), self.leaf(Int, scope), of(self, Int)];
                value(Bool, &format!("({{}} {not}BETWEEN {{}} AND {{}})"), parts)
            }
            (Bool, 10) => {
                let pattern = *self.dice.pick(&["E%", "%1", "%:%", "_: _", "shop:_", "", "%", "Order"]);
                let not = *self.dice.pick(&["", "NOT "]);
                value(Bool, &format!("({{}} {not}LIKE '{pattern}')"), vec![of(self, Text)])
            }
            (Bool, 11 | 12) if !outer.is_empty() => self.query_test(scope, outer, depth - 1),
            (Bool, _) => {
                let kind = *self.dice.pick(&[Int, Text]);
                let comparison = *self.dice.pick(&[
                    "=",
                    "=",
                    "<>",
                    "<",
                    ">",
                    "<=",
                    ">=",
                    "IS DISTINCT FROM",
                    "IS NOT DISTINCT FROM",
                ]);
                value(Bool, &format!("({{}} {comparison} {{}})"), vec![of(self, kind), of(self, kind)])
            }
            _ => self.leaf(kind, scope),
        }
    }

    /// IN (SELECT …) or EXISTS (SELECT …).
    fn query_test(&mut self, scope: &Scope, outer: &Scope, depth: usize) -> Node {
        let not = *self.dice.pick(&["", "NOT "]);
        let outer = if self.dice.one_in(2) { outer.clone() } else { Vec::new() };
        if self.dice.one_in(3) {
            let query = self.select(&[Int], &outer, depth.min(1));
            return value(Bool, &format!("({not}EXISTS ({{}}))"), vec![query]);
        }
        let kind = *self.dice.pick(&[Int, Text]);
        let operand = self.value(kind, scope, &Vec::new(), depth.min(1));
        let query = self.select(&[kind], &outer, depth.min(1));
        value(Bool, &format!("({{}} {not}IN ({{}}))"), vec![operand, query])
    }

    /// A query of one row and one column, or of none.
    fn scalar_query(&mut self, kind: Kind, scope: &Scope, outer: &Scope, depth: usize) -> Node {
        if self.dice.one_in(3) {
            // By its key, so that there is one row at most.
            let (name, columns) = TABLES[self.dice.roll(3)];
            let fitting: Vec<_> = columns.iter().filter(|(_, of)| *of == kind).collect();
            if !fitting.is_empty() {
                let column = self.dice.pick(&fitting).0;
                let (stream, seq) = (1 + self.dice.roll(2), self.dice.roll(20));
                let text = format!("(SELECT {column} FROM {name} WHERE stream = {stream} AND seq = {seq})");
                return value(kind, &text, Vec::new());
            }
        }
        let (source, inner) = self.table(0);
        let seen: Scope =
            if self.dice.one_in(2) { inner.iter().chain(outer).cloned().collect() } else { inner.clone() };
        let column =
            if kind == Bool { self.leaf(kind, scope) } else { self.aggregate(kind, &inner, depth, "") };
        if kind == Bool {
            return column;
        }
        let filter = self.value(Bool, &seen, &Vec::new(), 1);
        let filter = optional(" WHERE {}", vec![filter]);
        value(kind, "(SELECT {} FROM {}{})", vec![column, source, filter])
    }

    /// What may stand in a list of values.
    fn listed(&mut self, kind: Kind, scope: &Scope) -> Node {
        if self.dice.one_in(6) { self.leaf(kind, scope) } else { self.constant(kind) }
    }

    fn leaf(&mut self, kind: Kind, scope: &Scope) -> Node {
        let fitting: Vec<_> =
            scope.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.clone()).collect();
        if fitting.is_empty() || self.dice.one_in(5) {
            return self.constant(kind);
        }
        value(kind, self.dice.pick::<String>(&fitting), Vec::new())
    }

    fn constant(&mut self, kind: Kind) -> Node {
        let text = if self.dice.one_in(6) {
            match kind {
                Int => "CAST(NULL AS BIGINT)",
                Text => "CAST(NULL AS TEXT)",
                Bool => "(NULL = 1)",
            }
        } else {
            match kind {
                Int => *self.dice.pick(&["0", "1", "2", "3", "7", "-1"]),
                Text => *self.dice.pick(&[
                    "'E: 1'",
                    "'E: 2'",
                    "'shop:1'",
                    "''",
                    "'Order'",
                    "'ActorCrashed'",
                    "'E'",
                ]),
                Bool => *self.dice.pick(&["TRUE", "FALSE"]),
            }
        };
        value(kind, text, Vec::new())
    }
}
