//! `tidegate history`.

use jiff::Timestamp;
use tidegate_api::Release;

use super::Failure;
use super::connect::Connection;
use super::output::{Format, age, print_objects, table};

/// Lists the releases of an Application, oldest first.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tidegate history shop -n shop
  tidegate history -A -o wide
  tidegate history shop -o json | jq '.items[].status.phase'")]
pub(crate) struct Args {
    /// Application; those of all Applications when absent.
    application: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Form of the list.
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
    let fields = args
        .application
        .as_ref()
        .map(|name| format!("spec.application={name}"));
    let mut releases: Vec<Release> = cluster.list(namespace, &fields.unwrap_or_default()).await?;
    releases.sort_by(|a, b| key(a).cmp(&key(b)));
    if releases.is_empty() {
        let of = args
            .application
            .as_deref()
            .map(|name| format!(" of {name}"))
            .unwrap_or_default();
        let place = namespace.map_or_else(|| "any namespace".to_owned(), |n| format!("namespace {n}"));
        super::output::progress(&format!("No releases{of} in {place}."));
    }
    let now = Timestamp::now();
    let columns = Columns {
        namespace: args.all_namespaces,
        application: args.application.is_none(),
    };
    print_objects(&releases, args.output, |wide| columns.table(&releases, wide, now))
}

fn key(release: &Release) -> (Option<&str>, &str, i64) {
    let namespace = release.metadata.namespace.as_deref();
    (namespace, &release.spec.application, release.spec.sequence)
}

struct Columns {
    namespace: bool,
    application: bool,
}

impl Columns {
    fn table(&self, releases: &[Release], wide: bool, now: Timestamp) -> String {
        let mut head: Vec<&str> = Vec::new();
        head.extend(self.namespace.then_some("NAMESPACE"));
        head.push("NAME");
        head.extend(self.application.then_some("APPLICATION"));
        head.extend(["REVISION", "PHASE", "CHANGES", "BY", "TOOK", "AGE"]);
        if wide {
            head.extend(["BEGUN BY", "APPROVED BY", "PLAN", "SUBJECT"]);
        }
        head.push("STATUS");
        if releases.is_empty() {
            return String::new();
        }
        let mut rows = vec![head.into_iter().map(str::to_owned).collect()];
        rows.extend(releases.iter().map(|release| self.row(release, wide, now)));
        table(&rows)
    }

    fn row(&self, release: &Release, wide: bool, now: Timestamp) -> Vec<String> {
        let status = release.status.clone().unwrap_or_default();
        let meta = &release.metadata;
        let made = meta.creation_timestamp.as_ref().map(|time| age(time.0, now));
        let mut row = Vec::new();
        row.extend(self.namespace.then(|| meta.namespace.clone().unwrap_or_default()));
        row.push(meta.name.clone().unwrap_or_default());
        row.extend(self.application.then(|| release.spec.application.clone()));
        let display = status.display;
        row.extend([
            display.revision,
            status.phase.as_str().to_owned(),
            display.changes,
            display.by,
            display.took,
            made.unwrap_or_default(),
        ]);
        if wide {
            let counted = status.approvals.iter().filter(|a| a.counts);
            let approvers: Vec<&str> = counted.map(|a| a.approver.as_str()).collect();
            row.extend([
                format!("{:?}", release.spec.trigger),
                approvers.join(","),
                status.plan.digest.get(..12).unwrap_or_default().to_owned(),
                release.spec.revision.subject.clone(),
            ]);
        }
        row.push(display.message);
        row
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_tells_who_did_what_and_how_it_ended() {
        let release: Release = serde_json::from_value(json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Release",
            "metadata": {"name": "shop-000007", "namespace": "shop", "creationTimestamp": "2026-11-25T10:00:00Z"},
            "spec": {"application": "shop", "applicationUID": "u", "sequence": 7, "trigger": "Commit", "revision": {
                "commit": "c", "tree": "t", "ref": "master", "author": "Alice <a@example.com>", "committedAt": "2026-11-25T10:00:00Z", "subject": "Scale web"}},
            "status": {"phase": "Succeeded", "plan": {"digest": "fedcba9876543210"},
                "approvals": [{"name": "a", "approver": "oidc:bob", "counts": true}, {"name": "b", "approver": "oidc:eve", "counts": false}],
                "display": {"revision": "master@9f8e7d6c", "changes": "+1 ~3 -0", "by": "Alice", "took": "9s", "message": "24 of 24 objects are healthy"}},
        })).unwrap();
        let now = "2026-11-25T12:00:00Z".parse().unwrap();
        let columns = |namespace, application| Columns {
            namespace,
            application,
        };
        insta::assert_snapshot!(
            "history",
            columns(false, false).table(std::slice::from_ref(&release), false, now)
        );
        insta::assert_snapshot!("history_wide", columns(true, true).table(&[release], true, now));
    }
}
