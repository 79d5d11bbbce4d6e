//! The facts of one reconcile that do not change while it runs.

use std::sync::Arc;

use tidegate_api::Application;
use tidegate_core::ownership::Owner;

use crate::state::{Operator, Source};
use crate::store::Key;
use crate::target::Site;

/// One reconcile of one Application.
pub(crate) struct Turn<'a> {
    pub(crate) operator: &'a Arc<Operator>,
    /// The cluster that the objects are applied to, and whom we act as there.
    pub(crate) target: &'a Site,
    pub(crate) key: &'a Key,
    pub(crate) app: &'a Application,
    pub(crate) owner: &'a Owner,
    pub(crate) source: &'a Source,
    /// Somebody asked for this reconcile by annotation.
    pub(crate) asked: bool,
    /// The Release that a person rolled back to: `source` is at its commit then, whatever the newest one is.
    pub(crate) restores: Option<&'a str>,
}
