//! The operator on a real API server: the binary under the chart's account, git over HTTP, kwok's pods. One cluster and
//! one operator serve all tests but those of `faults`, which kill things.

mod apply_rules;
mod apps;
mod busy;
mod counts;
mod deletion;
mod depends;
mod digests;
mod drift;
mod drift_matrix;
mod drift_rules;
mod drift_upkeep;
mod expressions;
mod faults;
mod flaky;
mod gates;
mod handover;
mod health;
mod hooks;
mod kept_sets;
mod kinds_change;
mod order;
mod output;
mod promotion;
mod recreate;
mod refusals;
mod releases;
mod rollback;
mod signatures;
mod stage;
mod takeover;
mod targets;
mod tenancy;
mod verification;
mod windows;
