//! What must hold before a release is good, and what is made of what was measured.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::ReleasePolicySpec;
use tidegate_api::policy::{HttpCheck, Metric, Policy, Prometheus, Verification};
use tidegate_core::policy::CompiledPolicy;
use tidegate_core::verification::{
    Checks, Measured, Verdict, Watch, demanded, judge, query, read_metric, read_status,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

fn metric(query: &str, min: Option<&str>, max: Option<&str>) -> Metric {
    Metric {
        prometheus: Prometheus {
            address: "http://prometheus.monitoring.svc:9090".to_owned(),
            query: query.to_owned(),
        },
        min: min.map(str::to_owned),
        max: max.map(str::to_owned),
    }
}

fn http(url: &str) -> HttpCheck {
    HttpCheck {
        url: url.to_owned(),
        expect_status: 200,
    }
}

fn policy(name: &str, verification: Option<Verification>) -> Arc<CompiledPolicy> {
    let policy = Policy {
        verification,
        ..Policy::default()
    };
    Arc::new(CompiledPolicy::namespaced(
        "shop",
        name,
        &ReleasePolicySpec { policy },
    ))
}

#[test]
fn policies_together_demand_all_checks_the_longest_time_and_the_shortest_timeout() {
    assert_eq!(demanded(&[policy("none", None)]), None);
    let one = Verification {
        stable_for: "1m".to_owned(),
        timeout: "10m".to_owned(),
        metrics: vec![metric("errors", None, Some("0.01"))],
        http: vec![http("http://shop.shop.svc/")],
    };
    let two = Verification {
        stable_for: "30s".to_owned(),
        timeout: "5m".to_owned(),
        metrics: vec![
            metric("errors", None, Some("0.01")),
            metric("up", Some("1"), None),
        ],
        http: Vec::new(),
    };
    let (a, b) = (policy("a", Some(one)), policy("b", Some(two)));
    let all = demanded(&[a.clone(), policy("none", None), b.clone()]).unwrap();
    assert_eq!((all.stable_for.as_secs(), all.timeout.as_secs()), (60, 300));
    assert_eq!(
        (all.metrics.len(), all.http.len()),
        (2, 1),
        "the same check is made once"
    );
    let other = demanded(&[b, a]).unwrap();
    assert_eq!((other.stable_for, other.timeout), (all.stable_for, all.timeout));
    let short = Verification {
        stable_for: "10m".to_owned(),
        timeout: "1m".to_owned(),
        ..Verification::default()
    };
    let short = demanded(&[policy("short", Some(short))]).unwrap();
    assert_eq!(short.timeout.as_secs(), 600, "else it could never be good");
}

fn checks() -> Checks {
    Checks {
        stable_for: Duration::from_secs(10),
        timeout: Duration::from_secs(30),
        http: vec![http("http://shop.shop.svc/")],
        ..Checks::default()
    }
}

fn good() -> Vec<Measured> {
    vec![read_status(
        &http("http://shop.shop.svc/health?token=s3cret"),
        Ok(200),
    )]
}

fn bad() -> Vec<Measured> {
    vec![read_status(
        &http("http://shop.shop.svc/health?token=s3cret"),
        Ok(500),
    )]
}

#[test]
fn all_must_hold_for_the_whole_time_and_one_bad_answer_begins_it_anew() {
    let (checks, mut watch) = (checks(), Watch::begin(at(0)));
    let mut look = |round: &[Measured], second| judge(&checks, &mut watch, round, at(second));
    assert!(matches!(look(&good(), 1), Verdict::Wait { until, .. } if until == at(11)));
    assert!(matches!(look(&good(), 10), Verdict::Wait { until, .. } if until == at(11)));
    let Verdict::Wait { until, message } = look(&bad(), 11) else {
        panic!("one bad answer decides nothing");
    };
    assert_eq!(until, at(30));
    assert!(
        message.contains("GET http://shop.shop.svc/health: 500, expected 200"),
        "{message}"
    );
    assert!(!message.contains("s3cret"), "{message}");
    assert!(matches!(look(&good(), 12), Verdict::Wait { until, .. } if until == at(22)));
    assert_eq!(look(&good(), 22), Verdict::Good);
}

#[test]
fn what_does_not_hold_at_the_end_fails_with_what_was_measured() {
    let (checks, mut watch) = (checks(), Watch::begin(at(0)));
    assert!(matches!(
        judge(&checks, &mut watch, &bad(), at(29)),
        Verdict::Wait { .. }
    ));
    let Verdict::Failed { message } = judge(&checks, &mut watch, &bad(), at(30)) else {
        panic!("its time is over");
    };
    assert!(message.contains("did not hold for 10s within 30s"), "{message}");
    assert!(message.contains("500, expected 200"), "{message}");
    // What holds at last is given its time; what then breaks has had it.
    let mut watch = Watch::begin(at(0));
    judge(&checks, &mut watch, &good(), at(29));
    assert!(matches!(
        judge(&checks, &mut watch, &good(), at(35)),
        Verdict::Wait { .. }
    ));
    assert!(matches!(
        judge(&checks, &mut watch, &bad(), at(36)),
        Verdict::Failed { .. }
    ));
    // Health that comes and goes is no health.
    let mut watch = Watch::begin(at(0));
    judge(&checks, &mut watch, &good(), at(5));
    watch.lose();
    let Verdict::Failed { message } = judge(&checks, &mut watch, &good(), at(31)) else {
        panic!("its time is over");
    };
    assert!(
        message.contains("did not stay healthy for 10s within 30s"),
        "{message}"
    );
    // A first answer that comes late is an answer.
    let mut watch = Watch::begin(at(0));
    assert!(matches!(
        judge(&checks, &mut watch, &good(), at(40)),
        Verdict::Wait { .. }
    ));
}

#[test]
fn health_alone_can_be_demanded() {
    let checks = Checks {
        http: Vec::new(),
        ..checks()
    };
    assert!(checks.ask_nothing());
    let mut watch = Watch::begin(at(0));
    assert!(matches!(judge(&checks, &mut watch, &[], at(0)), Verdict::Wait { until, .. } if until == at(10)));
    assert_eq!(judge(&checks, &mut watch, &[], at(10)), Verdict::Good);
}

#[test]
fn answers_of_prometheus_are_read_or_said_to_be_none() {
    let errors = metric("http_errors", None, Some("0.01"));
    let up = metric("up", Some("1"), None);
    let vector = |values: &[&str]| {
        let series: Vec<String> = values
            .iter()
            .map(|v| format!(r#"{{"metric":{{}},"value":[1.5,"{v}"]}}"#))
            .collect();
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
            series.join(",")
        )
    };
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"0.005"]}}"#.to_owned();
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned();
    let failed = r#"{"status":"error","errorType":"bad_data","error":"parse error at char 3"}"#.to_owned();
    for (metric, answer, wrong) in [
        (&errors, vector(&["0.01"]), None),
        (&errors, vector(&["0.07"]), Some("0.07, at most 0.01")),
        (&errors, vector(&["0", "0.02"]), Some("0.02, at most 0.01")),
        (&errors, vector(&["NaN"]), Some("NaN, at most 0.01")),
        (&errors, vector(&["+Inf"]), Some("inf, at most 0.01")),
        (&errors, vector(&[]), Some("no value at all, which is not good")),
        (&errors, scalar, None),
        (
            &errors,
            matrix,
            Some("the query makes a matrix; it must make numbers"),
        ),
        (&errors, failed, Some("the query failed: parse error at char 3")),
        (
            &errors,
            "<html>".to_owned(),
            Some("the answer is not that of a Prometheus server"),
        ),
        (
            &errors,
            "{}".to_owned(),
            Some("the answer is not that of a Prometheus server"),
        ),
        (&up, vector(&["1"]), None),
        (&up, vector(&["1", "0"]), Some("0, at least 1")),
    ] {
        let measured = read_metric(metric, "q", Ok(answer.as_bytes()));
        assert_eq!(measured.wrong.as_deref(), wrong, "{answer}");
    }
    let silent = read_metric(&errors, "q", Err("no answer".to_owned()));
    assert_eq!(silent.wrong.as_deref(), Some("no answer"));
}

#[test]
fn the_variables_of_a_query_are_replaced() {
    let metric = metric(
        r#"errors{ns="$namespace",app="$application",release="$release"}"#,
        None,
        Some("0"),
    );
    assert_eq!(
        query(&metric, "shop", "web", "web-000007"),
        r#"errors{ns="shop",app="web",release="web-000007"}"#
    );
}
