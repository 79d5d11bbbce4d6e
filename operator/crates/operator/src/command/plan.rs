//! `tidegate plan`: what a local directory would change, and whether the policies would let it.

mod folder;
mod policies;
mod tried;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::DriftMode;
use tidegate_api::release::{Change, GateDecision, PlanSummary};
use tidegate_api::{Application, names};
use tidegate_cluster::{Clients, KubeMetrics, SchemaCache, discovery};
use tidegate_core::admit::{Context, admit};
use tidegate_core::desired::{RawObject, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::object::split_api_version;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::{Inputs, Plan, plan};
use tidegate_core::problem::{self, Problem};
use tidegate_core::record;
use tidegate_core::recreate::Found;

use super::Failure;
use super::connect::{Cluster, Connection};
use super::diff;
use super::output::{print, progress};

/// Shows what a local directory would change in the cluster, and what the policies would say to it.
///
/// The directory stands for spec.source.path of the Application. It is read, checked and planned as the operator does it;
/// what each object would become is asked of the API server, by dry runs with your own rights. Nothing is changed.
///
/// A directory is no commit: what depends on authors, signatures and other Applications is shown as closed. That an object
/// has to be deleted and made anew is not foreseen: the API server's refusal is shown instead.
///
/// Ends with 0 when the directory could be released, at once or when gates open; with 1 when it would be refused.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: get what the Application applies, and patch it for the dry runs; get inventories.tidegate.io and policies.

Examples:
  tidegate plan shop -n shop --path ./deploy
  git worktree add /tmp/next next && tidegate plan shop -n shop --path /tmp/next/deploy"
)]
pub(crate) struct Args {
    /// Application.
    application: String,
    #[command(flatten)]
    connection: Connection,
    /// Local directory in the place of spec.source.path.
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
    /// Namespace of the operator: Freezes in it stop all namespaces.
    #[arg(long, default_value = "tidegate-system")]
    operator_namespace: String,
    /// Name of the installation, as `tidegate run --installation` has it.
    #[arg(long, default_value = "tidegate")]
    installation: String,
}

/// Digests of a plan that is only shown need no secret: nobody compares them with the operator's.
fn shown_key() -> DigestKey {
    DigestKey::new([0; 32])
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let app: Application = cluster.get(&args.application).await?;
    if app.spec.target.kube_config.is_some() {
        return Err(Failure::No(format!(
            "{} applies to another cluster (spec.target.kubeConfig), which a plan cannot look into with your kubeconfig",
            args.application
        )));
    }
    let raw = folder::read(&args.path, &app.spec.source).map_err(|problems| refused(&problems))?;
    if raw.is_empty() {
        return Err(Failure::No(format!(
            "{} has no manifests; an empty source deletes nothing, it is refused",
            args.path.display()
        )));
    }
    progress(&format!(
        "{} objects read; asking the API server what they would become",
        raw.len()
    ));
    let clients = clients(&cluster)?;
    let catalog = discovery::catalog(&clients)
        .await
        .map_err(|e| Failure::No(e.to_string()))?;
    let rendered = check(&args, &app, &clients, &catalog, raw).await?;
    let key = shown_key();
    let tried = tried::all(&cluster, &catalog, &app, &rendered, &key).await?;
    let plan = plan(&Inputs {
        rendered: &rendered,
        inventory: &tried.inventory,
        live: &tried.live,
        prune: app.spec.prune,
        // What drifted is put back anyway, whatever is released.
        drift: DriftMode::Ignore,
        additions: DriftMode::Ignore,
        found: &Found::default(),
        now: Timestamp::now(),
        key: &key,
    });
    let mut out = diff::text(&args.application, &summary(&plan, &tried));
    for forgotten in &plan.forgotten {
        if let Some(why) = forgotten.kept_because {
            let _ = writeln!(out, "   {} stays: {why}", forgotten.id);
        }
    }
    if !rendered.hooks.is_empty() {
        let _ = writeln!(out, "   and {} hooks run", rendered.hooks.len());
    }
    if !tried.refused.is_empty() {
        print(&out)?;
        return Err(Failure::No(format!(
            "the API server would refuse this:\n  {}",
            tried.refused.join("\n  ")
        )));
    }
    if plan.is_empty() {
        return print(&format!("{out}Nothing to release.\n"));
    }
    let applied = tried.inventory.kept().count();
    let answer = policies::ask(&cluster, &app, plan, applied, &args.operator_namespace).await?;
    out.push_str(&said(&answer));
    print(&out)
}

fn clients(cluster: &Cluster) -> Result<Clients, Failure> {
    let metrics =
        KubeMetrics::register(&prometheus::Registry::new()).map_err(|e| Failure::No(e.to_string()))?;
    Ok(Clients::from_parts(
        cluster.client.clone(),
        cluster.client.clone(),
        metrics,
    ))
}

/// All that is wrong, as the operator would list it.
fn refused(problems: &[Problem]) -> Failure {
    let shown = problem::summarize(problems, 20);
    Failure::No(format!(
        "this would be refused, nothing of it applied: {}",
        shown.replace("; ", "\n  ")
    ))
}

async fn check(
    args: &Args,
    app: &Application,
    clients: &Clients,
    catalog: &tidegate_core::catalog::Catalog,
    raw: Vec<RawObject>,
) -> Result<Arc<Rendered>, Failure> {
    let mut versions: Vec<(String, String)> = raw
        .iter()
        .filter_map(|object| object.value["apiVersion"].as_str())
        .map(split_api_version)
        .map(|(group, version)| (group.to_owned(), version.to_owned()))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    let schemas = SchemaCache::new().schemas(clients, &versions).await;
    let schemas = schemas.map_err(|e| Failure::No(e.to_string()))?;
    let own = app.metadata.namespace.clone().unwrap_or_default();
    let owner = Owner {
        installation: args.installation.clone(),
        namespace: own.clone(),
        application: args.application.clone(),
    };
    let context = Context {
        catalog,
        schemas: &schemas,
        namespace: app.spec.target.namespace.as_deref().unwrap_or(&own),
        owner: &owner,
        force: app.spec.force,
        ignore: &app.spec.drift.ignore,
        // Autoscalers of the set itself are known; others show as a change of replicas that the operator leaves alone.
        scaled: &tidegate_core::ignore::Scaled::new(),
        key: &shown_key(),
    };
    admit(raw, &context)
        .map(Arc::new)
        .map_err(|problems| refused(&problems))
}

/// The plan with what the dry runs say of each object, all of it.
fn summary(plan: &Plan, tried: &tried::Tried) -> PlanSummary {
    let changes = plan.steps.iter().map(|step| Change {
        action: step.action.verb().to_owned(),
        object: step.id.to_string(),
        fields: tried.fields.get(&step.id).cloned().unwrap_or_default(),
    });
    PlanSummary {
        changes: changes.collect(),
        ..record::summarize(plan, None)
    }
}

fn said(answer: &policies::Answer) -> String {
    let mut out = String::from("\n");
    for gate in &answer.gates {
        let state = match gate.decision {
            GateDecision::Open => "open",
            GateDecision::Overridden => "overridden",
            GateDecision::Closed => "CLOSED",
        };
        let policy = if gate.policy.is_empty() {
            String::new()
        } else {
            format!(" ({})", gate.policy)
        };
        let _ = writeln!(out, "{state:<10} {}{policy}: {}", gate.gate, gate.message);
    }
    for note in &answer.notes {
        let _ = writeln!(out, "Note: {note}");
    }
    let _ = match &answer.waits {
        Some(why) => writeln!(out, "It would wait: {why}"),
        None if answer.gates.is_empty() => {
            writeln!(out, "No policy says anything: it would be released at once.")
        }
        None => writeln!(out, "The policies let it through: it would be released at once."),
    };
    out
}

/// Field manager of the dry runs: the operator's, so that fields which the directory does not have any more go.
const MANAGER: &str = names::FIELD_MANAGER;
