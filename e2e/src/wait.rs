//! Polling with a deadline and a readable failure. Owns no state; never sleeps for a fixed time.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What one look saw.
pub type Seen<T> = std::result::Result<T, String>;

/// Looks again and again until `look` returns `Ok`, or fails with the last `Err` text after `deadline`.
///
/// # Errors
/// [`Error::Timeout`] with what was awaited and what was seen last.
pub async fn until<T, E, F, Fut>(deadline: Duration, what: &str, mut look: F) -> Result<T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = std::result::Result<T, E>>,
{
    let started = Instant::now();
    let mut pause = Duration::from_millis(20);
    let mut last = "nothing yet".to_owned();
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        match tokio::time::timeout(left.max(Duration::from_millis(1)), look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen.to_string(),
            Err(_) => last = format!("{last} (a further look did not end in time)"),
        }
        if started.elapsed() >= deadline {
            return Err(Error::Timeout {
                what: what.to_owned(),
                seconds: deadline.as_secs(),
                last,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
