//! Counts of requests as the API server itself keeps them. Owns the parsing of `apiserver_request_total`.

use std::collections::BTreeMap;

/// Requests the API server answered, by verb (`GET`, `LIST`, `APPLY`, `PATCH`, ...) and resource
/// (`configmaps`, `releases/status`), all codes and groups summed. Subresources stand after a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTotals {
    counts: BTreeMap<(String, String), u64>,
}

impl RequestTotals {
    /// Reads the text of `/metrics`; lines of other metrics are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut totals = Self::default();
        for line in text.lines() {
            let Some((labels, value)) = line
                .strip_prefix("apiserver_request_total{")
                .and_then(|l| l.rsplit_once("} "))
            else {
                continue;
            };
            let label = |name: &str| {
                let value = labels
                    .split(',')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""));
                value.unwrap_or("").trim_end_matches('"').to_owned()
            };
            let (mut resource, sub) = (label("resource"), label("subresource"));
            if !sub.is_empty() {
                resource = format!("{resource}/{sub}");
            }
            // The value may carry a timestamp after a space, and is a float such as 1.2e+06.
            let count = value
                .split(' ')
                .next()
                .and_then(|v| v.parse::<f64>().ok())
                .unwrap_or(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter below 2^53"
            )]
            let count = count as u64;
            *totals.counts.entry((label("verb"), resource)).or_default() += count;
        }
        totals
    }

    /// Requests of one verb on one resource.
    #[must_use]
    pub fn get(&self, verb: &str, resource: &str) -> u64 {
        self.counts
            .get(&(verb.to_owned(), resource.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    /// Requests with any of these verbs on this resource.
    #[must_use]
    pub fn sum(&self, verbs: &[&str], resource: &str) -> u64 {
        verbs.iter().map(|verb| self.get(verb, resource)).sum()
    }

    /// Requests that write (`POST`, `PUT`, `PATCH`, `APPLY`, `DELETE`, `DELETECOLLECTION`) on this resource.
    #[must_use]
    pub fn writes(&self, resource: &str) -> u64 {
        self.sum(
            &["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"],
            resource,
        )
    }

    /// What came since `before`: only the verbs and resources whose count grew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let grown = |(key, now): (&(String, String), &u64)| {
            let more = now.saturating_sub(before.counts.get(key).copied().unwrap_or(0));
            (more > 0).then(|| (key.clone(), more))
        };
        Self {
            counts: self.counts.iter().filter_map(grown).collect(),
        }
    }

    /// All counts, by verb and resource.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<(String, String), u64> {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::RequestTotals;

    #[test]
    fn counts_are_summed_over_codes_and_compared() {
        let line = |code: u32, n: u32| {
            format!(
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",group=\"\",\
                 resource=\"pods\",scope=\"resource\",subresource=\"status\",verb=\"PATCH\",version=\"v1\"}} {n}\n"
            )
        };
        let before = RequestTotals::parse(&line(200, 2));
        let after = RequestTotals::parse(&format!("# HELP\n{}{}", line(200, 5), line(409, 1)));
        assert_eq!(after.get("PATCH", "pods/status"), 6);
        assert_eq!(after.since(&before).writes("pods/status"), 4);
        assert!(after.since(&after).all().is_empty());
    }
}
