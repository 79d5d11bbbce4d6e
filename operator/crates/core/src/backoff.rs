//! Exponential backoff with deterministic jitter: the same name and attempt always wait the same time.

use std::time::Duration;

/// Bounds of a backoff.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub max: Duration,
}

impl Backoff {
    /// For work on one object of ours: 1 s to 5 min.
    pub const RECONCILE: Self = Self {
        first: Duration::from_secs(1),
        max: Duration::from_secs(300),
    };

    /// Wait before attempt `attempt` (0-based), within ±20 % by `seed` so that objects do not retry in step.
    pub fn wait(&self, attempt: u32, seed: u64) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1_u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX));
        let mixed = (seed ^ u64::from(attempt)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let percent = 80 + (mixed >> 33) % 41;
        doubled.min(self.max) * u32::try_from(percent).unwrap_or(100) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_stays_bounded() {
        let waits: Vec<_> = (0..40)
            .map(|attempt| Backoff::RECONCILE.wait(attempt, 7))
            .collect();
        assert!(waits[0] >= Duration::from_millis(800) && waits[0] <= Duration::from_millis(1200));
        assert!(waits.iter().all(|w| *w <= Duration::from_secs(360)));
        assert!(waits[30] >= Duration::from_secs(240));
    }
}
