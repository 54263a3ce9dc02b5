//! Fuzz targets of everything that reads what a model wrote.
//!
//! Random bytes seldom get past the first character of a parser.  Here bytes choose *fragments* of the grammar under test, now
//! and then a character of noise, or a piece again and again; so one function serves keyed draws, bolero's random engine on stable
//! Rust, and a fuzzer that is guided by coverage.
//!
//! # Runs
//! - `cargo nextest run -p groupwise-fuzz`: a few seconds for each target, the same inputs every time.
//! - Longer, with other inputs: `FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test -p groupwise-fuzz --test math -- --nocapture`; targets are
//!   `math`, `math_values`, `extraction`, `tool_calls`, `countdown`, `ifeval`.  How many inputs were run is printed, and with a failure its input.
//! - By bolero: `BOLERO_RANDOM_TEST_TIME_MS=600000 cargo test -p groupwise-fuzz --test math`, or with coverage
//!   `cargo bolero test -p groupwise-fuzz explored --test math`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use groupwise_core::{Key, Stream};

/// Inputs of a short run.
const SHORT_RUN: u64 = 1_500;
/// Bytes of an input, at most.
pub const MAX_BYTES: usize = 96;
/// Longest text that is put together.
const MAX_TEXT: usize = 20_000;
/// Processor time that no input may take: a target calls its verifier a few times, which allows itself a second each time, and is
/// built with little optimization.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters in which parsers differ from their authors.
const NOISE: [char; 24] = [
    '\0',
    '\u{7f}',
    '\u{a0}',
    '\u{ad}',
    '\u{e9}',
    '\u{130}',
    '\u{17f}',
    '\u{301}',
    '\u{3c3}',
    '\u{660}',
    '\u{6dd}',
    '\u{93f}',
    '\u{200b}',
    '\u{200d}',
    '\u{2028}',
    '\u{2212}',
    '\u{221a}',
    '\u{2264}',
    '\u{3000}',
    '\u{ff11}',
    '\u{ff1d}',
    '\u{fffd}',
    '\u{1d7ce}',
    '\u{10ffff}',
];

/// A text made of `fragments` and noise, as `bytes` say.
///
/// # Example
/// ```
/// assert_eq!(groupwise_fuzz::text(&[0, 1, 0, 0], &["a", "b"]), "ba");
/// assert_eq!(groupwise_fuzz::text(&[], &["a"]), "");
/// ```
pub fn text(bytes: &[u8], fragments: &[&str]) -> String {
    let (mut out, mut piece) = (String::new(), String::new());
    let mut bytes = bytes.iter().copied();
    while let (Some(kind), true) = (bytes.next(), out.len() < MAX_TEXT) {
        let choice = bytes.next().unwrap_or_default();
        let times = match kind {
            0..=199 => {
                piece = fragments
                    .get(usize::from(choice) % fragments.len().max(1))
                    .unwrap_or(&"")
                    .to_string();
                1
            }
            200..=219 => {
                piece = char::from(choice & 0x7f).to_string();
                1
            }
            220..=235 => {
                piece = NOISE
                    .get(usize::from(choice) % NOISE.len())
                    .map(char::to_string)
                    .unwrap_or_default();
                1
            }
            236..=251 => usize::from(choice % 16),
            // Nesting and length at once.
            252..=255 => usize::from(choice) * 8,
        };
        for _ in 0..times {
            if out.len() >= MAX_TEXT {
                break;
            }
            out.push_str(&piece);
        }
    }
    out
}

/// Two texts out of one input.
pub fn two_texts(bytes: &[u8], fragments: &[&str]) -> (String, String) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    (text(first, fragments), text(second, fragments))
}

/// The bytes of one input: a function of seed and index.
pub fn input(seed: u64, index: u64) -> Vec<u8> {
    let mut rng = Key::new(seed, Stream::Tasks).named("fuzz", index).rng();
    let length = rng.below(MAX_BYTES as u64 + 1);
    (0..length).map(|_| rng.below(256) as u8).collect()
}

/// Runs a target on keyed inputs: a fixed number of them, or for `FUZZ_SECONDS` those of `FUZZ_SEED`, from `FUZZ_INPUT` on.
///
/// # Panics
/// As the target does, and if one input takes more than 10 s of processor time; the input is printed first.
pub fn run(name: &str, target: impl Fn(&[u8])) {
    let set = |key: &str| {
        std::env::var(key)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let (seconds, seed) = (set("FUZZ_SECONDS"), set("FUZZ_SEED").unwrap_or(1));
    let start = now();
    let first = set("FUZZ_INPUT").unwrap_or(0);
    let (mut index, mut slowest) = (first, (Duration::ZERO, first));
    loop {
        let enough = match seconds {
            Some(seconds) => start.elapsed() >= Duration::from_secs(seconds),
            None => index - first >= SHORT_RUN,
        };
        if enough {
            break;
        }
        let bytes = input(seed, index);
        let begun = processor_time();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
        let taken = processor_time().saturating_sub(begun);
        slowest = slowest.max((taken, index));
        if outcome.is_err() || taken > PATIENCE {
            tell(&format!(
                "{name}: FUZZ_SEED={seed}, input {index}, {taken:?}: {bytes:?}"
            ));
        }
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        assert!(taken <= PATIENCE, "{name}: input {index} took {taken:?}");
        index += 1;
    }
    tell(&format!(
        "{name}: {} inputs from seed {seed}, slowest {:?} (input {})",
        index - first,
        slowest.0,
        slowest.1
    ));
}

/// The tests of a target: `keyed` by [`run`], and `explored` by bolero where it is asked for.
#[macro_export]
macro_rules! tests {
    ($name:literal, $target:path) => {
        #[test]
        fn keyed() {
            $crate::run($name, $target);
        }

        #[test]
        fn explored() {
            if $crate::bolero_is_asked_for() {
                bolero::check!()
                    .with_max_len($crate::MAX_BYTES)
                    .for_each(|bytes: &[u8]| $target(bytes));
            }
        }
    };
}

/// Time that this thread has computed for, whatever else the machine does.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// True if bolero was asked to run: it is told by variables of its name, as `cargo bolero` tells it.
pub fn bolero_is_asked_for() -> bool {
    std::env::vars_os().any(|(key, _)| key.to_string_lossy().starts_with("BOLERO_"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a fuzz run is told for how long to go on"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::print_stderr,
    reason = "what a run found is told to the person who started it"
)]
fn tell(what: &str) {
    eprintln!("{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_a_function_of_seed_and_index() {
        assert_eq!(input(1, 7), input(1, 7));
        assert_ne!(input(1, 7), input(2, 7));
        assert!((0..200).any(|index| input(1, index).len() > 64));
    }

    #[test]
    fn pieces_are_repeated_and_texts_bounded() {
        assert_eq!(text(&[0, 0, 240, 3], &["ab"]), "abababab");
        let long = text(&[0, 0, 255, 255, 255, 255, 255, 255], &["0123456789"]);
        assert!(long.len() >= MAX_TEXT && long.len() < MAX_TEXT + 10);
        assert_eq!(text(&[0, 0], &[]), "");
        assert_eq!(text(&[200, b'x', 220, 0], &[]), "x\0");
        assert_eq!(
            two_texts(&[0, 0, 0, 1], &["a", "b"]),
            ("a".to_owned(), "b".to_owned())
        );
    }
}
