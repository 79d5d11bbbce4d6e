//! URL paths of the API.

use tidegate_core::catalog::Gvk;
use tidegate_core::object::ObjectId;

/// `/apis/apps/v1/namespaces/shop/deployments`; the namespace may be empty.
pub(crate) fn collection(group: &str, version: &str, namespace: &str, plural: &str) -> String {
    let root = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    if namespace.is_empty() {
        format!("{root}/{plural}")
    } else {
        format!("{root}/namespaces/{}/{plural}", segment(namespace))
    }
}

/// Path of one object.
pub(crate) fn object(gvk: &Gvk, plural: &str, id: &ObjectId) -> String {
    let collection = collection(&gvk.group, &gvk.version, &id.namespace, plural);
    format!("{collection}/{}", segment(&id.name))
}

/// Percent-encodes one path segment or query value: names such as `system:node` hold characters that URLs reserve.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(collection("", "v1", "", "namespaces"), "/api/v1/namespaces");
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let id = ObjectId::new("apps", "Deployment", "shop", "../web");
        assert_eq!(
            object(&gvk, "deployments", &id),
            "/apis/apps/v1/namespaces/shop/deployments/..%2Fweb"
        );
        assert_eq!(segment("system:node,a=b"), "system:node%2Ca%3Db");
    }
}
