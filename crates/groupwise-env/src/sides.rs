//! Pools of drawn instances, of which a share is kept for evaluation by its hash.
//!
//! The hash decides, not the draw: an instance stands on the same side under every key, so that training under one seed
//! and evaluation under another have none in common.

use std::collections::BTreeSet;

use groupwise_core::key::{KeyedRng, hash_str};
use groupwise_core::{DataError, Key};

/// One instance in so many is kept for evaluation.
const EVAL_SHARE: u64 = 5;

/// Instances drawn for one task before there counts as none left.
const ATTEMPTS: usize = 10_000;

/// True if the instance that is written like this is kept for evaluation.
pub(crate) fn is_held_out(written: &str) -> bool {
    hash_str(written).is_multiple_of(EVAL_SHARE)
}

/// The first that `draw` gives, if it gives any in a fixed number of attempts.
pub(crate) fn attempt<T>(draw: impl FnMut() -> Option<T>) -> Option<T> {
    std::iter::repeat_with(draw).take(ATTEMPTS).flatten().next()
}

/// `n` different instances, as `draw` gives them for their number, and a generator keyed by `world/side` and that number.
///
/// Instance `i` depends on the key and on those before it (which it must not repeat) only: a smaller pool is the beginning
/// of a larger one.
///
/// # Errors
/// Names world, side and number if no other is found; `none_left` says what there is none of, and what to do.
pub(crate) fn distinct<T: Ord + Clone>(
    (world, side): (&str, &str),
    n: usize,
    key: Key,
    draw: impl Fn(usize, &mut KeyedRng) -> Option<T>,
    none_left: impl Fn(usize) -> String,
) -> Result<Vec<T>, DataError> {
    let stream = format!("{world}/{side}");
    let mut seen = BTreeSet::new();
    (0..n)
        .map(|i| {
            let mut rng = key.named(&stream, i as u64).rng();
            let fresh = attempt(|| draw(i, &mut rng).filter(|found| seen.insert(found.clone())));
            fresh.ok_or_else(|| DataError::value(format!("{world}, {side} tasks"), none_left(i)))
        })
        .collect()
}
