//! Label selectors as the API server reads them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Whether a selector picks an object with these labels. An absent or empty one picks everything; one with an operator
/// that is not known picks everything too: what a policy says is then demanded of too many rather than of too few.
pub fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    requirements(selector).all(|requirement| requirement.holds(labels))
}

/// As [`selects`], where a label that the object does not have counts as picked.
pub fn selects_or_lacks(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    requirements(selector)
        .all(|requirement| !labels.contains_key(requirement.key) || requirement.holds(labels))
}

struct Requirement<'a> {
    key: &'a str,
    operator: &'a str,
    values: &'a [String],
}

fn requirements(selector: Option<&LabelSelector>) -> impl Iterator<Item = Requirement<'_>> {
    let labels = selector
        .and_then(|s| s.match_labels.as_ref())
        .into_iter()
        .flatten();
    let equals = labels.map(|(key, value)| Requirement {
        key,
        operator: "In",
        values: std::slice::from_ref(value),
    });
    let expressions = selector
        .and_then(|s| s.match_expressions.as_ref())
        .into_iter()
        .flatten();
    let others = expressions.map(|expression| Requirement {
        key: &expression.key,
        operator: &expression.operator,
        values: expression.values.as_deref().unwrap_or_default(),
    });
    equals.chain(others)
}

impl Requirement<'_> {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn by(operator: &str, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "tier".to_owned(),
                operator: operator.to_owned(),
                values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
            }]),
            ..LabelSelector::default()
        }
    }

    #[test]
    fn operators_are_those_of_the_api_server() {
        let (production, none) = (labels(&[("tier", "production")]), labels(&[]));
        for (selector, on_production, on_none) in [
            (by("In", &["production", "demo"]), true, false),
            (by("NotIn", &["production"]), false, true),
            (by("Exists", &[]), true, false),
            (by("DoesNotExist", &[]), false, true),
            (by("Resembles", &[]), true, true),
            (LabelSelector::default(), true, true),
        ] {
            assert_eq!(
                selects(Some(&selector), &production),
                on_production,
                "{selector:?}"
            );
            assert_eq!(selects(Some(&selector), &none), on_none, "{selector:?}");
        }
        assert!(selects(None, &none));
    }

    #[test]
    fn a_label_that_is_not_there_takes_nobody_out() {
        let selector = LabelSelector {
            match_labels: Some(labels(&[("tier", "production")])),
            ..LabelSelector::default()
        };
        assert!(selects_or_lacks(Some(&selector), &labels(&[])));
        assert!(selects_or_lacks(
            Some(&selector),
            &labels(&[("tier", "production")])
        ));
        assert!(!selects_or_lacks(
            Some(&selector),
            &labels(&[("tier", "staging")])
        ));
    }
}
