//! What is wrong in one file.

use std::sync::LazyLock;

use serde_json::Value;
use tidegate_api::{ApplicationSpec, ClusterReleasePolicySpec, ReleasePolicySpec};
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::object::split_api_version;
use tidegate_core::policy::CompiledPolicy;
use tidegate_core::problem::{Problem, field_path};
use tidegate_core::schema::SchemaSet;
use tidegate_yaml::{Doc, Limits, parse_stream};

use super::files::File;

/// Schemas of our own kinds, as they are installed.
static SCHEMAS: LazyLock<SchemaSet> = LazyLock::new(|| {
    let mut set = SchemaSet::new();
    for crd in tidegate_api::crds::all() {
        if let Ok(crd) = serde_json::to_value(&crd) {
            set.add_crd(&crd);
        }
    }
    set
});

/// Group of our own kinds.
const GROUP: &str = "tidegate.io";

/// How much was looked at.
#[derive(Default)]
pub(super) struct Seen {
    files: usize,
    policies: usize,
    applications: usize,
    others: usize,
}

impl Seen {
    /// `2 policies, 1 Application and 3 other objects of Tidegate in 4 files: 1 problem`.
    pub(super) fn summary(&self, problems: usize) -> String {
        let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        format!(
            "{}, {} and {} in {}: {}",
            count(self.policies, "policy", "policies"),
            count(self.applications, "Application", "Applications"),
            count(
                self.others,
                "other object of Tidegate",
                "other objects of Tidegate"
            ),
            count(self.files, "file", "files"),
            match problems {
                0 => "nothing is wrong".to_owned(),
                n => count(n, "problem", "problems"),
            }
        )
    }
}

/// Adds a line for each problem of a file. True when it cannot be read as YAML or JSON.
pub(super) fn examine(file: &File, seen: &mut Seen, lines: &mut Vec<String>) -> bool {
    seen.files += 1;
    let docs = match parse_stream(&file.bytes, &Limits::default()) {
        Ok(docs) => docs,
        Err(errors) => {
            let said = errors.iter().map(|error| {
                let (line, column) = (error.line, error.column);
                format!("{}:{line}: column {column}: {}", file.path, error.message)
            });
            lines.extend(said);
            return true;
        }
    };
    for doc in &docs {
        let Some((object, problems)) = look(&doc.value, seen) else {
            continue;
        };
        lines.extend(problems.iter().map(|p| line(file, doc, &object, p)));
    }
    false
}

fn line(file: &File, doc: &Doc, object: &str, problem: &Problem) -> String {
    let field = problem.field.as_deref().unwrap_or_default();
    let at = doc.positions.line_of(&pointer(field)).unwrap_or(doc.line);
    let field = if field.is_empty() {
        String::new()
    } else {
        format!("{field}: ")
    };
    format!("{}:{at}: {object}: {field}{}", file.path, problem.message)
}

/// The pointer of a path as people write it: `spec.rules[0].name` is `/spec/rules/0/name`.
fn pointer(field: &str) -> String {
    let mut pointer = String::new();
    for part in field.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        pointer.push('/');
        pointer.push_str(part);
    }
    pointer
}

/// The object for people, and what is wrong with it; nothing for objects that are not Tidegate's.
fn look(value: &Value, seen: &mut Seen) -> Option<(String, Vec<Problem>)> {
    let (api_version, kind) = (value["apiVersion"].as_str()?, value["kind"].as_str()?);
    if split_api_version(api_version).0 != GROUP {
        return None;
    }
    match kind {
        "ReleasePolicy" | "ClusterReleasePolicy" => seen.policies += 1,
        "Application" => seen.applications += 1,
        _ => seen.others += 1,
    }
    let name = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let object = match name("namespace") {
        "" => format!("{kind} {}", name("name")),
        namespace => format!("{kind} {namespace}/{}", name("name")),
    };
    if !SCHEMAS.has(api_version, kind) {
        let message = format!("there is no kind {kind} in {api_version}");
        return Some((object, vec![problem("kind", message)]));
    }
    let mut problems: Vec<Problem> = SCHEMAS
        .validate(api_version, kind, value)
        .into_iter()
        .map(|violation| problem(&field_path(&violation.pointer), violation.message))
        .collect();
    // What is told of a field once is not told again in other words.
    let told: Vec<Option<String>> = problems.iter().map(|p| p.field.clone()).collect();
    match meaning(value, kind) {
        Ok(more) => problems.extend(more.into_iter().filter(|p| !told.contains(&p.field))),
        Err(message) if problems.is_empty() => problems.push(problem("spec", message)),
        Err(_) => {}
    }
    Some((object, problems))
}

fn problem(field: &str, message: String) -> Problem {
    Problem {
        reason: "InvalidSpec",
        object: String::new(),
        field: Some(field.to_owned()),
        location: None,
        message,
    }
}

/// What no schema says.
fn meaning(value: &Value, kind: &str) -> Result<Vec<Problem>, String> {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let (namespace, name) = (text("namespace"), text("name"));
    Ok(match kind {
        "ReleasePolicy" => {
            let spec: ReleasePolicySpec = decode(value)?;
            CompiledPolicy::namespaced(namespace, name, &spec).problems
        }
        "ClusterReleasePolicy" => {
            let spec: ClusterReleasePolicySpec = decode(value)?;
            CompiledPolicy::cluster(name, &spec).problems
        }
        "Application" => {
            let spec: ApplicationSpec = decode(value)?;
            HealthRules::read(&spec.health.expressions).1
        }
        _ => Vec::new(),
    })
}

fn decode<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(&value["spec"]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> (bool, Vec<String>) {
        let file = File {
            path: "p.yaml".to_owned(),
            bytes: text.as_bytes().to_vec(),
        };
        let mut lines = Vec::new();
        let unreadable = examine(&file, &mut Seen::default(), &mut lines);
        (unreadable, lines)
    }

    #[test]
    fn each_problem_has_file_line_object_field_and_cause() {
        let (unreadable, lines) = lines(
            "apiVersion: tidegate.io/v1alpha1\n\
             kind: ReleasePolicy\n\
             metadata: {name: p, namespace: shop}\n\
             spec:\n\
             \x20 limit: {maxDeletes: 5}\n\
             \x20 rules:\n\
             \x20 - name: fine\n\
             \x20   expression: plan.delete == 0\n\
             \x20 - name: broken\n\
             \x20   expression: plan.deletes == 0\n\
             ---\n\
             apiVersion: tidegate.io/v1alpha1\n\
             kind: ClusterReleasePolicy\n\
             metadata: {name: c}\n\
             spec:\n\
             \x20 limits:\n\
             \x20   protectedKinds: [Namespace, pods]\n\
             \x20 allow:\n\
             \x20   sources: [\"https://git.example.com/**\", git.example.com]\n\
             ---\n\
             apiVersion: tidegate.io/v1alpha1\n\
             kind: Application\n\
             metadata: {name: a, namespace: shop}\n\
             spec:\n\
             \x20 source: {kind: GitRepository, name: shop}\n\
             \x20 health:\n\
             \x20   expressions:\n\
             \x20   - {apiVersion: example.com/v1, kind: Widget, current: self.ready}\n\
             ---\n\
             apiVersion: v1\n\
             kind: ConfigMap\n\
             metadata: {name: other}\n\
             nonsense: true\n",
        );
        assert!(!unreadable);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        for (line, beginning, cause) in [
            (
                &lines[0],
                "p.yaml:5: ReleasePolicy shop/p: spec.limit: ",
                "limits",
            ),
            (
                &lines[1],
                "p.yaml:10: ReleasePolicy shop/p: spec.rules[1].expression: rule broken: line 1, column 6: ",
                "there is no field `deletes` here",
            ),
            (
                &lines[2],
                "p.yaml:17: ClusterReleasePolicy c: spec.limits.protectedKinds[1]: ",
                "`pods`",
            ),
            (
                &lines[3],
                "p.yaml:19: ClusterReleasePolicy c: spec.allow.sources[1]: ",
                "`git.example.com`",
            ),
            (
                &lines[4],
                "p.yaml:28: Application shop/a: spec.health.expressions[0].current: ",
                "there is no `self`",
            ),
        ] {
            assert!(line.starts_with(beginning) && line.contains(cause), "{line}");
        }
    }

    #[test]
    fn what_is_right_or_not_ours_says_nothing() {
        for text in [
            "",
            "# nothing\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
            "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {name: p}\nspec: {}\n",
            "{\"apiVersion\": \"tidegate.io/v1alpha1\", \"kind\": \"Freeze\", \"metadata\": {\"name\": \"f\"}, \"spec\": {\"reason\": \"x\", \"by\": \"alice\"}}",
        ] {
            assert_eq!(lines(text), (false, Vec::new()), "{text}");
        }
    }

    #[test]
    fn the_policies_of_the_page_for_people_are_right() {
        let page = include_str!("../../../../../docs/rules.md");
        let blocks: Vec<&str> = page
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert!(blocks.len() >= 3, "{}", blocks.len());
        for block in blocks {
            let head = "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {name: p}\n";
            let whole = match block.starts_with("spec:") {
                true => format!("{head}{block}"),
                false => block.to_owned(),
            };
            assert_eq!(lines(&whole), (false, Vec::new()), "{whole}");
        }
    }

    #[test]
    fn what_is_not_yaml_is_unreadable_and_says_where() {
        let (unreadable, said) = lines("a: [1\nb: 2\n");
        assert!(unreadable);
        assert!(said[0].starts_with("p.yaml:"), "{said:?}");
        let (unreadable, said) =
            lines("apiVersion: tidegate.io/v2\nkind: ReleasePolicy\nmetadata: {name: p}\n");
        assert!(!unreadable);
        assert!(
            said[0].contains("there is no kind ReleasePolicy in tidegate.io/v2"),
            "{said:?}"
        );
    }
}
