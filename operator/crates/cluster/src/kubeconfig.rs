//! A kubeconfig that somebody else wrote: used only when everything it needs stands in it, and nothing in it makes us run
//! programs, read files, or talk to somebody whom we cannot verify.

use kube::config::{AuthInfo, Cluster, Kubeconfig};
use serde_json::Value;

use crate::error::Error;

/// Most bytes of a kubeconfig.
pub const MAX_BYTES: usize = 256 << 10;

/// Reads a kubeconfig; the error names every entry that is refused, and what to write instead.
pub fn read(value: Value) -> Result<Kubeconfig, Error> {
    // What the reader says may repeat what stands there, which is secret.
    let kubeconfig: Kubeconfig =
        serde_json::from_value(value).map_err(|_| refused("it has not the form of one"))?;
    let (cluster, user) = current(&kubeconfig).map_err(|fault| refused(&fault))?;
    let mut faults = faults_of_cluster(cluster);
    faults.extend(faults_of_user(user));
    if faults.is_empty() {
        return Ok(kubeconfig);
    }
    Err(refused(&faults.join("; ")))
}

fn refused(cause: &str) -> Error {
    Error::Config {
        cause: format!("the kubeconfig cannot be used: {cause}"),
    }
}

/// Cluster and user of the current context.
fn current(kubeconfig: &Kubeconfig) -> Result<(&Cluster, &AuthInfo), String> {
    let name = kubeconfig.current_context.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err("current-context is missing".to_owned());
    }
    let context = kubeconfig.contexts.iter().find(|c| c.name == name);
    let context = context
        .and_then(|c| c.context.as_ref())
        .ok_or_else(|| format!("current-context is {name}, which contexts has not"))?;
    let cluster = kubeconfig.clusters.iter().find(|c| c.name == context.cluster);
    let cluster = cluster.and_then(|c| c.cluster.as_ref()).ok_or_else(|| {
        format!(
            "context {name} names cluster {}, which clusters has not",
            context.cluster
        )
    })?;
    let user = context.user.as_deref().unwrap_or_default();
    let user = kubeconfig
        .auth_infos
        .iter()
        .find(|u| u.name == user)
        .and_then(|u| u.auth_info.as_ref())
        .ok_or_else(|| format!("context {name} names user {user}, which users has not"))?;
    Ok((cluster, user))
}

fn faults_of_cluster(cluster: &Cluster) -> Vec<String> {
    let server = cluster.server.as_deref().unwrap_or_default();
    let rows = [
        (!server.starts_with("https://"), "server must begin with https://"),
        (
            cluster.insecure_skip_tls_verify == Some(true),
            "insecure-skip-tls-verify is refused: put the server's CA into certificate-authority-data",
        ),
        (
            cluster.certificate_authority.is_some(),
            "certificate-authority names a file: use certificate-authority-data",
        ),
        (
            cluster.proxy_url.is_some(),
            "proxy-url is refused: the server must be reachable itself",
        ),
    ];
    said(&rows)
}

fn faults_of_user(user: &AuthInfo) -> Vec<String> {
    let acts = user.impersonate.is_some()
        || user.impersonate_groups.is_some()
        || user.impersonate_uid.is_some()
        || user.impersonate_user_extra.is_some();
    let rows = [
        (
            user.exec.is_some(),
            "exec runs a program: use a token or a client certificate",
        ),
        (
            user.auth_provider.is_some(),
            "auth-provider runs a program: use a token or a client certificate",
        ),
        (user.token_file.is_some(), "tokenFile names a file: use token"),
        (
            user.client_certificate.is_some(),
            "client-certificate names a file: use client-certificate-data",
        ),
        (
            user.client_key.is_some(),
            "client-key names a file: use client-key-data",
        ),
        (
            acts,
            "as, as-uid, as-groups and as-user-extra are refused: use spec.serviceAccountName",
        ),
    ];
    said(&rows)
}

fn said(rows: &[(bool, &str)]) -> Vec<String> {
    let faults = rows.iter().filter(|(refused, _)| *refused);
    faults.map(|(_, why)| (*why).to_owned()).collect()
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
