//! Decisions about releases: pure, synchronous, deterministic.
//!
//! Owns objects and their identity, the desired set, the inventory, plans, the gate, order, health, records and
//! statuses. Time and keys are passed in. May not touch tokio, kube, git2, files, the environment, the network,
//! the clock or randomness; `deny.toml` and `clippy.toml` hold that.

pub mod additions;
pub mod addresses;
pub mod admission;
pub mod admit;
pub mod apply_rule;
pub mod backoff;
pub mod beside;
pub mod catalog;
pub mod depends;
pub mod desired;
pub mod diff;
pub mod differences;
pub mod digest;
pub mod duration;
pub mod explain;
mod expression;
pub mod fights;
pub mod gate;
mod glob;
pub mod guard;
pub mod handover;
pub mod health;
pub mod hook;
pub mod ignore;
pub mod inventory;
pub mod kind_name;
pub mod live;
pub mod managed;
pub mod object;
pub mod order;
pub mod ownership;
pub mod people;
pub mod plan;
pub mod pointer;
pub mod policy;
pub mod policy_rules;
pub mod policy_status;
pub mod problem;
pub mod promotion;
pub mod quarantine;
pub mod record;
pub mod recreate;
pub mod rendered_store;
pub mod rollback;
pub mod schema;
pub mod seal;
pub mod selector;
pub mod signers;
pub mod soak;
pub mod standing;
pub mod status;
pub mod strip;
pub mod takeover;
pub mod verification;
pub mod wave;
pub mod windows;
