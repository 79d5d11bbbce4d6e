//! The operator on a real API server: the binary under the chart's account, git over HTTP, kwok's pods. One cluster and
//! one operator serve all tests but those of `faults`, which kill things.

mod apps;
mod counts;
mod deletion;
mod depends;
mod drift;
mod drift_rules;
mod expressions;
mod faults;
mod flaky;
mod handover;
mod health;
mod hooks;
mod order;
mod output;
mod refusals;
mod releases;
mod stage;
mod targets;
mod tenancy;
