//! Parts of policies: limits, rules, guard rails, what can be wrong with them, and what their status says.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed step of a test is a failed test, and tests build values in place"
)]

mod checks;
mod guard_rails;
mod limit_rules;
mod plans;
mod rule_expressions;
mod statuses;
