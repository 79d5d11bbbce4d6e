//! Widgets, and how they are judged by expressions.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::application::HealthExpression;
use tidegate_core::health::expressions::{HealthRule, HealthRules};
use tidegate_core::health::{Health, assess_by};
use tidegate_core::object::ObjectId;

pub(crate) fn entry(current: &str, failed: &str, in_progress: &str) -> HealthExpression {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    HealthExpression {
        api_version: "example.com/v1".to_owned(),
        kind: "Widget".to_owned(),
        current: current.to_owned(),
        failed: some(failed),
        in_progress: some(in_progress),
    }
}

pub(crate) fn widget(fields: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "shop", "uid": "u", "generation": 2},
    });
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

pub(crate) fn rule(entries: &[HealthExpression]) -> std::sync::Arc<HealthRule> {
    let id = ObjectId::of(&widget(&json!({}))).unwrap();
    HealthRules::read(entries).0.of(&id, "v1").unwrap().clone()
}

pub(crate) fn judge(entry: HealthExpression, fields: &Value) -> Health {
    let (_, problems) = HealthRules::read(std::slice::from_ref(&entry));
    assert_eq!(problems, [], "{entry:?}");
    assess_by(Some(&rule(&[entry])), &widget(fields), Timestamp::UNIX_EPOCH)
}
