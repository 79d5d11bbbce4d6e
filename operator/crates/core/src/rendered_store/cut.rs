//! Where a set is cut into chunks: so that a change of one object, or one more or less, leaves almost all chunks as they
//! are.
//!
//! A stretch that is too heavy is cut before the object of the lowest rank in it, and so on for both parts. Ranks come
//! from identities alone, so that the cuts stay where they are when contents change, and an object that comes or goes
//! moves only cuts beside it. A target twice as large leaves some of the cuts out and makes no new ones.

use std::ops::Range;

/// One object, as far as cutting goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Bytes, not compressed.
    pub(super) weight: usize,
    /// See [`super::seal::SetKey::rank_of`].
    pub(super) rank: u64,
}

/// Lightest target: below it a chunk is not worth a Secret of its own.
const MIN_TARGET: usize = 128 << 10;
/// Heaviest: a change writes a chunk anew.
const MAX_TARGET: usize = 4 << 20;

/// Weight that chunks of such a set stay under: a quarter of it or more, so that a set has a handful of chunks whatever
/// its size. A power of two: a set that grows changes its target seldom.
pub(super) fn target(whole: usize) -> usize {
    (whole / 4).next_power_of_two().clamp(MIN_TARGET, MAX_TARGET)
}

/// The chunks, in order. One is heavier than `target` only if it has a single object.
pub(super) fn cut(items: &[Item], target: usize) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut stretches: Vec<Range<usize>> = std::iter::once(0..items.len()).collect();
    while let Some(stretch) = stretches.pop() {
        let inside = items.get(stretch.clone()).unwrap_or_default();
        let weight: usize = inside.iter().map(|item| item.weight).sum();
        let lowest = inside
            .iter()
            .enumerate()
            .skip(1)
            .min_by_key(|(_, item)| item.rank);
        match lowest {
            Some((at, _)) if weight > target => {
                let at = stretch.start + at;
                stretches.push(at..stretch.end);
                stretches.push(stretch.start..at);
            }
            _ if stretch.is_empty() => {}
            _ => chunks.push(stretch),
        }
    }
    chunks
}
