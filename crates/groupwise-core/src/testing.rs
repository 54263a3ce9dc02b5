//! For tests of objectives: random update batches, and the checks every objective must pass.
//!
//! Behind the feature `testing`, so that no library crate links proptest.  The checks return an error instead of
//! panicking: `?` works inside `proptest!`, and the message says which derivative or which view disagrees.
//!
//! | check | what must hold |
//! |---|---|
//! | [`check_gradient`], [`check_gradient_away_from`] | derivatives are those of the loss, stop-gradients held |
//! | [`check_split`] | loss, derivatives and terms add up over any cut that respects the scope |
//! | [`check_permutation`] | the order of groups and of members changes nothing |
//! | [`check_padding`] | masked tokens change nothing |
//! | [`check_invariance`] | the last three |

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use crate::batch::{Advantages, Evaluation, Frozen, TokenBatch, TokenView};
use crate::error::DataError;
use crate::seams::{Objective, Scope};
use crate::spans::Offsets;

/// Half the width of the central differences.
const STEP: f64 = 1e-5;

/// A property an objective does not have, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckFailure(String);

impl From<DataError> for CheckFailure {
    fn from(error: DataError) -> Self {
        Self(format!("the objective refused the batch: {error}"))
    }
}

fn fail<T>(message: String) -> Result<T, CheckFailure> {
    Err(CheckFailure(message))
}

/// An update batch and the current per-token scalars that belong to it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The batch.
    pub batch: TokenBatch,
    /// Current log-probabilities, one per token.
    pub logp: Vec<f64>,
    /// Current entropies, one per token.
    pub entropy: Vec<f64>,
    /// Current value estimates, one per token.
    pub value: Vec<f64>,
}

impl Sample {
    /// The per-token scalars, borrowed.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            logp: &self.logp,
            entropy: Some(&self.entropy),
            value: Some(&self.value),
        }
    }
}

/// The per-token scalars a loss is differentiated by.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Current log-probabilities, one per token of the batch.
    pub logp: &'a [f64],
    /// Current entropies.
    pub entropy: Option<&'a [f64]>,
    /// Current value estimates.
    pub value: Option<&'a [f64]>,
}

#[derive(Clone, Debug)]
struct TokenDraw {
    counted: bool,
    logp_old: f64,
    shift: f64,
    shift_ref: f64,
    advantage: f64,
    entropy: f64,
    value: f64,
    /// True where a segment ends.
    cut: bool,
}

fn token_draws() -> impl Strategy<Value = TokenDraw> {
    let shift = prop_oneof![4 => -0.5..0.5f64, 1 => -3.0..3.0f64];
    (
        prop::bool::weighted(0.8),
        -4.0..-0.05f64,
        shift,
        -1.0..1.0f64,
        -2.0..2.0f64,
        0.0..3.0f64,
        -2.0..2.0f64,
        any::<bool>(),
    )
        .prop_map(
            |(counted, logp_old, shift, shift_ref, advantage, entropy, value, cut)| TokenDraw {
                counted,
                logp_old,
                shift,
                shift_ref,
                advantage,
                entropy,
                value,
                cut,
            },
        )
}

/// Segments of one trajectory: the next one starts behind every cut.
fn segments(row: &[TokenDraw]) -> impl Iterator<Item = u32> {
    row.iter().scan(0, |segment, t| {
        let mine = *segment;
        *segment += u32::from(t.cut);
        Some(mine)
    })
}

/// Random ragged batches: 1-5 groups of 1-5 trajectories of 1-6 tokens.
///
/// One trajectory in six is masked throughout (so now and then a whole batch is), other tokens are masked with
/// probability 0.2.  `logp_old` is near the current log-probability, at times far from it, and in one batch of
/// five absent (on policy); `logp_ref` and `segments` are always there.  Advantages stand at trajectory or at token
/// level.
pub fn samples() -> impl Strategy<Value = Sample> {
    let trajectory = (
        prop::bool::weighted(1.0 / 6.0),
        -2.0..2.0f64,
        prop::collection::vec(token_draws(), 1..=6),
    );
    let groups = prop::collection::vec(prop::collection::vec(trajectory, 1..=5), 1..=5);
    (groups, any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(groups, token_level, on_policy)| {
        let lengths: Vec<usize> = groups.iter().map(Vec::len).collect();
        let trajectories: Vec<_> = groups.into_iter().flatten().collect();
        let flat: Vec<TokenDraw> = trajectories.iter().flat_map(|t| t.2.iter().cloned()).collect();
        let mask = trajectories
            .iter()
            .flat_map(|(silent, _, row)| row.iter().map(|t| t.counted && !silent).collect::<Vec<_>>())
            .collect();
        let column = |f: &dyn Fn(&TokenDraw) -> f64| flat.iter().map(f).collect::<Vec<f64>>();
        let logp = column(&|t| (t.logp_old + t.shift).min(-0.01));
        let batch = TokenBatch {
            groups: Offsets::from_lengths(lengths),
            tokens: Offsets::from_lengths(trajectories.iter().map(|t| t.2.len())),
            prompts: vec![Arc::from([7u32, 8]); trajectories.len()],
            ids: (0u32..).take(flat.len()).collect(),
            mask,
            logp_sampler: column(&|t| t.logp_old),
            logp_old: (!on_policy).then(|| column(&|t| t.logp_old)),
            logp_ref: Some(flat.iter().zip(&logp).map(|(t, l)| l + t.shift_ref).collect()),
            segments: Some(trajectories.iter().flat_map(|t| segments(&t.2)).collect()),
            advantages: if token_level {
                Advantages::Token(column(&|t| t.advantage))
            } else {
                Advantages::Trajectory(trajectories.iter().map(|t| t.1).collect())
            },
            temperature: 1.0,
        };
        Sample {
            entropy: column(&|t| t.entropy),
            value: column(&|t| t.value),
            batch,
            logp,
        }
    })
}

fn view<'a>(
    batch: &'a TokenBatch,
    inputs: &Inputs<'a>,
    part: Range<usize>,
) -> Result<TokenView<'a>, DataError> {
    let span = batch.tokens.range_of(part.clone());
    let entropy = inputs.entropy.map(|entropy| &entropy[span.clone()]);
    let mut view = batch.view(part, &inputs.logp[span.clone()], entropy)?;
    view.value = inputs.value.map(|value| &value[span]);
    Ok(view)
}

fn evaluate_parts(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
    parts: &[Range<usize>],
) -> Result<Evaluation, CheckFailure> {
    let denominators = objective.denominators(batch)?;
    let mut sum: Option<Evaluation> = None;
    for part in parts {
        let view = view(batch, inputs, part.clone())?;
        let one = objective.evaluate(&objective.freeze(&denominators, &view)?, &view)?;
        check_lengths(&one, view.logp.len())?;
        match sum.as_mut() {
            None => sum = Some(one),
            Some(sum) => add(sum, one)?,
        }
    }
    Ok(sum.unwrap_or_default())
}

fn check_lengths(evaluation: &Evaluation, tokens: usize) -> Result<(), CheckFailure> {
    DataError::check_len("d_logp", evaluation.grads.d_logp.len(), tokens)?;
    for (name, grads) in [
        ("d_entropy", &evaluation.grads.d_entropy),
        ("d_value", &evaluation.grads.d_value),
    ] {
        if let Some(grads) = grads {
            DataError::check_len(name, grads.len(), tokens)?;
        }
    }
    Ok(())
}

fn add(sum: &mut Evaluation, one: Evaluation) -> Result<(), CheckFailure> {
    sum.loss += one.loss;
    sum.grads.d_logp.extend(one.grads.d_logp);
    for (name, whole, part) in [
        ("d_entropy", &mut sum.grads.d_entropy, one.grads.d_entropy),
        ("d_value", &mut sum.grads.d_value, one.grads.d_value),
    ] {
        match (whole, part) {
            (Some(whole), Some(part)) => whole.extend(part),
            (None, None) => {}
            _ => return fail(format!("{name} is there for some views and absent for others")),
        }
    }
    let names = |terms: &[(&'static str, f64)]| terms.iter().map(|t| t.0).collect::<Vec<_>>();
    if names(&sum.terms) != names(&one.terms) {
        return fail(format!(
            "terms differ between views: {:?} and {:?}",
            names(&sum.terms),
            names(&one.terms)
        ));
    }
    for (whole, part) in sum.terms.iter_mut().zip(one.terms) {
        whole.1 += part.1;
    }
    Ok(())
}

/// Evaluates a batch as one view.
///
/// # Errors
/// Whatever the objective refuses; derivatives that do not cover the tokens.
pub fn evaluate_whole(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
) -> Result<Evaluation, CheckFailure> {
    evaluate_parts(objective, batch, inputs, &[0..batch.n_trajectories()])
}

/// Compares every derivative with the central difference of the loss, the frozen part held.
///
/// For losses without kinks near the batch; others state theirs through [`check_gradient_away_from`].
/// Returns how many derivatives were compared.
///
/// # Errors
/// Names the first derivative that disagrees, and a masked token with a gradient other than 0.
pub fn check_gradient(
    objective: &dyn Objective,
    batch: &TokenBatch,
    logp: &[f64],
    entropy: Option<&[f64]>,
) -> Result<usize, CheckFailure> {
    let inputs = Inputs {
        logp,
        entropy,
        value: None,
    };
    check_gradient_away_from(objective, batch, &inputs, &|_, _| f64::INFINITY)
}

/// As [`check_gradient`], for losses that are not differentiable everywhere.
///
/// `distance(view, t)` says how far token `t`'s scalars are from the nearest kink, in units of the scalar moved
/// (nats for `logp`); tokens nearer than ten steps (1e-4) are left out.
///
/// # Errors
/// As [`check_gradient`].
pub fn check_gradient_away_from(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
    distance: &dyn Fn(&TokenView<'_>, usize) -> f64,
) -> Result<usize, CheckFailure> {
    let whole = view(batch, inputs, 0..batch.n_trajectories())?;
    let frozen = objective.freeze(&objective.denominators(batch)?, &whole)?;
    let at = objective.evaluate(&frozen, &whole)?;
    check_lengths(&at, batch.n_tokens())?;
    let inputs = [
        ("logp", Some(inputs.logp), Some(&at.grads.d_logp)),
        ("entropy", inputs.entropy, at.grads.d_entropy.as_ref()),
        ("value", inputs.value, at.grads.d_value.as_ref()),
    ];
    let mut compared = 0;
    for (name, scalars, grads) in inputs {
        let Some(scalars) = scalars else {
            if grads.is_some() {
                return fail(format!(
                    "there is a derivative by {name}, but the view holds none"
                ));
            }
            continue;
        };
        let mut differences = Differences {
            objective,
            frozen: &frozen,
            whole: &whole,
            name,
            moved: scalars.to_vec(),
        };
        for t in 0..scalars.len() {
            let analytic = grads.map_or(0.0, |g| g[t]);
            if !batch.mask[t] && analytic != 0.0 {
                return fail(format!(
                    "token {t} is masked, yet d loss / d {name} = {analytic:e}"
                ));
            }
            if distance(&whole, t) < 10.0 * STEP {
                continue;
            }
            let numeric = differences.central(t)?;
            check_derivative((name, t), analytic, numeric, at.loss)?;
            compared += 1;
        }
    }
    Ok(compared)
}

/// Moves one kind of scalar of a view, the frozen part held.
struct Differences<'a> {
    objective: &'a dyn Objective,
    frozen: &'a Frozen,
    whole: &'a TokenView<'a>,
    /// Which scalar moves.
    name: &'static str,
    /// The scalars, all where they are in `whole` between calls.
    moved: Vec<f64>,
}

impl Differences<'_> {
    /// Central difference of the loss by the scalar of token `t`.
    fn central(&mut self, t: usize) -> Result<f64, CheckFailure> {
        let here = self.moved[t];
        let numeric = (self.loss_at(t, here + STEP)? - self.loss_at(t, here - STEP)?) / (2.0 * STEP);
        self.moved[t] = here;
        Ok(numeric)
    }

    fn loss_at(&mut self, t: usize, x: f64) -> Result<f64, CheckFailure> {
        self.moved[t] = x;
        let (moved, whole) = (self.moved.as_slice(), self.whole.clone());
        // The old log-probabilities stay behind, also where they were read from the current ones.
        let shifted = match self.name {
            "logp" => TokenView { logp: moved, ..whole },
            "entropy" => TokenView {
                entropy: Some(moved),
                ..whole
            },
            _ => TokenView {
                value: Some(moved),
                ..whole
            },
        };
        Ok(self.objective.evaluate(self.frozen, &shifted)?.loss)
    }
}

/// Compares a derivative with its central difference, up to the rounding of a loss of this size.
fn check_derivative(
    (name, t): (&str, usize),
    analytic: f64,
    numeric: f64,
    loss: f64,
) -> Result<(), CheckFailure> {
    let rounding = 8.0 * f64::EPSILON * (1.0 + loss.abs()) / STEP;
    let tolerance = 1e-6 * analytic.abs().max(numeric.abs()) + 1e-8 + rounding;
    let agree = (analytic - numeric).abs() <= tolerance;
    if !agree {
        return fail(format!(
            "d loss / d {name} of token {t} is {analytic:e}, central difference {numeric:e}"
        ));
    }
    Ok(())
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn compare(what: &str, found: &Evaluation, expected: &Evaluation) -> Result<(), CheckFailure> {
    if !close(found.loss, expected.loss) {
        return fail(format!(
            "{what}: loss {:e}, expected {:e}",
            found.loss, expected.loss
        ));
    }
    for (f, e) in found.terms.iter().zip(&expected.terms) {
        if f.0 != e.0 || !close(f.1, e.1) {
            return fail(format!("{what}: term {f:?}, expected {e:?}"));
        }
    }
    let empty = Vec::new();
    for (name, f, e) in [
        ("d_logp", Some(&found.grads.d_logp), Some(&expected.grads.d_logp)),
        (
            "d_entropy",
            found.grads.d_entropy.as_ref(),
            expected.grads.d_entropy.as_ref(),
        ),
        (
            "d_value",
            found.grads.d_value.as_ref(),
            expected.grads.d_value.as_ref(),
        ),
    ] {
        let (f, e) = (f.unwrap_or(&empty), e.unwrap_or(&empty));
        if f.len() != e.len() {
            return fail(format!(
                "{what}: {name} has {} entries, expected {}",
                f.len(),
                e.len()
            ));
        }
        if let Some(t) = (0..f.len()).find(|t| !close(f[*t], e[*t])) {
            return fail(format!(
                "{what}: {name} of token {t} is {:e}, expected {:e}",
                f[t], e[t]
            ));
        }
    }
    Ok(())
}

/// Cuts the batch in many ways that respect the objective's scope; loss, derivatives and terms must add up.
///
/// Tried: every cut in two, runs of two and of three units, and every unit alone.
///
/// # Errors
/// Names the cut and the figure that changed.
pub fn check_split(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
) -> Result<(), CheckFailure> {
    let expected = evaluate_whole(objective, batch, inputs)?;
    let n = batch.n_trajectories();
    let units: Vec<Range<usize>> = match objective.scope() {
        Scope::Batch => vec![0..n],
        Scope::Group => batch.groups.spans().iter().collect(),
        Scope::Token | Scope::Trajectory => (0..n).map(|i| i..i + 1).collect(),
    };
    let join = |run: &[Range<usize>]| run[0].start..run[run.len() - 1].end;
    let mut cuts: Vec<Vec<Range<usize>>> = (1..=3)
        .map(|size| units.chunks(size).map(join).collect())
        .collect();
    cuts.extend((1..units.len()).map(|k| vec![join(&units[..k]), join(&units[k..])]));
    for cut in cuts {
        let found = evaluate_parts(objective, batch, inputs, &cut)?;
        compare(&format!("cut into trajectories {cut:?}"), &found, &expected)?;
    }
    Ok(())
}

/// The batch with its trajectories in another order, and the old index of every new token.
///
/// `groups` lists, for each group of the result, the trajectories it takes from `batch`.
pub fn reorder(batch: &TokenBatch, groups: &[Vec<usize>]) -> (TokenBatch, Vec<usize>) {
    let order: Vec<usize> = groups.iter().flatten().copied().collect();
    let map: Vec<usize> = order.iter().flat_map(|i| batch.tokens.range(*i)).collect();
    let pick = |values: &[f64]| map.iter().map(|t| values[*t]).collect::<Vec<f64>>();
    let moved = TokenBatch {
        groups: Offsets::from_lengths(groups.iter().map(Vec::len)),
        tokens: Offsets::from_lengths(order.iter().map(|i| batch.tokens.range(*i).len())),
        prompts: order.iter().map(|i| batch.prompts[*i].clone()).collect(),
        ids: map.iter().map(|t| batch.ids[*t]).collect(),
        mask: map.iter().map(|t| batch.mask[*t]).collect(),
        logp_sampler: pick(&batch.logp_sampler),
        logp_old: batch.logp_old.as_deref().map(pick),
        logp_ref: batch.logp_ref.as_deref().map(pick),
        segments: batch
            .segments
            .as_ref()
            .map(|segments| map.iter().map(|t| segments[*t]).collect()),
        advantages: match &batch.advantages {
            Advantages::Trajectory(a) => Advantages::Trajectory(order.iter().map(|i| a[*i]).collect()),
            Advantages::Token(a) => Advantages::Token(pick(a)),
        },
        temperature: batch.temperature,
    };
    (moved, map)
}

fn pick_evaluation(evaluation: &Evaluation, map: &[usize]) -> Evaluation {
    let pick = |values: &Vec<f64>| map.iter().map(|t| values[*t]).collect::<Vec<f64>>();
    let mut picked = evaluation.clone();
    picked.grads.d_logp = pick(&evaluation.grads.d_logp);
    picked.grads.d_entropy = evaluation.grads.d_entropy.as_ref().map(pick);
    picked.grads.d_value = evaluation.grads.d_value.as_ref().map(pick);
    picked
}

/// Puts groups, then members, in other orders; loss and terms must stay and derivatives follow their tokens.
///
/// # Errors
/// Names the order and the figure that changed.
pub fn check_permutation(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
) -> Result<(), CheckFailure> {
    let expected = evaluate_whole(objective, batch, inputs)?;
    let plain: Vec<Vec<usize>> = batch.groups.spans().iter().map(Iterator::collect).collect();
    let reversed_groups: Vec<_> = plain.iter().rev().cloned().collect();
    let reversed_members: Vec<_> = plain.iter().map(|g| g.iter().rev().copied().collect()).collect();
    let mut rotated = plain;
    rotated.rotate_left(1);
    rotated
        .iter_mut()
        .filter(|g| !g.is_empty())
        .for_each(|g| g.rotate_left(1));
    for (what, groups) in [
        ("groups reversed", reversed_groups),
        ("members reversed", reversed_members),
        ("groups and members rotated", rotated),
    ] {
        let (moved, map) = reorder(batch, &groups);
        let pick = |values: &[f64]| map.iter().map(|t| values[*t]).collect::<Vec<f64>>();
        let (logp, entropy, value) = (
            pick(inputs.logp),
            inputs.entropy.map(pick),
            inputs.value.map(pick),
        );
        let moved_inputs = Inputs {
            logp: &logp,
            entropy: entropy.as_deref(),
            value: value.as_deref(),
        };
        let found = evaluate_whole(objective, &moved, &moved_inputs)?;
        compare(what, &found, &pick_evaluation(&expected, &map))?;
    }
    Ok(())
}

/// Appends masked tokens to every trajectory; nothing may change, and the new tokens have no gradient.
///
/// # Errors
/// Names the figure that changed.
pub fn check_padding(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
) -> Result<(), CheckFailure> {
    let expected = evaluate_whole(objective, batch, inputs)?;
    let pad = |i: usize| 1 + i % 3;
    let mut kept = Vec::with_capacity(batch.n_tokens());
    let mut from: Vec<Option<usize>> = Vec::new();
    for i in 0..batch.n_trajectories() {
        for t in batch.tokens.range(i) {
            kept.push(from.len());
            from.push(Some(t));
        }
        from.extend(std::iter::repeat_n(None, pad(i)));
    }
    let fill = |values: &[f64]| {
        from.iter()
            .map(|t| t.map_or(-0.7, |t| values[t]))
            .collect::<Vec<f64>>()
    };
    let padded = TokenBatch {
        tokens: Offsets::from_lengths(
            (0..batch.n_trajectories()).map(|i| batch.tokens.range(i).len() + pad(i)),
        ),
        ids: from.iter().map(|t| t.map_or(0, |t| batch.ids[t])).collect(),
        mask: from.iter().map(|t| t.is_some_and(|t| batch.mask[t])).collect(),
        logp_sampler: fill(&batch.logp_sampler),
        logp_old: batch.logp_old.as_deref().map(fill),
        logp_ref: batch.logp_ref.as_deref().map(fill),
        segments: batch
            .segments
            .as_ref()
            .map(|segments| from.iter().map(|t| t.map_or(0, |t| segments[t])).collect()),
        advantages: match &batch.advantages {
            Advantages::Trajectory(a) => Advantages::Trajectory(a.clone()),
            Advantages::Token(a) => Advantages::Token(fill(a)),
        },
        ..batch.clone()
    };
    let (logp, entropy, value) = (
        fill(inputs.logp),
        inputs.entropy.map(fill),
        inputs.value.map(fill),
    );
    let padded_inputs = Inputs {
        logp: &logp,
        entropy: entropy.as_deref(),
        value: value.as_deref(),
    };
    let found = evaluate_whole(objective, &padded, &padded_inputs)?;
    if let Some(t) = (0..from.len()).find(|t| from[*t].is_none() && found.grads.d_logp[*t] != 0.0) {
        return fail(format!(
            "padding token {t} has a gradient of {:e}",
            found.grads.d_logp[t]
        ));
    }
    compare("padded", &pick_evaluation(&found, &kept), &expected)
}

/// Cuts, other orders and padding change nothing: [`check_split`], [`check_permutation`] and [`check_padding`].
///
/// # Errors
/// Those of the three.
pub fn check_invariance(
    objective: &dyn Objective,
    batch: &TokenBatch,
    inputs: &Inputs<'_>,
) -> Result<(), CheckFailure> {
    check_split(objective, batch, inputs)?;
    check_permutation(objective, batch, inputs)?;
    check_padding(objective, batch, inputs)
}

#[cfg(test)]
#[path = "testing_tests.rs"]
mod tests;
