//! Whether the API server guarantees who writes Approvals, Overrides and Freezes: its admission policies are as the chart
//! ships them, and something forged is refused. Rules: semantics.md "Approvals, overrides, identity".

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::admission::{AdmissionPolicy, OWN_NAME};

/// A policy takes a moment to become active: forged objects got in for 0.3 s. What was made within this time of the
/// policy's creation does not count either.
const SETTLING: Duration = Duration::from_secs(3);

/// What is known of the guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Since when it holds; what was made before does not count.
    pub since: Option<Timestamp>,
    /// Why it does not hold now, and what to do; `None` where it holds.
    pub why_not: Option<String>,
}

impl Guard {
    /// It does not hold, for this reason.
    pub fn missing(why: impl Into<String>) -> Self {
        Self {
            since: None,
            why_not: Some(why.into()),
        }
    }

    /// It has held since.
    pub fn holds(since: Timestamp) -> Self {
        Self {
            since: Some(since),
            why_not: None,
        }
    }
}

/// Which state of the policies and their bindings was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen(Vec<(String, String, i64)>);

/// Policies that are as shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsShipped {
    /// Since when all of them are there and active.
    pub since: Timestamp,
    /// What was looked at.
    seen: Seen,
}

/// Compares what the API server has with what the chart ships; for each policy itself and its binding, where they are. The
/// error says what is different and what to do.
pub fn compare(
    shipped: &[AdmissionPolicy],
    found: &[(Option<Value>, Option<Value>)],
) -> Result<AsShipped, String> {
    let mut since = Timestamp::MIN;
    let mut seen = Seen::default();
    for (index, shipped) in shipped.iter().enumerate() {
        let (policy, binding) = found.get(index).cloned().unwrap_or_default();
        for (kind, object, spec) in [
            ("ValidatingAdmissionPolicy", policy, &shipped.policy),
            ("ValidatingAdmissionPolicyBinding", binding, &shipped.binding),
        ] {
            let name = &shipped.name;
            let object = object.ok_or_else(|| {
                format!("{kind} {name} is not there; install the chart with admissionPolicies.create=true")
            })?;
            if let Some(path) = difference("spec", spec, &object["spec"]) {
                return Err(format!(
                    "{kind} {name} is not as this version of Tidegate ships it: {path} differs; install chart and operator of one \
                     version, and change nothing in it"
                ));
            }
            let metadata = &object["metadata"];
            if metadata.get("deletionTimestamp").is_some() {
                return Err(format!("{kind} {name} is being deleted; install the chart again"));
            }
            let created = metadata["creationTimestamp"].as_str().unwrap_or_default();
            let created: Timestamp = created
                .parse()
                .map_err(|_| format!("{kind} {name} does not say when it was made"))?;
            since = since.max(created.checked_add(SETTLING).unwrap_or(created));
            let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
            let generation = metadata["generation"].as_i64().unwrap_or_default();
            seen.0.push((format!("{kind}/{name}"), uid, generation));
        }
    }
    Ok(AsShipped { since, seen })
}

/// The first field that is not as expected, more fields included: an unknown one may narrow a policy to nothing.
fn difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let more = found.keys().find(|key| !expected.contains_key(*key));
            let differs = || {
                expected.iter().find_map(|(key, value)| {
                    difference(
                        &format!("{path}.{key}"),
                        value,
                        found.get(key).unwrap_or(&Value::Null),
                    )
                })
            };
            more.map(|key| format!("{path}.{key}")).or_else(differs)
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(index, (a, b))| difference(&format!("{path}[{index}]"), a, b))
        }
        _ => (expected != found).then(|| path.to_owned()),
    }
}

/// What became of something forged that was sent without being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The API server would have taken it.
    Taken,
    /// It was refused, with this message.
    Refused(String),
    /// It could not be asked.
    Unanswered(String),
}

/// Why it is not proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// For people.
    pub why: String,
    /// True where it is certain that the policy is not enforced, and not only unknown.
    pub open: bool,
}

/// Whether that proves that the policy is enforced. A refusal for another reason, a missing right say, proves nothing.
pub fn proves(shipped: &AdmissionPolicy, kind: &str, tried: &Tried) -> Result<(), Unproven> {
    let name = &shipped.name;
    let by_policy = format!("ValidatingAdmissionPolicy '{name}'");
    let unknown = |cause: &str| Unproven {
        why: format!("whether ValidatingAdmissionPolicy {name} is enforced could not be tried: {cause}"),
        open: false,
    };
    match tried {
        Tried::Refused(message) if message.contains(&by_policy) && message.contains(OWN_NAME) => Ok(()),
        Tried::Refused(message) => Err(unknown(&format!(
            "the forged {kind} was refused for another reason: {message}"
        ))),
        Tried::Unanswered(cause) => Err(unknown(cause)),
        Tried::Taken => Err(Unproven {
            why: format!(
                "ValidatingAdmissionPolicy {name} is there and not enforced: the API server would have taken a forged {kind}"
            ),
            open: true,
        }),
    }
}

/// What was proven last, over the life of a process.
#[derive(Debug, Default)]
pub struct Memory {
    proven: Option<(Seen, Timestamp)>,
}

impl Memory {
    /// The guarantee after policies were found as shipped, and something forged was tried. Where they were edited since the
    /// last proof, or not enforced, nobody knows what was let through meanwhile: it holds since now only. Not being able
    /// to ask changes nothing.
    pub fn guard(&mut self, found: AsShipped, tried: Result<(), Unproven>, now: Timestamp) -> Guard {
        if let Err(unproven) = tried {
            if unproven.open {
                self.proven = Some((Seen::default(), now));
            }
            return Guard::missing(unproven.why);
        }
        let since = match &self.proven {
            None => found.since,
            Some((seen, since)) if *seen == found.seen => *since,
            Some(_) => now.max(found.since),
        };
        self.proven = Some((found.seen, since));
        Guard::holds(since)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_api::admission::{Installation, policies};

    use super::*;

    const MADE: &str = "2026-11-25T12:00:00Z";

    fn shipped() -> Vec<AdmissionPolicy> {
        policies(Installation {
            name: "tidegate",
            namespace: "tidegate-system",
            account: "system:serviceaccount:tidegate-system:tidegate",
        })
    }

    fn live(spec: &Value) -> Value {
        json!({ "metadata": { "uid": "u", "generation": 1, "creationTimestamp": MADE }, "spec": spec })
    }

    type Pair = (Option<Value>, Option<Value>);
    type Edit = fn(&mut Vec<Pair>);

    fn found() -> Vec<Pair> {
        shipped()
            .iter()
            .map(|s| (Some(live(&s.policy)), Some(live(&s.binding))))
            .collect()
    }

    #[test]
    fn as_shipped_it_holds_a_moment_after_the_last_was_made() {
        let mut found = found();
        found[3].1.as_mut().unwrap()["metadata"]["creationTimestamp"] = "2026-11-25T12:00:10Z".into();
        let as_shipped = compare(&shipped(), &found).unwrap();
        assert_eq!(as_shipped.since, "2026-11-25T12:00:13Z".parse().unwrap());
    }

    #[test]
    fn whatever_is_different_is_named() {
        let change = |edit: Edit| {
            let mut found = found();
            edit(&mut found);
            compare(&shipped(), &found).unwrap_err()
        };
        let rows: [(Edit, &str); 8] = [
            (
                |f| f.clear(),
                "ValidatingAdmissionPolicy tidegate-approvals is not there; install the chart with admissionPolicies.create=true",
            ),
            (
                |f| f[1].1 = None,
                "ValidatingAdmissionPolicyBinding tidegate-overrides is not there",
            ),
            (
                |f| f[0].0.as_mut().unwrap()["spec"]["validations"][0]["expression"] = "true".into(),
                "spec.validations[0].expression differs",
            ),
            (
                |f| {
                    f[0].0.as_mut().unwrap()["spec"]["validations"]
                        .as_array_mut()
                        .unwrap()
                        .pop();
                },
                "spec.validations differs",
            ),
            (
                |f| f[0].0.as_mut().unwrap()["spec"]["matchConditions"] = json!([]),
                "spec.matchConditions differs",
            ),
            (
                |f| f[0].1.as_mut().unwrap()["spec"]["matchResources"] = json!({}),
                "spec.matchResources differs",
            ),
            (
                |f| f[0].1.as_mut().unwrap()["spec"]["validationActions"] = json!(["Audit"]),
                "spec.validationActions[0] differs",
            ),
            (
                |f| f[4].0.as_mut().unwrap()["metadata"]["deletionTimestamp"] = MADE.into(),
                "tidegate-labels is being deleted",
            ),
        ];
        for (edit, says) in rows {
            let why = change(edit);
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn only_the_policys_own_refusal_proves_it() {
        let shipped = shipped();
        let tried = |tried: Tried| proves(&shipped[0], "Approval", &tried);
        let denied = "approvals.tidegate.io \"forged\" is forbidden: ValidatingAdmissionPolicy 'tidegate-approvals' with binding \
                      'tidegate-approvals' denied request: spec.approver must be your own name, a, and it is b";
        assert_eq!(tried(Tried::Refused(denied.to_owned())), Ok(()));
        let no_right = "User \"x\" cannot create resource \"approvals\"";
        for (what, says, open) in [
            (Tried::Taken, "not enforced", true),
            (
                Tried::Refused(no_right.to_owned()),
                "cannot create resource",
                false,
            ),
            (
                Tried::Refused(denied.replace("tidegate-approvals", "other")),
                "another reason",
                false,
            ),
            (
                Tried::Refused(denied.replace(OWN_NAME, "x")),
                "another reason",
                false,
            ),
            (Tried::Unanswered("no route".to_owned()), "no route", false),
        ] {
            let unproven = tried(what).unwrap_err();
            assert!(unproven.why.contains(says), "{}", unproven.why);
            assert_eq!(unproven.open, open);
        }
    }

    fn as_found(generation: i64) -> AsShipped {
        let mut found = found();
        found[0].0.as_mut().unwrap()["metadata"]["generation"] = generation.into();
        compare(&shipped(), &found).unwrap()
    }

    #[test]
    fn what_was_edited_between_two_looks_counts_from_the_second() {
        let now = |minute: i8| {
            format!("2026-11-25T15:{minute:02}:00Z")
                .parse::<Timestamp>()
                .unwrap()
        };
        let mut memory = Memory::default();
        let first = as_found(1).since;
        assert_eq!(memory.guard(as_found(1), Ok(()), now(1)), Guard::holds(first));
        assert_eq!(memory.guard(as_found(1), Ok(()), now(2)), Guard::holds(first));
        // Edited, and edited back.
        assert_eq!(memory.guard(as_found(3), Ok(()), now(3)), Guard::holds(now(3)));
        assert_eq!(memory.guard(as_found(3), Ok(()), now(4)), Guard::holds(now(3)));
    }

    #[test]
    fn not_being_answered_voids_nothing_and_not_being_enforced_does() {
        let now: Timestamp = "2026-11-25T15:00:00Z".parse().unwrap();
        let unproven = |open| {
            Err(Unproven {
                why: "why".to_owned(),
                open,
            })
        };
        let mut memory = Memory::default();
        let first = as_found(1).since;
        assert_eq!(memory.guard(as_found(1), Ok(()), now), Guard::holds(first));
        assert_eq!(
            memory.guard(as_found(1), unproven(false), now),
            Guard::missing("why")
        );
        assert_eq!(memory.guard(as_found(1), Ok(()), now), Guard::holds(first));
        assert_eq!(
            memory.guard(as_found(1), unproven(true), now),
            Guard::missing("why")
        );
        assert_eq!(memory.guard(as_found(1), Ok(()), now), Guard::holds(now));
    }
}
