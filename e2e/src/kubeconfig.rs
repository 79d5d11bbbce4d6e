//! Kubeconfig files by token. Owns their text; talks to nobody.

use std::path::Path;

use base64::Engine;

use crate::error::{Error, Result};

/// Writes a kubeconfig with one cluster and one user that has a token and nothing more, readable by its owner only.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, server: &str, ca_pem: &str, token: &str) -> Result<()> {
    let ca = base64::engine::general_purpose::STANDARD.encode(ca_pem);
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": "e2e", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    });
    write_private(path, &format!("{text:#}\n"))
}

/// Writes a file readable by its owner only.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).map_err(Error::file(path))?;
    file.write_all(text.as_bytes()).map_err(Error::file(path))
}
