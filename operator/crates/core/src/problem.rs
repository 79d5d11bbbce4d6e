//! What is wrong with a desired object: always object, field, file and line, cause, and what to do next.

use std::fmt;

use tidegate_api::release::Failure;

use crate::object::Location;

/// One reason why a set is not admissible or an object was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// CamelCase cause: condition reason, event reason and metric label at once.
    pub reason: &'static str,
    /// `Deployment shop/web`, or empty when the object could not be told.
    pub object: String,
    /// JSON path of the field, `spec.replicas`, where one is to blame.
    pub field: Option<String>,
    /// Where it is written.
    pub location: Option<Location>,
    /// Cause and what to do next.
    pub message: String,
}

impl Problem {
    /// The form in a Release's status.
    pub fn to_failure(&self) -> Failure {
        Failure {
            object: self.object.clone(),
            field: self.field.clone(),
            location: self.location.as_ref().map(ToString::to_string),
            message: self.message.clone(),
            pod_reason: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Joins problems into one line for a condition: first one for each object, then more of them, then how many more.
pub fn summarize(problems: &[Problem], limit: usize) -> String {
    let first_of_its_object = |index: &usize| {
        let same =
            |p: &Problem| p.object == problems[*index].object && p.location == problems[*index].location;
        problems.iter().position(same) == Some(*index)
    };
    let (firsts, others): (Vec<usize>, Vec<usize>) =
        (0..problems.len()).partition(|index| first_of_its_object(index));
    let mut shown: Vec<usize> = firsts.into_iter().chain(others).take(limit).collect();
    shown.sort_unstable();
    let lines: Vec<String> = shown.iter().map(|index| problems[*index].to_string()).collect();
    let more = problems.len() - lines.len();
    let tail = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", lines.join("; "))
}

/// Turns a JSON pointer (`/spec/containers/0/image`) into the path people write (`spec.containers[0].image`).
pub fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{token}]"));
        } else if token.contains(['.', '/']) {
            path.push_str(&format!("[\"{token}\"]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&token);
        }
    }
    path
}
