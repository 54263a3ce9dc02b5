//! Knapsack RL: the group sizes of a batch that promise the largest gain in success.
//!
//! Symbols of the paper: p_i success rate, q_i = 1 - p_i, N_i rollouts of prompt i, M prompts, n the uniform group
//! size, B the budget, alpha the confidence.  A prompt is *hard* if its known rate is 0, *easy* if it is 1,
//! *middle* in between, *unknown* while too few results were seen.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use groupwise_core::{Allocation, BudgetAllocator, DataError, ParamError, Part, PromptStats};
use serde::{Deserialize, Serialize};

use super::programme::{NoExtra, solve};
use super::{AllocatorContext, check_batch, check_budget, check_group};
use crate::apportion::spread;
use crate::power::power;
use crate::score::GainScore;
use crate::success::{Success, Window};

/// Moves rollouts from prompts that are solved or hopeless to those where one more promises most.
///
/// # Formula
/// Maximise `sum V(N_i, p_i)`, `V(N, p) = (1 - p^N - q^N) p q^2`, under `sum N_i = B` and the bounds.
/// 1. Bases: unknown `num_generations`, hard `n_neg`, easy `n_pos`, middle `n_low`; R = B - their sum.
/// 2. Fallback: a middle prompt needs `c_i = trunc(min(n_up, ln(1 - confidence) / ln(max(p, q))))` rollouts for a
///    mixed group.  If `sum c_i < R`, the difference goes to the pool below its cap: the hard prompts; if none, the
///    unknown; if none, the easy ones.
/// 3. The rest, one at a time, to the middle prompt with the largest marginal gain
///    `p q^2 (p^N q + q^N p)`, up to `n_up`; equal gains to the lower index.  V is concave from N = 1, so this is
///    the exact optimum: O(B log M).
/// 4. The surplus is spread over the pool, as equally as can be; then what the middle prompts' caps refused over
///    the hard, the unknown and the easy prompts in turn.  What is left is `unspent`.
///
/// # Shapes
/// Rates from the prompt's history: mean of the last group if it has `window` results, else of the `window` most
/// recent; known from `min_count` results on.
///
/// # Edge cases
/// No middle prompt: everything beyond the bases goes to hard, unknown, easy in turn.  `n_up` limits only what is
/// added: a base above it stays.
///
/// # Errors
/// Parameters out of range when built; an empty batch, a budget below the bases, a reward that is not binary (-1
/// counts as 0), which is named with its task.
///
/// # Source
/// arXiv 2509.25849; authors' code `liziniu/KnapsackRL` @ca5d5f5b `verl/trainer/ppo/exploration_utils.py`,
/// `verl/utils/dataset/rl_dataset.py`.  The objective is followed.  The code's dynamic programme counts 0 instead of
/// `V(n_low, p)` for a prompt that gets nothing extra; `variant = "authors"` does that in step 3.  Not followed in
/// either variant: unknown prompts treated as hard, a fallback that ignores `n_up`, failure on a batch of middle
/// prompts only.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::knapsack::{Knapsack, KnapsackConfig};
/// let knapsack = Knapsack::new(&KnapsackConfig::default(), 4).unwrap();
/// let plan = knapsack.plan(&[Some(0.125), Some(0.5), Some(0.9375), Some(1.0)], 16)?;
/// assert_eq!(plan.counts, [7, 5, 2, 2]);
/// assert!((plan.value - 0.175738).abs() < 1e-6);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnapsackConfig {
    /// Least rollouts of a middle prompt, in 1..=num_generations.
    pub n_low: u32,
    /// Rollouts of a hard prompt before any surplus; absent: `n_low`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_neg: Option<u32>,
    /// Rollouts of an easy prompt before any surplus; absent: `n_low`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_pos: Option<u32>,
    /// Most rollouts of a prompt, >= `n_low`.
    pub n_up: u32,
    /// Chance of a mixed group that counts as enough for a middle prompt, in (0, 1); larger: less falls back.
    pub confidence: f64,
    /// Results a rate is taken over, >= 1.
    pub window: u32,
    /// Results from which on a rate is known, >= 1.
    pub min_count: u32,
    /// Where a surplus beyond the middle prompts' needs goes.
    pub fallback: Fallback,
    /// Which objective step 3 maximises.
    pub variant: Variant,
}

/// Where rollouts beyond the middle prompts' estimated needs go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// To the hard prompts; if none, to the unknown; if none, to the easy ones.
    #[default]
    On,
    /// To the middle prompts, like all others.
    Off,
}

/// Which objective the middle prompts' rollouts maximise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The paper's: the total value.  Greedy, exact.
    #[default]
    Objective,
    /// The authors' code: the value of the prompts that got at least one rollout beyond `n_low`.  Dynamic programme,
    /// O(M R (n_up - n_low)) time and O(M R) memory.
    Authors,
}

impl Default for KnapsackConfig {
    fn default() -> Self {
        Self {
            n_low: 2,
            n_neg: None,
            n_pos: None,
            n_up: 128,
            confidence: 0.9,
            window: 16,
            min_count: 8,
            fallback: Fallback::On,
            variant: Variant::Objective,
        }
    }
}

impl Part<dyn BudgetAllocator, AllocatorContext> for KnapsackConfig {
    const SOURCE: &'static str = "arXiv 2509.25849 (Knapsack RL); authors' code liziniu/KnapsackRL @ca5d5f5b; the \
        paper's objective is followed, variant = \"authors\" is the code's";

    fn formula(&self) -> String {
        let sum = match self.variant {
            Variant::Objective => "sum V(N_i, p_i)",
            Variant::Authors => "sum of V(N_i, p_i) over N_i > n_low",
        };
        let surplus = match self.fallback {
            Fallback::On => format!(
                "; beyond confidence {} the surplus goes to p = 0",
                self.confidence
            ),
            Fallback::Off => String::new(),
        };
        format!(
            "maximise {sum}, V(N, p) = (1 - p^N - q^N) p q^2, under sum N_i = B, {} <= N_i <= {}; \
             p = 0 gets {}, p = 1 gets {}, unknown gets num_generations{surplus}; p over the last {} results, \
             known from {}",
            self.n_low,
            self.n_up,
            self.n_neg.unwrap_or(self.n_low),
            self.n_pos.unwrap_or(self.n_low),
            self.window,
            self.min_count,
        )
    }

    fn build(&self, context: &AllocatorContext) -> Result<Box<dyn BudgetAllocator>, ParamError> {
        Ok(Box::new(Knapsack::new(self, context.num_generations)?))
    }
}

/// The validated allocator; [`Knapsack::plan`] works on given rates.
#[derive(Clone, Debug)]
pub struct Knapsack {
    group: u32,
    n_low: u32,
    n_neg: u32,
    n_pos: u32,
    n_up: u32,
    confidence: f64,
    window: Window,
    fallback: Fallback,
    variant: Variant,
}

/// How a batch's rollouts are split.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Group size per prompt.
    pub counts: Vec<u32>,
    /// Rollouts that found no place.
    pub unspent: u32,
    /// Rollouts that fell back to the pool in step 2; the fallback fired if it is not 0.
    pub surplus: u32,
    /// Total value of the known prompts, `sum V(N_i, p_i)`.
    pub value: f64,
}

/// Indices of a batch by kind, rising.
#[derive(Debug, Default)]
struct Kinds {
    unknown: Vec<usize>,
    hard: Vec<usize>,
    easy: Vec<usize>,
    middle: Vec<usize>,
}

impl Knapsack {
    /// Validates the parameters; `num_generations` is the uniform group size n.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &KnapsackConfig, num_generations: u32) -> Result<Self, ParamError> {
        check_group(num_generations)?;
        ParamError::check(
            (1..=num_generations).contains(&config.n_low),
            "n_low",
            config.n_low,
            &format!("in 1..={num_generations} (num_generations)"),
        )?;
        ParamError::check(
            config.n_up >= config.n_low,
            "n_up",
            config.n_up,
            &format!(">= {} (n_low)", config.n_low),
        )?;
        ParamError::check(
            config.confidence > 0.0 && config.confidence < 1.0,
            "confidence",
            config.confidence,
            "in (0, 1)",
        )?;
        Ok(Self {
            group: num_generations,
            n_low: config.n_low,
            n_neg: config.n_neg.unwrap_or(config.n_low),
            n_pos: config.n_pos.unwrap_or(config.n_low),
            n_up: config.n_up,
            confidence: config.confidence,
            window: Window::new(config.window, config.min_count)?,
            fallback: config.fallback,
            variant: config.variant,
        })
    }

    /// The usual budget of a batch: `num_generations` for every prompt.
    pub fn usual_budget(&self, n_prompts: usize) -> u32 {
        let budget = u64::from(self.group).saturating_mul(n_prompts as u64);
        u32::try_from(budget).unwrap_or(u32::MAX)
    }

    /// Splits `budget` rollouts among prompts of these success rates; `None`: unknown.
    ///
    /// # Errors
    /// An empty batch, a rate outside [0, 1], a budget below the bases.
    pub fn plan(&self, rates: &[Option<f64>], budget: u32) -> Result<Plan, DataError> {
        check_batch(rates.len())?;
        let kinds = Kinds::of(rates)?;
        let mut counts = self.bases(rates);
        let least = counts.iter().map(|c| u64::from(*c)).sum();
        let mut rest = check_budget(budget, least)?;
        let middle: Vec<f64> = kinds.middle.iter().filter_map(|i| rates[*i]).collect();
        let surplus = self.surplus(&kinds, &middle, rest, &counts);
        rest -= surplus;
        let sizes = match self.variant {
            Variant::Objective => allocate_greedily(&middle, self.n_low, self.n_up, rest),
            Variant::Authors => solve(&middle, self.n_low, self.n_up, rest, NoExtra::Zero)?,
        };
        for (i, size) in kinds.middle.iter().zip(sizes) {
            counts[*i] = size;
            rest -= size - self.n_low;
        }
        let mut unspent = spread(&mut counts, kinds.pool(), self.n_up, surplus);
        unspent += rest;
        for pool in [&kinds.hard, &kinds.unknown, &kinds.easy] {
            unspent = spread(&mut counts, pool, self.n_up, unspent);
        }
        let value = kinds
            .middle
            .iter()
            .zip(&middle)
            .map(|(i, p)| value(counts[*i], *p))
            .sum();
        Ok(Plan {
            counts,
            unspent,
            surplus,
            value,
        })
    }

    fn bases(&self, rates: &[Option<f64>]) -> Vec<u32> {
        let base = |rate: &Option<f64>| match rate {
            None => self.group,
            Some(p) if *p == 0.0 => self.n_neg,
            Some(p) if *p == 1.0 => self.n_pos,
            Some(_) => self.n_low,
        };
        rates.iter().map(base).collect()
    }

    /// What step 2 takes out of the knapsack.
    fn surplus(&self, kinds: &Kinds, middle: &[f64], rest: u32, counts: &[u32]) -> u32 {
        if self.fallback == Fallback::Off {
            return 0;
        }
        let needed: u64 = middle
            .iter()
            .map(|p| u64::from(cost(*p, self.n_up, self.confidence).unwrap_or(0)))
            .sum();
        let room: u64 = kinds
            .pool()
            .iter()
            .map(|i| u64::from(self.n_up.saturating_sub(counts[*i])))
            .sum();
        u64::from(rest).saturating_sub(needed).min(room) as u32
    }
}

impl BudgetAllocator for Knapsack {
    fn allocate(&self, prompts: &[PromptStats<'_>], budget: u32) -> Result<Allocation, DataError> {
        let rates = prompts
            .iter()
            .map(|prompt| Ok(self.window.of(prompt, Success::Binary)?.if_known()))
            .collect::<Result<Vec<_>, DataError>>()?;
        let plan = self.plan(&rates, budget)?;
        Ok(Allocation {
            counts: plan.counts,
            unspent: plan.unspent,
            surplus: plan.surplus,
        })
    }

    fn estimate(&self, prompt: &PromptStats<'_>) -> Option<f64> {
        self.window.of(prompt, Success::Binary).ok()?.if_known()
    }
}

impl Kinds {
    fn of(rates: &[Option<f64>]) -> Result<Self, DataError> {
        let mut kinds = Self::default();
        for (i, rate) in rates.iter().enumerate() {
            let kind = match rate {
                None => &mut kinds.unknown,
                Some(p) if !(0.0..=1.0).contains(p) => {
                    return Err(DataError::value(
                        format!("prompt {i}"),
                        format!("success rate {p} is outside [0, 1]"),
                    ));
                }
                Some(p) if *p == 0.0 => &mut kinds.hard,
                Some(p) if *p == 1.0 => &mut kinds.easy,
                Some(_) => &mut kinds.middle,
            };
            kind.push(i);
        }
        Ok(kinds)
    }

    /// Where a surplus goes: the first kind of hard, unknown, easy that is there.
    fn pool(&self) -> &[usize] {
        [&self.hard, &self.unknown, &self.easy]
            .into_iter()
            .find(|pool| !pool.is_empty())
            .map_or(&[], |pool| pool)
    }
}

/// Value of `n` rollouts of a prompt of success rate `p`.
///
/// # Formula
/// `(1 - p^n - q^n) p q^2`: the chance of a mixed group times the expected rise of p after one gradient step.
///
/// # Edge cases
/// 0 for `n` <= 1 and for p in {0, 1}.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::knapsack::value;
/// assert!((value(8, 0.05) - 0.0151882).abs() < 1e-7);
/// assert_eq!(value(0, 0.5), 0.0);
/// ```
pub fn value(n: u32, p: f64) -> f64 {
    if n <= 1 {
        return 0.0;
    }
    let q = 1.0 - p;
    let mixed = 1.0 - power(p, n.into()) - power(q, n.into());
    mixed.max(0.0) * GainScore::Skewed.at(p)
}

/// What one rollout more is worth: `V(n + 1, p) - V(n, p)`.
///
/// # Formula
/// `p q^2 (p^n q + q^n p)`: no cancellation; positive and strictly falling in n for n >= 1 and p inside (0, 1).
///
/// # Edge cases
/// 0 for `n` = 0 (a group of one is never mixed) and for p in {0, 1}.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::knapsack::marginal_gain;
/// assert!((marginal_gain(8, 0.05) - 0.00149684).abs() < 1e-8);
/// ```
pub fn marginal_gain(n: u32, p: f64) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let q = 1.0 - p;
    GainScore::Skewed.at(p) * (power(p, n.into()) * q + power(q, n.into()) * p)
}

/// Rollouts that make a mixed group with the given confidence; none for p in {0, 1}, where no number does.
///
/// # Formula
/// `trunc(min(n_up, ln(1 - confidence) / ln(max(p, q))))`: a slight underestimate, it drops the smaller of
/// `p^N` and `q^N`.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::knapsack::cost;
/// assert_eq!(cost(0.05, 128, 0.9), Some(44));
/// assert_eq!(cost(0.0, 128, 0.9), None);
/// ```
pub fn cost(p: f64, n_up: u32, confidence: f64) -> Option<u32> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let likelier = p.max(1.0 - p);
    if likelier >= 1.0 {
        // The other outcome is rarer than one unit of rounding.
        return Some(n_up);
    }
    let needed = (1.0 - confidence).ln() / likelier.ln();
    Some(needed.min(f64::from(n_up)).trunc() as u32)
}

/// Step 3: from `n_low` up to `n_up` for each middle prompt, `units` rollouts more in all, always where the next one
/// is worth most; equal gains to the lower index.  Returns the group sizes; what the caps refuse stays unspent.
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::knapsack::allocate_greedily;
/// assert_eq!(allocate_greedily(&[0.25, 0.25, 0.25], 2, 8, 5), [4, 4, 3]);
/// ```
pub fn allocate_greedily(rates: &[f64], n_low: u32, n_up: u32, units: u32) -> Vec<u32> {
    let mut sizes = vec![n_low; rates.len()];
    if n_low >= n_up {
        return sizes;
    }
    let mut heap: BinaryHeap<Candidate> = rates
        .iter()
        .enumerate()
        .map(|(i, p)| Candidate {
            gain: marginal_gain(n_low, *p),
            prompt: i,
        })
        .collect();
    for _ in 0..units {
        let Some(mut top) = heap.peek_mut() else { break };
        let i = top.prompt;
        sizes[i] += 1;
        if sizes[i] == n_up {
            std::collections::binary_heap::PeekMut::pop(top);
            continue;
        }
        // Strictly falling even where rounding or underflow would make two gains of a prompt equal: otherwise the
        // lower of two prompts of the same rate would take them all.
        let gain = marginal_gain(sizes[i], rates[i]);
        top.gain = gain.min(top.gain.next_down());
    }
    sizes
}

/// A prompt and what its next rollout is worth.
#[derive(Debug)]
struct Candidate {
    gain: f64,
    prompt: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.gain.total_cmp(&other.gain);
        order.then(Reverse(self.prompt).cmp(&Reverse(other.prompt)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

#[cfg(test)]
#[path = "knapsack_tests.rs"]
mod tests;
