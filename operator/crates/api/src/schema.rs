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
