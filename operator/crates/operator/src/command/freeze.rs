//! `tidegate freeze` and `tidegate unfreeze`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use tidegate_api::{Freeze, FreezeSpec};

use super::Failure;
use super::connect::Connection;
use super::output::{named, say};
use super::times::End;
use super::who;

/// Stops the releases of the Applications of a namespace, in your own name; of all namespaces when made in the operator's.
///
/// Releases that have begun go on, drift is put back, and a failed release is rolled back: nothing new begins.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: create freezes.tidegate.io, and the verb `freeze` on Applications.

Examples:
  tidegate freeze -n shop --reason 'INC-42: the database is down'
  tidegate freeze -n tidegate-system --reason 'Black Friday' --until 2026-11-30T00:00:00Z
  tidegate freeze -n shop --selector tier=frontend --for 2h --reason 'measuring'"
)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Name of the Freeze; made up when absent.
    #[arg(long)]
    name: Option<String>,
    /// Only Applications with these labels, `key=value`; several with commas, all must match.
    #[arg(short = 'l', long, value_delimiter = ',', value_parser = label)]
    selector: Vec<(String, String)>,
    /// Why, for whoever waits.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    end: End,
}

/// Ends a freeze by deleting it.
#[derive(clap::Args)]
#[command(after_help = "Needs: delete freezes.tidegate.io.

Examples:
  kubectl get freezes.tidegate.io -A
  tidegate unfreeze incident-42 -n shop")]
pub(crate) struct EndArgs {
    /// Name of the Freeze.
    freeze: String,
    #[command(flatten)]
    connection: Connection,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text
        .split_once('=')
        .map(|(key, value)| (key, value.trim_start_matches('=')));
    match pair {
        Some((key, value)) if !key.is_empty() && !key.ends_with('!') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!(
            "`{text}` is not of the form key=value; for other selectors write the Freeze as YAML"
        )),
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let until = args.end.time(Timestamp::now())?;
    let who = who::ask(&cluster).await?;
    let labels: BTreeMap<String, String> = args.selector.iter().cloned().collect();
    let selector = (!labels.is_empty()).then(|| LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    });
    let generate_name = args.name.is_none().then(|| "freeze-".to_owned());
    let object = Freeze {
        metadata: ObjectMeta {
            name: args.name.clone(),
            generate_name,
            namespace: Some(cluster.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: FreezeSpec {
            selector,
            reason: args.reason.clone(),
            until: until.clone(),
            by: who.name.clone(),
        },
    };
    let made = cluster.create(&object).await?;
    let end = until.map_or_else(
        || "until it is ended".to_owned(),
        |until| format!("until {until}"),
    );
    say(&format!(
        "{} created by {}, {end}. To end it: tidegate unfreeze {} -n {}",
        named(&made),
        who.name,
        made.metadata.name.as_deref().unwrap_or_default(),
        cluster.namespace
    ))
}

pub(crate) async fn end(args: EndArgs) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let freeze: Freeze = cluster.get(&args.freeze).await?;
    cluster.delete::<Freeze>(&args.freeze).await?;
    say(&format!(
        "{} deleted: it was made by {}, {}",
        named(&freeze),
        freeze.spec.by,
        freeze.spec.reason
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_of_equal_labels() {
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(label("tier=web"), pair("tier", "web"));
        assert_eq!(label("tier==web"), pair("tier", "web"));
        assert_eq!(label("tier="), pair("tier", ""));
        for text in ["tier", "=web", "tier!=web", "tier in (a)"] {
            assert!(label(text).is_err(), "{text}");
        }
    }
}
