//! Randomness by key: every draw is a function of (run seed, stream, step, task, sample, turn, token).
//!
//! No generator is shared and none is advanced, so the order of work, the number of threads, the composition
//! of a batch and a resumed run change nothing; arms of an ablation that use the same run seed share their
//! draws (common random numbers).
//!
//! A [`Key`] is 128 bits.  Each field is absorbed by one Philox-4x32-10 block (counter = state, key = field and
//! its tag); draws are Philox blocks under a key.  Source: Salmon et al., "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011; the known answers of its reference distribution are tested below.

use std::convert::Infallible;

use rand_core::TryRng;
use serde::{Deserialize, Serialize};

/// What a draw is for.  Streams with different names are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Initial weights of a policy.
    Init = 1,
    /// Generation of the task pool.
    Tasks = 2,
    /// Which prompts a batch holds.
    Sampler = 3,
    /// Tokens of training rollouts.
    Rollout = 4,
    /// Tokens of evaluation rollouts.
    Eval = 5,
    /// Environment dynamics.
    Environment = 6,
    /// Supervised warm start.
    WarmStart = 7,
    /// Order of mini-batches inside an update.
    MiniBatch = 8,
    /// Resampling in reports.
    Bootstrap = 9,
    /// Greedy or auxiliary rollouts that an estimator asked for.
    Auxiliary = 10,
}

/// A position in the space of draws.
///
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// let prompt = Key::new(7, Stream::Rollout).step(3).task(41);
/// let (first, second) = (prompt.sample(0).token(0), prompt.sample(1).token(0));
/// assert_ne!(first.uniform(), second.uniform(), "members of a group never share their noise");
/// assert_eq!(first.uniform(), Key::new(7, Stream::Rollout).step(3).task(41).sample(0).token(0).uniform());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u32; 4]);

impl Key {
    /// Root of a stream of a run.
    pub fn new(run_seed: u64, stream: Stream) -> Self {
        Self([0x6772_6f75, 0x7077_6973, 0x655f_6b65, 0x795f_7631])
            .absorb(1, run_seed)
            .absorb(2, stream as u64)
    }

    /// Training step.
    pub fn step(self, step: u64) -> Self {
        self.absorb(3, step)
    }

    /// Task, by its stable identity ([`crate::Task::key`]) or its index in the pool.
    pub fn task(self, task: u64) -> Self {
        self.absorb(4, task)
    }

    /// Member of a group.
    pub fn sample(self, sample: u64) -> Self {
        self.absorb(5, sample)
    }

    /// Turn of an episode.
    pub fn turn(self, turn: u64) -> Self {
        self.absorb(6, turn)
    }

    /// Token of a turn.
    pub fn token(self, token: u64) -> Self {
        self.absorb(7, token)
    }

    /// Any further position, under a name.
    pub fn named(self, name: &str, index: u64) -> Self {
        self.absorb(8, hash_str(name)).absorb(9, index)
    }

    /// A uniform draw in [0, 1) with 53 random bits.
    pub fn uniform(self) -> f64 {
        unit(self.rng().next_u64_infallible())
    }

    /// A generator of draws under this key, for distributions that need more than one number.
    pub fn rng(self) -> KeyedRng {
        KeyedRng {
            key: [self.0[0], self.0[1]],
            tail: [self.0[2], self.0[3]],
            block: 0,
            words: [0; 4],
            used: 4,
        }
    }

    /// 64 bits that identify this key, for content hashes.
    pub fn bits(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    fn absorb(self, tag: u32, value: u64) -> Self {
        let mut counter = self.0;
        counter[3] ^= tag;
        Self(philox(counter, [value as u32, (value >> 32) as u32]))
    }
}

/// Uniform in [0, 1) from the upper 53 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Stable 64-bit hash of a string (FNV-1a, then mixed): identities of tasks and of names.
pub fn hash_str(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// A generator under one [`Key`]; implements `rand_core::Rng`, so it drives any distribution of `rand_distr`.
#[derive(Clone, Debug)]
pub struct KeyedRng {
    key: [u32; 2],
    tail: [u32; 2],
    block: u64,
    words: [u32; 4],
    used: usize,
}

impl KeyedRng {
    fn word(&mut self) -> u32 {
        if self.used == 4 {
            let counter = [
                self.block as u32,
                (self.block >> 32) as u32,
                self.tail[0],
                self.tail[1],
            ];
            self.words = philox(counter, self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    fn next_u64_infallible(&mut self) -> u64 {
        let low = u64::from(self.word());
        u64::from(self.word()) << 32 | low
    }

    /// A uniform draw in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        unit(self.next_u64_infallible())
    }

    /// A uniform integer below `n`, without bias (rejection).  `n` = 0 gives 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let draw = self.next_u64_infallible();
            if draw < limit {
                return draw % n;
            }
        }
    }

    /// Shuffles in place (Fisher-Yates, every order equally likely).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

impl TryRng for KeyedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_u64_infallible())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Philox-4x32 with 10 rounds.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_known_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_field_changes_the_draw_and_order_of_fields_matters() {
        let base = Key::new(1, Stream::Rollout);
        let keys = [
            base,
            Key::new(2, Stream::Rollout),
            Key::new(1, Stream::Eval),
            base.step(1),
            base.task(1),
            base.sample(1),
            base.turn(1),
            base.token(1),
            base.step(1).task(2),
            base.task(2).step(1),
            base.named("a", 1),
            base.named("b", 1),
        ];
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn draws_are_pinned() {
        // Value stability: a change here changes every run ever made and is a decision, not a refactoring.
        let key = Key::new(42, Stream::Rollout)
            .step(3)
            .task(hash_str("t-1"))
            .sample(5)
            .turn(0)
            .token(9);
        let mut rng = key.rng();
        let draws: Vec<u64> = (0..3).map(|_| rng.next_u64_infallible()).collect();
        assert_eq!(key.bits(), 12_801_693_429_394_973_070);
        assert_eq!(
            draws,
            [
                854_536_598_809_592_720,
                17_882_828_939_023_270_380,
                8_846_251_199_529_027_474
            ]
        );
    }

    #[test]
    fn uniforms_follow_their_law() {
        // Kolmogorov-Smirnov at alpha 0.001 over consecutive token keys, the way generation uses them.
        let n = 20_000;
        let base = Key::new(0, Stream::Rollout).step(0).task(0).sample(0).turn(0);
        let mut draws: Vec<f64> = (0..n).map(|t| base.token(t).uniform()).collect();
        draws.sort_by(f64::total_cmp);
        let n = n as f64;
        let distance = draws
            .iter()
            .enumerate()
            .map(|(i, u)| (u - i as f64 / n).abs().max((u - (i + 1) as f64 / n).abs()))
            .fold(0.0, f64::max);
        assert!(distance < 1.95 / n.sqrt(), "distance {distance}");
    }

    #[test]
    fn below_and_shuffle_cover_every_outcome() {
        let mut rng = Key::new(0, Stream::Sampler).rng();
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            let mut order = [0, 1, 2];
            rng.shuffle(&mut order);
            counts[order[0] * 2 + usize::from(order[1] > order[2])] += 1;
        }
        // Chi-square with 5 degrees of freedom, alpha 0.001: 20.5.
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 20.5, "chi-square {chi}");
        assert_eq!(rng.below(1), 0);
    }
}
