//! A plan node that hides wrong properties of its input.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};

use super::super::single_input::{passes_filters, same_rows, single_input};

/// The properties that a node hides.
#[derive(Clone, Debug)]
pub(in crate::query) enum Hidden {
    /// The columns that are constant, and the columns that are equal.
    Constants,
    /// The constants, and the orders by the columns with these numbers.
    OrdersBy(Vec<usize>),
}

impl Hidden {
    /// Returns the properties of a node without the hidden ones.
    fn left_of(&self, input: &Arc<dyn ExecutionPlan>) -> EquivalenceProperties {
        let orders = input.equivalence_properties().oeq_class().iter().cloned();
        match self {
            Self::Constants => EquivalenceProperties::new_with_orderings(input.schema(), orders),
            Self::OrdersBy(columns) => {
                let is_right = |by: &PhysicalSortExpr| {
                    collect_columns(&by.expr).iter().all(|column| !columns.contains(&column.index()))
                };
                let orders = orders
                    .filter_map(|order| LexOrdering::new(order.into_iter().take_while(|by| is_right(by))));
                EquivalenceProperties::new_with_orderings(input.schema(), orders)
            }
        }
    }
}

/// Returns the rows of its input, and hides some of its properties.
#[derive(Debug)]
pub(in crate::query) struct HidePropertiesExec {
    hidden: Hidden,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl HidePropertiesExec {
    /// Hides properties of a node.
    pub(in crate::query) fn new(hidden: Hidden, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::clone(input.properties()).with_eq_properties(hidden.left_of(&input));
        Self { hidden, input, properties: Arc::new(properties) }
    }

    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::new(node.hidden.clone(), input)
    }
}

impl DisplayAs for HidePropertiesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for HidePropertiesExec {
    fn name(&self) -> &'static str {
        match self.hidden {
            Hidden::Constants => "NoConstantsExec",
            Hidden::OrdersBy(_) => "NoOrdersExec",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    /// A sort by a hidden order must stay above this node: below it, the optimizer would remove the sort.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![matches!(self.hidden, Hidden::Constants)]
    }

    single_input!(in any order);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    same_rows!();

    passes_filters!();
}
