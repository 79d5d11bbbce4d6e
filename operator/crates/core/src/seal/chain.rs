//! Whether the records of an Application are whole: each by itself, beside what stands in the open, and as a chain.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use tidegate_api::Release;
use tidegate_api::release::{Phase, PreviousRecord};

use super::{Record, bare, brief, digest, open};

/// What became of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Each Release, oldest first.
    pub releases: Vec<Standing>,
    /// All that is wrong; empty for a chain that is whole.
    pub faults: Vec<String>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
    /// Public keys that signed, sorted.
    pub keys: Vec<String>,
    /// Digest of the last record: kept elsewhere, it tells later whether the chain was cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<PreviousRecord>,
}

/// One Release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// What is known of its record.
    pub sum: Sum,
    /// Place in the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Digest of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Sum {
    /// It is whole.
    Whole,
    /// The Release has not reached its end.
    Open,
    /// Made by a version that did not seal.
    NotSealed,
    /// Something is wrong with it.
    Broken,
}

impl Sum {
    /// For a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Open => "not finished",
            Self::NotSealed => "not sealed",
            Self::Broken => "BROKEN",
        }
    }
}

/// Checks all Releases of one Application. `last_sequence` is what the Application counts. `signed_by` says with which
/// public key a digest was signed, or what is wrong with the signature.
pub fn check(
    releases: &[Release],
    last_sequence: i64,
    signed_by: &dyn Fn(&str, &str) -> Result<String, String>,
) -> Report {
    let mut releases: Vec<&Release> = releases.iter().collect();
    releases.sort_by_key(|r| r.spec.sequence);
    let mut report = Report::default();
    let mut keys = BTreeSet::new();
    let mut records: BTreeMap<&str, Record> = BTreeMap::new();
    for release in &releases {
        let name = release.metadata.name.as_deref().unwrap_or_default();
        let status = release.status.clone().unwrap_or_default();
        let mut faults = Vec::new();
        let record = status.record.as_deref().and_then(|text| {
            let read = one(release, text, signed_by, &mut keys, &mut faults);
            read.inspect(|record| {
                records.insert(name, record.clone());
            })
        });
        let sum = match (&status.record, status.phase.is_final()) {
            _ if !faults.is_empty() => Sum::Broken,
            (Some(_), _) => Sum::Whole,
            (None, true) => Sum::NotSealed,
            (None, false) => Sum::Open,
        };
        report
            .faults
            .extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
        report.releases.push(Standing {
            name: name.to_owned(),
            phase: status.phase,
            sum,
            number: record.map(|r| r.number),
            digest: status.digest,
        });
    }
    report.keys = keys.into_iter().collect();
    links(&records, &mut report);
    whole(&releases, &records, last_sequence, &mut report);
    report
}

/// One record by itself, and beside what stands in the open.
fn one(
    release: &Release,
    text: &str,
    signed_by: &dyn Fn(&str, &str) -> Result<String, String>,
    keys: &mut BTreeSet<String>,
    faults: &mut Vec<String>,
) -> Option<Record> {
    let status = release.status.as_ref()?;
    let found = digest(text);
    if status.digest.as_deref() != Some(found.as_str()) {
        faults.push(
            "status.record was changed after it was sealed: it does not have the digest in status.digest"
                .to_owned(),
        );
    }
    match status.signature.as_deref() {
        None => faults.push("status.signature is missing".to_owned()),
        Some(signature) => match signed_by(&found, signature) {
            Ok(key) => {
                keys.insert(key);
            }
            Err(why) => faults.push(format!("status.signature {why}")),
        },
    }
    let record = match open(text) {
        Ok(record) => record,
        Err(why) => {
            faults.push(format!("status.record {why}"));
            return None;
        }
    };
    let name = release.metadata.name.as_deref().unwrap_or_default();
    let namespace = release.metadata.namespace.as_deref().unwrap_or_default();
    if record.name != name || record.namespace != namespace {
        faults.push(format!(
            "status.record is that of {}/{}",
            record.namespace, record.name
        ));
        return None;
    }
    let shown = brief(&bare(status), record.brevity);
    let differ = differences(&(&release.spec, &shown), &(&record.spec, &record.status));
    if !differ.is_empty() {
        faults.push(format!(
            "{} differ{} from what was sealed",
            differ.join(", "),
            if differ.len() == 1 { "s" } else { "" }
        ));
    }
    Some(record)
}

/// Names of the fields of (spec, status) that differ.
fn differences<A: Serialize, B: Serialize>(open: &A, sealed: &B) -> Vec<String> {
    let value = |v: Result<Value, serde_json::Error>| v.unwrap_or_default();
    let (open, sealed) = (
        value(serde_json::to_value(open)),
        value(serde_json::to_value(sealed)),
    );
    let mut found = Vec::new();
    for (part, place) in [(0, "spec"), (1, "status")] {
        let fields = |v: &Value| v[part].as_object().cloned().unwrap_or_default();
        let (open, sealed) = (fields(&open), fields(&sealed));
        let names: BTreeSet<&String> = open.keys().chain(sealed.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| open.get(*name) != sealed.get(*name));
        found.extend(changed.map(|name| format!("{place}.{name}")));
    }
    found
}

/// Each record names the one before it.
fn links(records: &BTreeMap<&str, Record>, report: &mut Report) {
    let mut chain: Vec<(&&str, &Record)> = records.iter().collect();
    chain.sort_by_key(|(_, record)| record.number);
    let mut followers: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, record) in &chain {
        let Some(previous) = &record.previous else {
            if record.number != 1 {
                report
                    .faults
                    .push(format!("{name}: record {} names none before it", record.number));
            }
            continue;
        };
        if let Some(other) = followers.insert(&previous.name, name) {
            report.faults.push(format!(
                "{name}: names {} as the record before it, as {other} does; one of the two is not of this chain",
                previous.name
            ));
        }
        let Some(before) = report.releases.iter().find(|r| r.name == previous.name) else {
            continue;
        };
        if before.digest.as_deref() != Some(previous.digest.as_str()) {
            report.faults.push(format!(
                "{}: is not the record that {name} was sealed after",
                previous.name
            ));
        }
    }
    if let Some((name, record)) = chain.last() {
        let digest = report.releases.iter().find(|r| r.name == **name);
        report.head = digest
            .and_then(|r| r.digest.clone())
            .map(|digest| PreviousRecord {
                name: record.name.clone(),
                digest,
            });
    }
}

/// Nothing is missing that must be there.
fn whole(releases: &[&Release], records: &BTreeMap<&str, Record>, last_sequence: i64, report: &mut Report) {
    let Some(newest) = records.values().max_by_key(|record| record.number) else {
        let finished = report.releases.iter().filter(|r| r.phase.is_final()).count();
        if finished > 0 {
            report.faults.push(format!(
                "none of {finished} finished Releases is sealed: there is nothing that could be verified"
            ));
        }
        return;
    };
    let there: BTreeSet<i64> = releases.iter().map(|r| r.spec.sequence).collect();
    let highest = there.iter().next_back().copied().unwrap_or(0);
    let top = highest.max(last_sequence);
    // Those that are missing at the end trimmed one each when they were sealed.
    let from = newest.kept_from.saturating_add(top.saturating_sub(highest));
    // A number that somebody wrote by hand is no reason to count for hours.
    let missing: Vec<i64> = (from..=top).filter(|n| !there.contains(n)).take(20).collect();
    for number in missing {
        report.faults.push(format!(
            "{}: is missing, and was not trimmed by historyLimit",
            crate::record::release_name(&newest.spec.application, number)
        ));
    }
    let sealed = |r: &&&Release| {
        r.metadata
            .name
            .as_deref()
            .is_some_and(|n| records.contains_key(n))
    };
    let first = releases.iter().find(sealed);
    let first_number = first.map_or(0, |r| r.spec.sequence);
    for standing in &mut report.releases {
        let release = releases
            .iter()
            .find(|r| r.metadata.name.as_deref() == Some(&standing.name));
        let sequence = release.map_or(0, |r| r.spec.sequence);
        if standing.sum == Sum::NotSealed && sequence > first_number {
            standing.sum = Sum::Broken;
            report.faults.push(format!(
                "{}: is finished and not sealed, though {} before it is",
                standing.name,
                first.and_then(|r| r.metadata.name.as_deref()).unwrap_or_default()
            ));
        } else if standing.sum == Sum::NotSealed {
            report
                .notes
                .push(format!("{}: was made before records were sealed", standing.name));
        }
    }
    let begins = records.values().min_by_key(|record| record.number);
    if let Some(begins) = begins.filter(|record| record.number > 1) {
        report.notes.push(format!(
            "the chain begins at {}, its record number {}; older ones were trimmed by historyLimit",
            begins.name, begins.number
        ));
    }
}
