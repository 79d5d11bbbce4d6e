//! The expressions of `spec.health`: read once for each generation, and given to the watch of the live objects.

use std::sync::Arc;

use tidegate_api::Application;
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::problem;
use tidegate_core::status::Progress;

use crate::application::AppState;
use crate::store::Key;
use crate::target::Site;

/// The expressions of one generation of an Application.
#[derive(Default)]
pub(crate) struct Expressions {
    generation: Option<i64>,
    pub(crate) rules: Arc<HealthRules>,
    /// What is wrong with them.
    broken: Option<String>,
}

impl Expressions {
    /// Why nothing is released: an expression that cannot be used is never left out.
    pub(crate) fn obstacle(&self) -> Option<Progress> {
        let broken = self.broken.as_ref()?;
        Some(Progress::Failed {
            reason: "InvalidExpression",
            message: format!("{broken}. Nothing is released until it is corrected; what runs stays"),
            stalled: true,
        })
    }
}

/// Reads them where they are new, and has the objects judged by them from now on.
pub(crate) fn take(target: &Site, key: &Key, app: &Application, state: &mut AppState) {
    if state.expressions.generation != app.metadata.generation {
        let (rules, problems) = HealthRules::read(&app.spec.health.expressions);
        state.expressions = Expressions {
            generation: app.metadata.generation,
            rules: Arc::new(rules),
            broken: (!problems.is_empty()).then(|| problem::summarize(&problems, 3)),
        };
    }
    if target.judge_by(key, &state.expressions.rules)
        && let Some(set) = &state.inventory
        && set.place.kube_config == target.place.kube_config
    {
        target.own_objects(key, set);
    }
}
