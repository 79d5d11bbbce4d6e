//! `--for` and `--until`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tidegate_core::duration;

use super::Failure;

/// When something ends by itself.
#[derive(Args, Clone, Debug)]
pub(crate) struct End {
    /// How long from now, for example `1h` or `90m`.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, conflicts_with = "until")]
    pub(crate) lasts: Option<Duration>,
    /// When, in RFC 3339, for example `2026-11-30T08:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,
}

impl End {
    /// The end to the second; `None` when neither was said.
    pub(crate) fn time(&self, now: Timestamp) -> Result<Option<String>, Failure> {
        let end = match (self.lasts, self.until) {
            (Some(lasts), _) => now
                .checked_add(lasts)
                .map_err(|e| Failure::No(format!("--for {}: {e}", duration::human(lasts))))?,
            (None, Some(until)) => until,
            (None, None) => return Ok(None),
        };
        if end <= now {
            return Err(Failure::No(format!("{end} has passed already")));
        }
        let whole = Timestamp::from_second(end.as_second()).unwrap_or(end);
        Ok(Some(whole.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_lies_ahead_and_has_whole_seconds() {
        let now: Timestamp = "2026-11-25T10:00:00.5Z".parse().unwrap();
        let end = |lasts: Option<u64>, until: Option<&str>| {
            let until = until.map(|t| t.parse().unwrap());
            End {
                lasts: lasts.map(Duration::from_secs),
                until,
            }
            .time(now)
            .ok()
        };
        assert_eq!(
            end(Some(3600), None),
            Some(Some("2026-11-25T11:00:00Z".to_owned()))
        );
        assert_eq!(
            end(None, Some("2026-11-26T00:00:00+01:00")),
            Some(Some("2026-11-25T23:00:00Z".to_owned()))
        );
        assert_eq!(end(None, None), Some(None));
        assert_eq!(end(None, Some("2026-11-25T10:00:00Z")), None);
        assert_eq!(end(Some(u64::MAX), None), None);
    }
}
