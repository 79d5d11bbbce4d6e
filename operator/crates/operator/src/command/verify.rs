//! `tidegate verify`.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tidegate_api::{Application, Release};
use tidegate_core::seal::{self, Report};

use super::Failure;
use super::connect::{Cluster, Connection};
use super::output::{Data, print, print_value, table};
use crate::record_key::{self, fingerprint, signed_by};

/// Checks that no record of an Application's releases was changed or taken out.
///
/// Each finished release is sealed: its record has a digest, which the operator signs, and names the record before it.
/// This checks digests and signatures, that what stands in spec and status is what was sealed, that the chain has no gap,
/// and that the operator's key signed, which ConfigMap tidegate-record-key of its namespace has or --key names.
///
/// Ends with 0 when all of that holds, with 1 when not, or when it cannot be told whose key signed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tidegate verify shop -n shop
  tidegate verify shop -n shop --key sha256-0123456789abcdef    (a key that you noted down earlier)
  tidegate verify shop -n shop -o json")]
pub(crate) struct Args {
    /// Application; one that was deleted too, as long as its releases are kept.
    application: String,
    #[command(flatten)]
    connection: Connection,
    /// Namespace of the operator.
    #[arg(long, default_value = "tidegate-system")]
    operator_namespace: String,
    /// Public key that may have signed, or its fingerprint, instead of those of the ConfigMap; may be repeated.
    #[arg(long)]
    key: Vec<String>,
    /// The result as JSON or YAML.
    #[arg(short, long, value_enum)]
    output: Option<Data>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let name = &args.application;
    // Before the releases: what it counts is there by then.
    let app: Option<Application> = cluster.find(name).await?;
    let counted = app
        .and_then(|app| app.status)
        .map_or(0, |status| status.last_sequence);
    let fields = format!("spec.application={name}");
    let releases: Vec<Release> = cluster.list(Some(&cluster.namespace), &fields).await?;
    if releases.is_empty() && counted == 0 {
        return Err(Failure::No(format!(
            "there are no releases of {name} in namespace {}",
            cluster.namespace
        )));
    }
    let mut report = seal::check(&releases, counted, &signed_by);
    judge_keys(&mut report, known(&cluster, &args).await);
    match args.output {
        Some(form) => {
            let value = json!({"application": name, "namespace": cluster.namespace, "report": report});
            print_value(&value, form)?;
        }
        None => print(&text(name, &report))?,
    }
    match report.faults.len() {
        0 => Ok(()),
        1 => Err(Failure::No(format!("{name}: one fault"))),
        many => Err(Failure::No(format!("{name}: {many} faults"))),
    }
}

/// The public keys that may have signed; else why they are not known.
async fn known(cluster: &Cluster, args: &Args) -> Result<Vec<String>, String> {
    if !args.key.is_empty() {
        return Ok(args.key.clone());
    }
    let (name, namespace) = (record_key::NAME, &args.operator_namespace);
    let map = cluster.find_in::<ConfigMap>(namespace, name).await;
    let map = map.map_err(|e| e.to_string())?.ok_or_else(|| {
        format!("namespace {namespace} has no ConfigMap {name}; name the operator's namespace with --operator-namespace")
    })?;
    Ok(map.data.unwrap_or_default().into_values().collect())
}

fn judge_keys(report: &mut Report, known: Result<Vec<String>, String>) {
    let signed: Vec<String> = report.keys.clone();
    match known {
        Err(why) if !signed.is_empty() => report.faults.push(format!(
            "whose key signed cannot be told ({}): {why}; or say with --key which one is the operator's",
            signed
                .iter()
                .map(|key| fingerprint(key))
                .collect::<Vec<_>>()
                .join(", ")
        )),
        Err(_) => {}
        Ok(known) => {
            let foreign = signed
                .iter()
                .filter(|key| !known.iter().any(|k| k == *key || *k == fingerprint(key)));
            let lines =
                foreign.map(|key| format!("key {} signed, and is none of the operator's", fingerprint(key)));
            report.faults.extend(lines.collect::<Vec<_>>());
        }
    }
}

fn text(name: &str, report: &Report) -> String {
    let mut rows = vec![
        ["NAME", "PHASE", "RECORD", "NUMBER", "DIGEST"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for one in &report.releases {
        rows.push(vec![
            one.name.clone(),
            one.phase.as_str().to_owned(),
            one.sum.as_str().to_owned(),
            one.number.map(|n| n.to_string()).unwrap_or_default(),
            one.digest
                .as_deref()
                .and_then(|d| d.get(..12))
                .unwrap_or_default()
                .to_owned(),
        ]);
    }
    let mut out = table(&rows);
    out.push('\n');
    for note in &report.notes {
        out.push_str(&format!("Note: {note}\n"));
    }
    for fault in &report.faults {
        out.push_str(&format!("FAULT: {fault}\n"));
    }
    let keys: Vec<String> = report.keys.iter().map(|key| fingerprint(key)).collect();
    if let Some(head) = report.head.as_ref().filter(|_| report.faults.is_empty()) {
        out.push_str(&format!(
            "The records of {name} are whole, signed by {}. The last one is {}, digest {}: note it down, and a chain that is cut short later is seen.\n",
            keys.join(", "),
            head.name,
            head.digest
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(keys: &[&str]) -> Report {
        Report {
            keys: keys.iter().map(|k| (*k).to_owned()).collect(),
            ..Report::default()
        }
    }

    #[test]
    fn a_key_is_known_by_itself_or_by_its_fingerprint() {
        for (known, faults) in [
            (vec!["a".to_owned(), "b".to_owned()], 0),
            (vec![fingerprint("a"), "b".to_owned()], 0),
            (vec!["a".to_owned()], 1),
            (vec![], 2),
        ] {
            let mut report = signed(&["a", "b"]);
            judge_keys(&mut report, Ok(known));
            assert_eq!(report.faults.len(), faults, "{report:?}");
        }
        let mut report = signed(&["a"]);
        judge_keys(&mut report, Err("no right".into()));
        assert!(report.faults[0].contains("no right"));
        let mut nothing_sealed = signed(&[]);
        judge_keys(&mut nothing_sealed, Err("no right".into()));
        assert!(nothing_sealed.faults.is_empty());
    }
}
