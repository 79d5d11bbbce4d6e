//! Well-known names that Tidegate writes to or reads from objects. Changing one breaks installed clusters.

/// Field manager of every server-side apply that Tidegate makes.
pub const FIELD_MANAGER: &str = "tidegate";
/// Label of every applied object, and the selector of the drift watches. Never proof of ownership.
pub const LABEL_MANAGED_BY: &str = "tidegate.io/managed-by";
/// Label that carries the Application's name on Releases and Inventories.
pub const LABEL_APPLICATION: &str = "tidegate.io/application";
/// Annotation `<installation>/<namespace>/<application>` on every applied object.
pub const ANNOTATION_OWNER: &str = "tidegate.io/owner";
/// Annotation on applied objects, read from git only: `Disabled` keeps an object, `Enabled` lets a protected kind go.
pub const ANNOTATION_PRUNE: &str = "tidegate.io/prune";
/// Annotation on applied objects, read from git only: a number that orders them inside a release. Each wave waits for the
/// health of the one before.
pub const ANNOTATION_WAVE: &str = "tidegate.io/wave";
/// Annotation on Jobs, read from git only: when a release runs them, `PreSync`, `PostSync` or `SyncFail`.
pub const ANNOTATION_HOOK: &str = "tidegate.io/hook";
/// Annotation on hooks, read from git only: which ended runs are deleted, `BeforeHookCreation`, `HookSucceeded`, `HookFailed`.
pub const ANNOTATION_HOOK_DELETE_POLICY: &str = "tidegate.io/hook-delete-policy";
/// Annotation that the operator puts on a hook's Job and on kept sets: the Release that they are for. Never proof of it.
pub const ANNOTATION_RELEASE: &str = "tidegate.io/release";
/// Type of the Secrets that hold kept sets, in the operator's own namespace.
pub const SECRET_TYPE_RENDERED_SET: &str = "tidegate.io/rendered-set";
/// Label of these Secrets: whose set it is, as a digest of installation and Application.
pub const LABEL_RENDERED_SET: &str = "tidegate.io/rendered-set";
/// Annotation of these Secrets: the other ones that are needed to read this one.
pub const ANNOTATION_CHUNKS: &str = "tidegate.io/chunks";
/// Annotation on live objects only: `<until> <reason>` pauses drift correction of that object.
pub const ANNOTATION_HOLD: &str = "tidegate.io/hold";
/// Annotation on our kinds: any new value asks for a reconcile now.
pub const ANNOTATION_REQUESTED_AT: &str = "tidegate.io/requestedAt";
/// Annotation on Applications: the Release whose set is to be put back.
pub const ANNOTATION_ROLLBACK_TO: &str = "tidegate.io/rollbackTo";
/// Finalizer of Applications: prunes as `deletionPolicy` says.
pub const FINALIZER_APPLICATION: &str = "tidegate.io/application";
/// Finalizer of Inventories: the record of what was applied outlives a careless `kubectl delete`.
pub const FINALIZER_INVENTORY: &str = "tidegate.io/inventory";
/// kubectl category of the kinds that people read every day.
pub const CATEGORY: &str = "tidegate";
/// kubectl category of every kind, records included.
pub const CATEGORY_ALL: &str = "tidegate-all";
