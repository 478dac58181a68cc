//! The common methods of plan nodes with one input.
//!
//! Such a node has the field `input`, and the function `with_input`, which makes a copy of the node over
//! another input.

/// The methods of a node that has one input and no expressions. The node keeps the order of rows, unless the
/// macro is called with `in any order`.
macro_rules! single_input {
    () => {
        fn maintains_input_order(&self) -> Vec<bool> {
            vec![true]
        }

        single_input!(in any order);
    };
    (in any order) => {

        fn children(&self) -> Vec<&std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            vec![&self.input]
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>,
            )
                -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn with_new_children(
            self: std::sync::Arc<Self>,
            mut children: Vec<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>>,
        ) -> datafusion::common::Result<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            let input = children.pop().unwrap_or_else(|| std::sync::Arc::clone(&self.input));
            Ok(std::sync::Arc::new(Self::with_input(&self, input)))
        }
    };
}

/// The methods of a node that returns exactly the rows of its input.
macro_rules! same_rows {
    () => {
        fn child_stats_requests(
            &self,
            partition: Option<usize>,
        ) -> Vec<datafusion::physical_plan::statistics::ChildStats> {
            vec![datafusion::physical_plan::statistics::ChildStats::At(partition)]
        }

        fn statistics_from_inputs(
            &self,
            inputs: &[std::sync::Arc<datafusion::common::Statistics>],
            _: &datafusion::physical_plan::statistics::StatisticsArgs,
        ) -> datafusion::common::Result<std::sync::Arc<datafusion::common::Statistics>> {
            let unknown = || {
                std::sync::Arc::new(datafusion::common::Statistics::new_unknown(
                    &datafusion::physical_plan::ExecutionPlan::schema(self),
                ))
            };
            Ok(inputs.first().map_or_else(unknown, std::sync::Arc::clone))
        }

        fn cardinality_effect(&self) -> datafusion::physical_plan::execution_plan::CardinalityEffect {
            datafusion::physical_plan::execution_plan::CardinalityEffect::Equal
        }
    };
}

/// The methods of a node that filters from above may pass, because the result is the same.
macro_rules! passes_filters {
    () => {
        fn gather_filters_for_pushdown(
            &self,
            _: datafusion::physical_plan::filter_pushdown::FilterPushdownPhase,
            filters: Vec<std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>>,
            _: &datafusion::common::config::ConfigOptions,
        ) -> datafusion::common::Result<datafusion::physical_plan::filter_pushdown::FilterDescription> {
            datafusion::physical_plan::filter_pushdown::FilterDescription::from_children(
                filters,
                &datafusion::physical_plan::ExecutionPlan::children(self),
            )
        }

        fn handle_child_pushdown_result(
            &self,
            _: datafusion::physical_plan::filter_pushdown::FilterPushdownPhase,
            result: datafusion::physical_plan::filter_pushdown::ChildPushdownResult,
            _: &datafusion::common::config::ConfigOptions,
        ) -> datafusion::common::Result<
            datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation<
                std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>,
            >,
        > {
            Ok(datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation::if_all(result))
        }
    };
}

pub(super) use {passes_filters, same_rows, single_input};
