//! The ValidatingAdmissionPolicies that the chart ships: by them the API server itself guarantees who wrote an Approval, an
//! Override or a Freeze, and asks for rights that RBAC alone cannot express.
//!
//! The chart's templates are generated from here, and the operator compares what is in the cluster with the same text, so
//! that both always speak of the same rules. Every field is written out as the API server completes it: what is in the
//! cluster is compared as it stands.

mod applications;
mod leave;

use serde_json::{Value, json};

/// Part of every refusal of what is made in another's name. The operator tries such a thing and looks for it.
pub const OWN_NAME: &str = "must be your own name";

/// Whom the policies speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation<'a> {
    /// Prefix of the names of the chart's objects.
    pub name: &'a str,
    /// Namespace of the operator: a Freeze there stops all namespaces.
    pub namespace: &'a str,
    /// The operator's own account as the API server knows it, `system:serviceaccount:<namespace>:<name>`.
    pub account: &'a str,
}

/// One policy with its binding, which has the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionPolicy {
    /// `metadata.name` of both.
    pub name: String,
    /// `spec` of the ValidatingAdmissionPolicy.
    pub policy: Value,
    /// `spec` of the ValidatingAdmissionPolicyBinding.
    pub binding: Value,
    /// For a kind that people write in their own name: its plural, and the spec of one in another's name, which must be
    /// refused.
    pub forgery: Option<Forgery>,
}

/// An object in another's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Forgery {
    /// Plural of the kind.
    pub plural: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Its spec.
    pub spec: Value,
}

/// All of them.
pub fn policies(of: Installation<'_>) -> Vec<AdmissionPolicy> {
    vec![
        leave::approvals(of),
        leave::overrides(of),
        leave::freezes(of),
        applications::verbs(of),
        applications::labels(of),
    ]
}

/// A rule: an expression that must be true, what is said where it is not, and the same with names where it can be made.
struct Rule {
    expression: String,
    message: String,
    named: Option<String>,
}

impl Rule {
    fn validation(&self) -> Value {
        let mut validation = json!({
            "expression": self.expression,
            "message": self.message,
            "reason": "Forbidden",
        });
        if let Some(named) = &self.named {
            validation["messageExpression"] = named.as_str().into();
        }
        validation
    }
}

fn spec(plural: &str, operations: &[&str], rules: &[Rule]) -> Value {
    let validations: Vec<Value> = rules.iter().map(Rule::validation).collect();
    json!({
        // An expression that cannot be evaluated lets nothing through.
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [{
                "apiGroups": [crate::GROUP],
                "apiVersions": [crate::VERSION],
                "operations": operations,
                "resources": [plural],
                "scope": "*",
            }],
        },
        "validations": validations,
    })
}

fn binding(name: &str) -> Value {
    json!({ "policyName": name, "validationActions": ["Deny"] })
}

/// A text in CEL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Whether the user may do this with an Application; `place` narrows it to a namespace and a name.
fn may(verb: &str, place: &str) -> String {
    format!(
        "authorizer.group({}).resource('applications'){place}.check({}).allowed()",
        quoted(crate::GROUP),
        quoted(verb)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Vec<AdmissionPolicy> {
        policies(Installation {
            name: "tidegate",
            namespace: "tidegate-system",
            account: "system:serviceaccount:tidegate-system:tidegate",
        })
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused_and_nothing_is_only_warned_of() {
        for shipped in shipped() {
            assert_eq!(shipped.policy["failurePolicy"], "Fail", "{}", shipped.name);
            assert_eq!(
                shipped.binding["validationActions"],
                json!(["Deny"]),
                "{}",
                shipped.name
            );
            assert_eq!(shipped.binding["policyName"], shipped.name.as_str());
        }
    }

    /// Else removing a finalizer or a label of an Approval would be an approval of its own.
    #[test]
    fn what_people_wrote_is_checked_when_it_is_made_and_only_then() {
        for shipped in shipped().iter().filter(|s| s.forgery.is_some()) {
            let rules = &shipped.policy["matchConstraints"]["resourceRules"];
            assert_eq!(rules[0]["operations"], json!(["CREATE"]), "{}", shipped.name);
        }
    }

    #[test]
    fn names_in_expressions_are_quoted() {
        assert_eq!(quoted("a'b\\c"), "'a\\'b\\\\c'");
    }
}
