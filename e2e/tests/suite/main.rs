//! The operator on a real API server: the binary under the chart's account, git over HTTP, kwok's pods. One cluster and
//! one operator serve all tests but those of `faults`, which kill things.

mod apply_rules;
mod counts;
mod deletion;
mod drift;
mod drift_rules;
mod expressions;
mod faults;
mod flaky;
mod health;
mod hooks;
mod order;
mod output;
mod recreate;
mod refusals;
mod releases;
mod stage;
mod takeover;
mod targets;
mod tenancy;
