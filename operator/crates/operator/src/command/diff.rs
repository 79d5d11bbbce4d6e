//! `tidegate diff`.

use std::fmt::Write as _;

use tidegate_api::Release;
use tidegate_api::release::PlanSummary;
use tidegate_core::record::changes;

use super::Failure;
use super::connect::Connection;
use super::output::{Data, print, print_value};

/// Shows what a release changes. A record has at most 20 changes with five fields each, and no value of a Secret.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tidegate diff shop-000042 -n shop
  tidegate diff shop-000042 -o json")]
pub(crate) struct Args {
    /// The release.
    release: String,
    #[command(flatten)]
    connection: Connection,
    /// The plan as JSON or YAML.
    #[arg(short, long, value_enum)]
    output: Option<Data>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let release: Release = cluster.get(&args.release).await?;
    let plan = release.status.map(|s| s.plan).unwrap_or_default();
    match args.output {
        Some(form) => {
            let value = serde_json::to_value(&plan).map_err(|e| Failure::No(e.to_string()))?;
            print_value(&value, form)
        }
        None => print(&text(&args.release, &plan)),
    }
}

/// The changes, and how many are not shown.
pub(crate) fn text(release: &str, plan: &PlanSummary) -> String {
    let mut out = String::new();
    if plan.digest.is_empty() {
        return format!("{release} has no plan: its commit was refused before one was made\n");
    }
    let digest = plan.digest.get(..12).unwrap_or(&plan.digest);
    let _ = writeln!(
        out,
        "{release}: {}, {} unchanged; plan {digest}",
        changes(plan),
        plan.unchanged
    );
    for change in &plan.changes {
        let sign = match change.action.as_str() {
            "create" => "+",
            "delete" => "-",
            "recreate" => "-+",
            _ => "~",
        };
        let _ = writeln!(out, "{sign:>2} {}", change.object);
        for field in &change.fields {
            let _ = writeln!(out, "     {field}");
        }
    }
    let all = plan.create + plan.update + plan.recreate + plan.delete;
    let more = usize::try_from(all)
        .unwrap_or(0)
        .saturating_sub(plan.changes.len());
    if more > 0 {
        let _ = writeln!(
            out,
            "   and {more} more: the record of a release has the first 20, the whole plan is kept by the operator alone"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_shown_is_counted() {
        let plan = serde_json::from_value(json!({
            "digest": "fedcba9876543210", "create": 1, "update": 1, "recreate": 1, "delete": 2, "unchanged": 20,
            "changes": [
                {"action": "create", "object": "ConfigMap shop/flags"},
                {"action": "update", "object": "Deployment shop/web", "fields": ["spec.replicas: 2 → 5"]},
                {"action": "recreate", "object": "Job shop/migrate"},
                {"action": "delete", "object": "ConfigMap shop/old"},
            ],
        }))
        .unwrap();
        insta::assert_snapshot!("diff", text("shop-000007", &plan));
        assert!(text("shop-000008", &PlanSummary::default()).contains("was refused"));
    }
}
