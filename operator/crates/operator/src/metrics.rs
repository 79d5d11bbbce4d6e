//! Prometheus metrics of the way of a commit.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of this room; the others register their own.
#[derive(Clone)]
pub(crate) struct Metrics {
    stages: HistogramVec,
    reconciles: IntCounterVec,
    releases: IntCounterVec,
    drift: IntCounterVec,
    checks: IntCounterVec,
    /// 1 while this replica may write.
    pub(crate) leader: IntGauge,
    /// 1 while the API server is known to guarantee who makes Approvals and Overrides.
    pub(crate) admission: IntGauge,
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![
            0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0,
        ];
        let stages = HistogramOpts::new(
            "tidegate_stage_duration_seconds",
            "Time of each stage of the way of a commit",
        )
        .buckets(buckets);
        let metrics = Self {
            stages: HistogramVec::new(stages, &["stage"])?,
            reconciles: IntCounterVec::new(
                Opts::new(
                    "tidegate_reconciles_total",
                    "Reconciles by kind and outcome (ok, error, panic)",
                ),
                &["kind", "outcome"],
            )?,
            releases: IntCounterVec::new(
                Opts::new("tidegate_releases_total", "Releases by final phase"),
                &["phase"],
            )?,
            drift: IntCounterVec::new(
                Opts::new(
                    "tidegate_drift_corrections_total",
                    "Objects put back after a change in the cluster",
                ),
                &["namespace", "application"],
            )?,
            checks: IntCounterVec::new(
                Opts::new(
                    "tidegate_verification_checks_total",
                    "Checks of policies by kind (metric, http) and outcome (good, bad)",
                ),
                &["kind", "outcome"],
            )?,
            leader: IntGauge::new("tidegate_leader", "1 while this replica may write")?,
            admission: IntGauge::new(
                "tidegate_admission_proven",
                "1 while the API server is known to guarantee who makes Approvals and Overrides",
            )?,
        };
        registry.register(Box::new(metrics.stages.clone()))?;
        registry.register(Box::new(metrics.reconciles.clone()))?;
        registry.register(Box::new(metrics.releases.clone()))?;
        registry.register(Box::new(metrics.drift.clone()))?;
        registry.register(Box::new(metrics.checks.clone()))?;
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.admission.clone()))?;
        Ok(metrics)
    }

    /// Time of one stage: `fetch`, `render`, `plan`, `apply`, `healthy`, `commit_to_live`.
    pub(crate) fn stage(&self, stage: &str, took: Duration) {
        self.stages
            .with_label_values(&[stage])
            .observe(took.as_secs_f64());
    }

    /// One reconcile ended.
    pub(crate) fn reconciled(&self, kind: &str, outcome: &str) {
        self.reconciles.with_label_values(&[kind, outcome]).inc();
    }

    /// One check of a policy was made.
    pub(crate) fn checked(&self, kind: &str, outcome: &str) {
        self.checks.with_label_values(&[kind, outcome]).inc();
    }

    /// One release reached its final phase.
    pub(crate) fn released(&self, phase: &str) {
        self.releases.with_label_values(&[phase]).inc();
    }

    /// Objects were put back.
    pub(crate) fn corrected(&self, namespace: &str, application: &str, count: usize) {
        self.drift
            .with_label_values(&[namespace, application])
            .inc_by(count as u64);
    }
}
