//! Schema pieces that schemars cannot derive: bounded strings that the API server checks by pattern and CEL.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Go-style duration between 1 second and 7 days. `format: duration` would accept `5 minutes`, hence the expression; one
/// rule and no `pattern` beside it, so that people read one message and no regular expression.
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('168h')",
            "message": "must be a Go-style duration between 1s and 168h, for example 30s or 5m",
        }],
    })
}

/// Go-style duration between 1 second and 31 days.
pub fn long_duration(_: &mut SchemaGenerator) -> Schema {
    spread_duration("1s", false)
}

/// As [`long_duration`], for a field that may be absent.
pub fn optional_long_duration(_: &mut SchemaGenerator) -> Schema {
    spread_duration("1s", true)
}

/// Go-style duration of up to 31 days; `0s` means at once.
pub fn soak_duration(_: &mut SchemaGenerator) -> Schema {
    spread_duration("0s", false)
}

fn spread_duration(shortest: &str, optional: bool) -> Schema {
    let rule = format!(
        "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('{shortest}') && duration(self) <= duration('744h')"
    );
    let message = format!("must be a Go-style duration between {shortest} and 744h, for example 30m or 8h");
    let mut schema = json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{ "rule": rule, "message": message }],
    });
    if optional {
        schema.insert("nullable".to_owned(), true.into());
    }
    schema
}

/// IANA name of a time zone, as the API server knows it.
pub fn time_zone(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$') && timestamp('2020-01-01T00:00:00Z').getHours(self) >= 0",
            "message": "must be the IANA name of a time zone, for example Europe/Berlin or UTC",
        }],
    })
}

/// Decimal number as a string, so that no client rounds it.
pub fn optional_decimal(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "nullable": true,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^-?[0-9]+([.][0-9]+)?$')",
            "message": "must be a decimal number in quotes, for example \"0.01\"",
        }],
    })
}

/// Address of an HTTP server, without credentials.
pub fn http_url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 8,
        "maxLength": 2048,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^https?://[^@\\\\s/?#]+([/?#][^\\\\s]*)?$')",
            "message": "must be http://host or https://host with an optional path, without credentials",
        }],
    })
}

/// RFC 3339 time of a field that must be there.
pub fn required_date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 64 })
}

/// Repository address: https, http, ssh or scp-like; no credentials, no option, no other transport of git.
pub fn repository_url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 2048,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^(https?://[^@\\\\s]+|ssh://[^\\\\s]+|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9.-]+:[^\\\\s]+)$')",
            "message": "must be https://host/path, http://host/path, ssh://user@host/path or user@host:path, without credentials; they belong in spec.secretRef",
        }],
    })
}

/// RFC 3339 time, kept as a string so that an old object never becomes unreadable.
pub fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 64, "nullable": true })
}

/// `metav1.Condition` list, a map by type so that several writers can share it.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "Conditions of the kstatus contract; each has a machine-readable reason and a message that says what to do.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "maxLength": 316, "description": "Name of the condition, for example Ready." },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown." },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1024, "description": "Machine-readable cause in CamelCase." },
                "message": { "type": "string", "maxLength": 32768, "description": "Object, field, cause and what to do next." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "When the status last changed." },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0, "description": "metadata.generation that this condition speaks of." },
            },
        },
    })
}
