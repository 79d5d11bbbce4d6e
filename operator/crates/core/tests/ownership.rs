//! Whose an existing object is, and what each `adopt` does about it.

use serde_json::{Value, json};
use tidegate_api::application::Adopt;
use tidegate_core::ownership::{Owner, Takeover, decide};
use tidegate_core::standing::Claim;

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

fn verdict(by: Option<&Owner>, manager: &str, adopt: Adopt, claim: Claim) -> &'static str {
    match decide(&live(by, manager), &owner("tidegate", "web"), adopt, |_| claim) {
        Takeover::Resume => "resume",
        Takeover::Adopt { .. } => "adopt",
        Takeover::Refuse { reason, .. } => reason,
    }
}

#[test]
#[rustfmt::skip] // one line for each case
fn each_owner_under_each_adopt() {
    const CONFLICT: &str = "OwnershipConflict";
    const EXISTS: &str = "AlreadyExists";
    let (ours, other, foreign) = (
        owner("tidegate", "web"),
        owner("tidegate", "api"),
        owner("blue", "web"),
    );
    for (by, manager, claim, [never, if_unowned, always]) in [
        (Some(&ours), "tidegate", Claim::Gone, ["resume", "resume", "resume"]),
        (Some(&ours), "kubectl", Claim::Gone, [EXISTS, "adopt", "adopt"]),
        (None, "kubectl", Claim::Gone, [EXISTS, "adopt", "adopt"]),
        (Some(&other), "tidegate", Claim::Wanted, [CONFLICT, CONFLICT, CONFLICT]),
        (Some(&other), "tidegate", Claim::Unknown, [CONFLICT, CONFLICT, CONFLICT]),
        // It moves from one to the other in git: nothing is adopted that is nobody's.
        (Some(&other), "tidegate", Claim::Leaving, ["adopt", "adopt", "adopt"]),
        (Some(&other), "tidegate", Claim::LetGo, [EXISTS, "adopt", "adopt"]),
        (Some(&other), "tidegate", Claim::Gone, [CONFLICT, CONFLICT, "adopt"]),
        // What an Application of another installation makes of it cannot be known here: it is never taken.
        (Some(&foreign), "tidegate", Claim::Gone, [CONFLICT, CONFLICT, CONFLICT]),
        (Some(&foreign), "tidegate", Claim::LetGo, [CONFLICT, CONFLICT, CONFLICT]),
    ] {
        let seen = [Adopt::Never, Adopt::IfUnowned, Adopt::Always].map(|adopt| verdict(by, manager, adopt, claim));
        assert_eq!(seen, [never, if_unowned, always], "{by:?} of {manager}, {claim:?}");
    }
}
