//! Turns `x AT TIME ZONE z` into a call of `timezone(z, x)`.
//!
//! DataFusion 55.2 plans it as a cast, which only changes the zone in an instant's type. Then dates, bins and
//! casts of the result use different times. The function converts an instant into a wall time, and a wall
//! time into an instant, as PostgreSQL does. Delete this rewrite when DataFusion does so, too.

use std::ops::ControlFlow;

use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Visit, VisitMut, VisitorMut,
};

use super::functions::TIMEZONE;
use crate::error::{Error, ErrorKind};
use crate::query::{dialect, function_names, ignored_syntax, operator_chains, spellings};

/// Plans a statement.
pub(in crate::query) async fn statement_plan(
    state: &SessionState,
    mut statement: Statement,
) -> Result<LogicalPlan> {
    ignored_syntax::check_reads(&statement)?;
    ignored_syntax::check(&statement)?;
    rewrite(&mut statement)?;
    state.statement_to_plan(statement).await
}

/// Plans an expression over these columns.
pub(in crate::query) fn logical_expr(state: &SessionState, sql: &str, schema: &DFSchema) -> Result<Expr> {
    let mut expr = dialect::parse_expr(state, sql)?;
    ignored_syntax::check_expr(&expr.expr)?;
    expand(&mut expr.expr)?;
    state.create_logical_expr_from_sql_expr(expr, schema)
}

fn rewrite(statement: &mut Statement) -> Result<()> {
    match statement {
        Statement::Statement(statement) => expand(statement.as_mut()),
        Statement::Explain(explain) => rewrite(&mut explain.statement),
        // Other statements are refused later.
        _ => Ok(()),
    }
}

/// The limit on expressions after forms of other databases are written out: this many for each one in the text, and
/// [`MORE_EXPRESSIONS`].
const MOST_TIMES: usize = 16;
const MORE_EXPRESSIONS: usize = 20_000;
/// How often the planner writes the array of ANY or ALL.
const ARRAY_COPIES: usize = 5;

/// Rewrites all expressions of a parsed text.
fn expand(parsed: &mut (impl Visit + VisitMut)) -> Result<()> {
    let mut written = 0_usize;
    let _ = ast::visit_expressions(parsed, |_| {
        written += 1;
        ControlFlow::<()>::Continue(())
    });
    let room = written.saturating_mul(MOST_TIMES).saturating_add(MORE_EXPRESSIONS);
    match parsed.visit(&mut Calls { room, copies: 1 }) {
        ControlFlow::Continue(()) => Ok(()),
        // A form may have its argument twice, and so on within the argument.
        ControlFlow::Break(()) => {
            let why = "the SQL is refused: it nests functions of other databases, or comparisons of rows or arrays, too deep; \
                       compute a part of it in a WITH query";
            Err(DataFusionError::External(Box::new(Error::new(ErrorKind::Query, why))))
        }
    }
}

struct Calls {
    /// How many more expressions may be visited.
    room: usize,
    /// How often the plan will have the expressions that are visited now.
    copies: usize,
}

/// Whether an expression compares with the values of an array.
fn is_with_array(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::AnyOp { right, .. } | ast::Expr::AllOp { right, .. } => {
            !matches!(**right, ast::Expr::Subquery(_))
        }
        _ => false,
    }
}

impl VisitorMut for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        spellings::replace_fetch(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        let Some(room) = self.room.checked_sub(self.copies) else { return ControlFlow::Break(()) };
        self.room = room;
        spellings::replace_escape(expr);
        spellings::replace_interval(expr);
        spellings::replace_negative_power(expr);
        spellings::replace_array_text(expr);
        spellings::replace_any(expr);
        spellings::replace_length(expr);
        spellings::replace_row_comparison(expr);
        spellings::replace_large_integer(expr);
        function_names::replace(expr);
        operator_chains::balance_parsed(expr);
        if is_with_array(expr) {
            self.copies = self.copies.saturating_mul(ARRAY_COPIES);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if is_with_array(expr) {
            self.copies /= ARRAY_COPIES;
        }
        if let ast::Expr::AtTimeZone { timestamp, time_zone } = expr {
            let nothing = || Box::new(ast::Expr::Tuple(Vec::new()));
            let timestamp = std::mem::replace(timestamp, nothing());
            let time_zone = std::mem::replace(time_zone, nothing());
            *expr = call(TIMEZONE, [*time_zone, *timestamp]);
        }
        ControlFlow::Continue(())
    }
}

/// Makes a call of a function with two arguments.
pub(in crate::query) fn call(function: &str, args: [ast::Expr; 2]) -> ast::Expr {
    let args = args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).to_vec();
    ast::Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(function)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
