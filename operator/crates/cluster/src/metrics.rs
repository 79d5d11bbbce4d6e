//! Counters of the calls to the API server.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of this room. Clones share the same values.
#[derive(Clone, Debug)]
pub struct KubeMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    waited: Histogram,
    in_flight: IntGauge,
}

impl KubeMetrics {
    /// Makes and registers them. Fails when the registry has metrics of those names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![
            0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        ];
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "tidegate_kube_requests_total",
                    "Requests to the API server, retries counted singly.",
                ),
                &["verb", "kind", "code"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "tidegate_kube_request_duration_seconds",
                    "Time to a whole answer.",
                )
                .buckets(buckets.clone()),
                &["verb"],
            )?,
            waited: Histogram::with_opts(
                HistogramOpts::new(
                    "tidegate_kube_request_wait_seconds",
                    "Time a request waited for its turn.",
                )
                .buckets(buckets),
            )?,
            in_flight: IntGauge::new(
                "tidegate_kube_requests_in_flight",
                "Requests without an answer yet.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.waited.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        Ok(metrics)
    }

    /// `code` is 0 when there was no answer.
    pub(crate) fn answered(&self, verb: &str, kind: &str, code: u16, seconds: f64) {
        let code = if code == 0 {
            "none".to_owned()
        } else {
            code.to_string()
        };
        self.requests.with_label_values(&[verb, kind, &code]).inc();
        self.duration.with_label_values(&[verb]).observe(seconds);
    }

    pub(crate) fn waited(&self, seconds: f64) {
        self.waited.observe(seconds);
    }

    /// Counts a request as in flight until the guard goes.
    pub(crate) fn flight(&self) -> Flight {
        self.in_flight.inc();
        Flight(self.in_flight.clone())
    }
}

pub(crate) struct Flight(IntGauge);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
