//! What verbs print: tables like kubectl's, JSON, YAML, names.

use std::io::Write as _;

use clap::ValueEnum;
use jiff::Timestamp;
use kube::Resource;
use serde_json::{Value, json};

use super::Failure;
use super::connect::Kind;

/// Form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// A table with more columns.
    Wide,
    /// `kind.group/name` of each.
    Name,
}

/// Form of a result that is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
}

/// Prints a text as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has read enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Failure::No(format!("cannot write: {e}"))),
    }
}

/// Prints one line.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Tells on standard error what is being waited for.
pub(crate) fn progress(line: &str) {
    // Nothing is left to be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a value as JSON or YAML.
pub(crate) fn print_value(value: &Value, form: Data) -> Result<(), Failure> {
    if form == Data::Yaml {
        return print(&tidegate_yaml::to_string(value));
    }
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::No(format!("cannot write: {e}")))?;
    say(&text)
}

/// Prints objects as JSON, YAML or names; `table` is used for the others.
pub(crate) fn print_objects<K: Kind>(
    objects: &[K],
    format: Option<Format>,
    table: impl Fn(bool) -> String,
) -> Result<(), Failure> {
    match format {
        None => print(&table(false)),
        Some(Format::Wide) => print(&table(true)),
        Some(Format::Name) => {
            let lines = objects.iter().map(|object| format!("{}\n", named(object)));
            print(&lines.collect::<String>())
        }
        Some(format) => {
            let items = objects
                .iter()
                .map(serde_json::to_value)
                .collect::<Result<Vec<_>, _>>();
            let items = items.map_err(|e| Failure::No(format!("cannot write: {e}")))?;
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            print_value(
                &list,
                if format == Format::Yaml {
                    Data::Yaml
                } else {
                    Data::Json
                },
            )
        }
    }
}

/// `release.tidegate.io/shop-000001`.
pub(crate) fn named<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let name = object.meta().name.as_deref().unwrap_or_default();
    format!("{}.{}/{name}", K::kind(&()).to_lowercase(), K::group(&()))
}

/// Rows in columns, three blanks between them; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        out.push('\n');
    }
    out
}

/// `45s`, `12m`, `7h`, `3d`: as kubectl rounds.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_the_letters() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let text = table(&[
            row(&["NAME", "BY", "STATUS"]),
            row(&["ä", "Bob", ""]),
            row(&["long-name", "", "x y"]),
        ]);
        assert_eq!(
            text,
            "NAME        BY    STATUS\nä           Bob\nlong-name         x y\n"
        );
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (10_800, "3h"),
            (172_800, "2d"),
            (-5, "0s"),
        ] {
            assert_eq!(
                age(Timestamp::from_second(1_000_000 - seconds).unwrap(), now),
                text
            );
        }
    }
}
