//! "Did you mean": the nearest known name to a misspelt one.

/// Names longer than this are not compared: the work is the product of the lengths.
const MAX_NAME: usize = 64;

/// The known name nearest to `wrong`, when it is near enough to be meant: another case, or at most a third of its
/// letters (three at most) mistyped, left out, added or swapped.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = wrong
        .chars()
        .flat_map(char::to_lowercase)
        .take(MAX_NAME + 1)
        .collect();
    if typed.len() > MAX_NAME || typed.is_empty() {
        return None;
    }
    let limit = (typed.len() / 3).clamp(1, 3);
    known
        .map(|name| {
            (
                distance(&typed, &name.to_lowercase().chars().collect::<Vec<_>>()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Edits between two names, a swap of neighbours counting as one.
fn distance(a: &[char], b: &[char]) -> usize {
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}
