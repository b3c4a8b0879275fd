//! The steps that put windrow's operators into physical plans, in the order in which they are tried.
//!
//! A step sees one node and returns its replacement, or None. Two rules run the steps, each in one
//! walk from the sources up: one rule before all rules of DataFusion, and one before
//! `EnsureRequirements`, which establishes order and distribution after them. `disabled_rules`
//! switches steps off by name, to find the one that causes a wrong value.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{
    DataFusionError, Result, SchemaExt, internal_datafusion_err, internal_err,
};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

use super::forget_properties::{fix_offset_sort, forget_properties};
use super::merge_joins::{swap_cross_join, to_merge_join};
use super::session_options::DisabledRules;
use super::window_steps::{settle_window_order, to_stream_window};

/// The rule before which windrow's steps run; without it nothing would sort or exchange rows for them.
pub const REQUIREMENTS: &str = "EnsureRequirements";

/// Rules of DataFusion that are removed, each with the reason.
const REMOVED_RULES: [(&str, &str); 2] = [
    (
        "FilterPushdown",
        "it mixes up columns of one name above a join; sources get filters from the logical plan",
    ),
    ("FilterPushdown(Post)", "as FilterPushdown"),
];

/// A function that returns the replacement of a node, or None.
type Rewrite = fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>;

/// The point at which a step sees a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepStage {
    /// Before all rules of DataFusion.
    First,
    /// Before `EnsureRequirements`.
    BeforeRequirements,
}

/// A rewrite with its name.
#[derive(Clone, Copy, Debug)]
struct PlanStep {
    name: &'static str,
    stage: StepStage,
    rewrite: Rewrite,
}

/// All steps, in the order in which they see a node.
const PLAN_STEPS: [PlanStep; 6] = [
    PlanStep { name: "forget_properties", stage: StepStage::First, rewrite: forget_properties },
    PlanStep { name: "fix_offset_sort", stage: StepStage::First, rewrite: fix_offset_sort },
    PlanStep {
        name: "settle_window_order",
        stage: StepStage::BeforeRequirements,
        rewrite: settle_window_order,
    },
    PlanStep {
        name: "swap_cross_join",
        stage: StepStage::BeforeRequirements,
        rewrite: swap_cross_join,
    },
    PlanStep { name: "merge_join", stage: StepStage::BeforeRequirements, rewrite: to_merge_join },
    PlanStep {
        name: "stream_windows",
        stage: StepStage::BeforeRequirements,
        rewrite: to_stream_window,
    },
];

/// Returns DataFusion's physical rules together with windrow's, without those of `disabled`.
///
/// # Errors
/// DataFusion lacks a rule that this program depends on, for example after an upgrade.
pub fn physical_rules(
    disabled: &DisabledRules,
) -> Result<Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>> {
    let mut rules = PhysicalOptimizer::new().rules;
    for (name, _) in REMOVED_RULES {
        let at = rules.iter().position(|rule| rule.name() == name);
        rules.remove(at.ok_or_else(|| missing_rule_error(name))?);
    }
    rules.retain(|rule| rule.name() == REQUIREMENTS || !disabled.contains(rule.name()));
    let at = rules.iter().position(|rule| rule.name() == REQUIREMENTS);
    let at = at.ok_or_else(|| missing_rule_error(REQUIREMENTS))?;
    rules.insert(at, Arc::new(StepRule::new(StepStage::BeforeRequirements, disabled)));
    rules.insert(0, Arc::new(StepRule::new(StepStage::First, disabled)));
    Ok(rules)
}

/// Returns the names that `disabled_rules` may hold from this room: windrow's steps and the rules
/// of DataFusion around them.
pub fn physical_rule_names() -> Vec<String> {
    let steps = PLAN_STEPS.iter().map(|step| step.name.to_string());
    let removed = |name: &str| REMOVED_RULES.iter().any(|(removed, _)| *removed == name);
    let rules = PhysicalOptimizer::new().rules;
    let rules = rules.iter().map(|rule| rule.name().to_string());
    steps.chain(rules.filter(|name| !removed(name) && name != REQUIREMENTS)).collect()
}

fn missing_rule_error(name: &str) -> DataFusionError {
    internal_datafusion_err!("DataFusion has no rule {name} any more, on which plans depend")
}

/// The enabled steps of one stage, as a rule of DataFusion.
#[derive(Debug)]
struct StepRule {
    name: &'static str,
    steps: Vec<PlanStep>,
}

impl StepRule {
    fn new(stage: StepStage, disabled: &DisabledRules) -> Self {
        let enabled = |step: &&PlanStep| step.stage == stage && !disabled.contains(step.name);
        let name = match stage {
            StepStage::First => "first_steps",
            StepStage::BeforeRequirements => "steps_before_requirements",
        };
        Self { name, steps: PLAN_STEPS.iter().filter(enabled).copied().collect() }
    }
}

impl PhysicalOptimizerRule for StepRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut spent = vec![(0, Duration::ZERO); self.steps.len()];
        let rewritten = plan.transform_up(|node| {
            let (mut node, mut changed) = (node, false);
            for (step, (count, time)) in self.steps.iter().zip(&mut spent) {
                let started = Instant::now();
                let replacement = (step.rewrite)(&node)?;
                *time += started.elapsed();
                if let Some(replacement) = replacement {
                    verify_replacement(step, &node, &replacement)?;
                    *count += 1;
                    (node, changed) = (replacement, true);
                }
            }
            Ok(Transformed::new_transformed(node, changed))
        });
        for (step, (count, time)) in
            self.steps.iter().zip(spent).filter(|(_, (count, _))| *count > 0)
        {
            tracing::debug!(step = step.name, nodes = count, ?time, "replaced");
        }
        rewritten.data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Checks that a replacement has the columns of its node.
fn verify_replacement(
    step: &PlanStep,
    node: &Arc<dyn ExecutionPlan>,
    replacement: &Arc<dyn ExecutionPlan>,
) -> Result<()> {
    let (before, after) = (node.schema(), replacement.schema());
    match before.logically_equivalent_names_and_types(&after) {
        Ok(()) => Ok(()),
        Err(why) => internal_err!("{} changes the columns of {}: {why}", step.name, node.name()),
    }
}
