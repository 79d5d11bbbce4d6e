//! Whose an existing object is, and what each `adopt` does about it.

use serde_json::{Value, json};
use tidegate_api::application::Adopt;
use tidegate_core::ownership::{Owner, Takeover, decide};

fn owner(installation: &str, application: &str) -> Owner {
    Owner {
        installation: installation.into(),
        namespace: "shop".into(),
        application: application.into(),
    }
}

fn live(by: Option<&Owner>, manager: &str) -> Value {
    let annotations = by
        .map(|o| json!({ "tidegate.io/owner": o.annotation() }))
        .unwrap_or_default();
    let entry = json!({ "manager": manager, "operation": "Apply" });
    json!({ "metadata": { "name": "a", "annotations": annotations, "managedFields": [entry] } })
}

fn verdict(by: Option<&Owner>, manager: &str, adopt: Adopt, lives: bool) -> &'static str {
    match decide(&live(by, manager), &owner("tidegate", "web"), adopt, |_| lives) {
        Takeover::Resume => "resume",
        Takeover::Adopt { .. } => "adopt",
        Takeover::Refuse { reason, .. } => reason,
    }
}

#[test]
fn each_owner_under_each_adopt() {
    let (ours, other, foreign) = (
        owner("tidegate", "web"),
        owner("tidegate", "api"),
        owner("blue", "web"),
    );
    for (by, manager, lives, never, if_unowned, always) in [
        (Some(&ours), "tidegate", true, "resume", "resume", "resume"),
        (None, "kubectl", true, "AlreadyExists", "adopt", "adopt"),
        (
            Some(&other),
            "tidegate",
            true,
            "OwnershipConflict",
            "OwnershipConflict",
            "OwnershipConflict",
        ),
        (
            Some(&other),
            "tidegate",
            false,
            "OwnershipConflict",
            "OwnershipConflict",
            "adopt",
        ),
        // Whether an Application of another installation lives cannot be known here: it is never taken.
        (
            Some(&foreign),
            "tidegate",
            false,
            "OwnershipConflict",
            "OwnershipConflict",
            "OwnershipConflict",
        ),
        (
            Some(&foreign),
            "tidegate",
            true,
            "OwnershipConflict",
            "OwnershipConflict",
            "OwnershipConflict",
        ),
    ] {
        let seen =
            [Adopt::Never, Adopt::IfUnowned, Adopt::Always].map(|adopt| verdict(by, manager, adopt, lives));
        assert_eq!(seen, [never, if_unowned, always], "{by:?} lives: {lives}");
    }
}
