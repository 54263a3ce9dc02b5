//! The one implementation behind every preset: ratio, surrogate, aggregation and KL, joined block by block.

use groupwise_core::batch::AdvantageRow;
use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, Scope, TokenBatch, TokenGrads, TokenView,
};

use super::answers::check_loss;
use crate::aggregate::Weights;
use crate::block::{BLOCK, Buffers, sum};
use crate::exp::exp;
use crate::ratio::{self, ImportanceSamplingLevel, SpanRatio, has_slope};
use crate::regularizer::{KlCorrection, KlEstimator, block_kl, block_log_ratios_to_reference};
use crate::surrogate::{ClipCounts, Surrogate, reinforce};

/// A KL term of the loss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LossKl {
    pub(crate) estimator: KlEstimator,
    pub(crate) beta: f64,
    pub(crate) correction: KlCorrection,
}

/// Any combination of ratio, surrogate, aggregation and KL.
///
/// `Frozen`: `trajectory` weights of the view; `token` first CISPO's weights, then the frozen ratios of the KL
/// correction, each only where used; `scalars` the counted tokens of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyGradient {
    pub(crate) level: ImportanceSamplingLevel,
    pub(crate) surrogate: Surrogate,
    pub(crate) weights: Weights,
    pub(crate) kl: Option<LossKl>,
    pub(crate) wants_reference: bool,
}

/// One trajectory of a view.
#[derive(Clone, Copy)]
struct Row<'a> {
    weight: f64,
    mask: &'a [bool],
    logp: &'a [f64],
    logp_old: &'a [f64],
    logp_ref: Option<&'a [f64]>,
    frozen_weight: &'a [f64],
    frozen_ratio: &'a [f64],
    span: Option<SpanRatio>,
}

/// What a trajectory, or a view, adds up to.
#[derive(Clone, Copy, Default)]
struct Figures {
    policy: f64,
    kl_loss: f64,
    approx_kl: f64,
    k3: f64,
    clipped: ClipCounts,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.policy += other.policy;
        self.kl_loss += other.kl_loss;
        self.approx_kl += other.approx_kl;
        self.k3 += other.k3;
        self.clipped.add(other.clipped);
    }

    fn is_finite(&self) -> bool {
        let figures = [self.policy, self.kl_loss, self.approx_kl, self.k3];
        figures.iter().all(|x| x.is_finite())
    }
}

/// A number that is not finite was met; which one is looked up afterwards.
struct NotFinite;

/// The trajectories of a view, to be compiled for each width of vectors.
struct Rows<'a, 'v> {
    objective: &'a PolicyGradient,
    weights: &'a [f64],
    frozen: (&'a [f64], &'a [f64]),
    view: &'a TokenView<'v>,
    d_logp: &'a mut [f64],
}

impl pulp::WithSimd for Rows<'_, '_> {
    type Output = Result<Figures, DataError>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        self.objective
            .rows(self.weights, self.frozen, self.view, self.d_logp)
    }
}

impl Objective for PolicyGradient {
    fn needs(&self) -> Needs {
        let mut needs = Needs::TOKENS;
        if !matches!(self.surrogate, Surrogate::Reinforce) {
            needs |= Needs::LOGP_OLD;
        }
        if self.wants_reference {
            needs |= Needs::LOGP_REF;
        }
        needs
    }

    fn scope(&self) -> Scope {
        match self.level {
            ImportanceSamplingLevel::Token => Scope::Token,
            ImportanceSamplingLevel::Sequence | ImportanceSamplingLevel::SequenceSum => Scope::Trajectory,
        }
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let (trajectory, counted) = self.weights.weigh_batch(batch)?;
        Ok(Denominators {
            trajectory,
            scalars: vec![counted as f64],
        })
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        check_view(view)?;
        let weights = denominators.of_view(view)?;
        let mut token = Vec::new();
        if let Surrogate::Cispo(cispo) = self.surrogate {
            token.reserve(view.logp.len());
            self.push_ratios(self.level, view, |rho| cispo.weight(rho), &mut token);
        }
        if self.freezes_ratio() {
            self.push_ratios(ImportanceSamplingLevel::Token, view, |rho| rho, &mut token);
        }
        Ok(Frozen {
            trajectory: weights.to_vec(),
            token,
            scalars: denominators.scalars.clone(),
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        let n = view.logp.len();
        if self.kl.is_some() && view.logp_ref.is_none() {
            return Err(DataError::Missing {
                what: "logp_ref",
                part: "the KL term of the objective",
            });
        }
        DataError::check_len("frozen weights", frozen.trajectory.len(), view.n_trajectories())?;
        let held = n * usize::from(self.freezes_weight());
        DataError::check_len(
            "frozen tokens",
            frozen.token.len(),
            held + n * usize::from(self.freezes_ratio()),
        )?;
        let frozen_tokens = frozen.token.split_at(held);
        let mut d_logp = vec![0.0; n];
        // Wider vectors where the machine has them; the order of operations, hence every bit, stays the same.
        let work = Rows {
            objective: self,
            weights: &frozen.trajectory,
            frozen: frozen_tokens,
            view,
            d_logp: &mut d_logp,
        };
        let figures = pulp::Arch::new().dispatch(work)?;
        let loss = check_loss(figures.policy + figures.kl_loss)?;
        let terms = self.terms(&figures, frozen.scalars.first().copied().unwrap_or(0.0), view);
        Ok(Evaluation {
            loss,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms,
        })
    }
}

impl PolicyGradient {
    fn freezes_weight(&self) -> bool {
        matches!(self.surrogate, Surrogate::Cispo(_))
    }

    fn freezes_ratio(&self) -> bool {
        self.kl
            .is_some_and(|kl| kl.correction == KlCorrection::FrozenRatio)
    }

    /// All trajectories of a view.
    #[inline(always)]
    fn rows(
        &self,
        weights: &[f64],
        (frozen_weight, frozen_ratio): (&[f64], &[f64]),
        view: &TokenView<'_>,
        d_logp: &mut [f64],
    ) -> Result<Figures, DataError> {
        let mut buffers = Buffers::new();
        let mut figures = Figures::default();
        for (i, (tokens, weight)) in view
            .tokens
            .iter()
            .zip(weights)
            .enumerate()
            .filter(|r| *r.1.1 != 0.0)
        {
            let mut row = Row {
                weight: *weight,
                mask: &view.mask[tokens.clone()],
                logp: &view.logp[tokens.clone()],
                logp_old: &view.logp_old[tokens.clone()],
                logp_ref: view.logp_ref.map(|r| &r[tokens.clone()]),
                frozen_weight: frozen_weight.get(tokens.clone()).unwrap_or(&[]),
                frozen_ratio: frozen_ratio.get(tokens.clone()).unwrap_or(&[]),
                span: None,
            };
            row.span = self
                .level
                .reduction()
                .map(|r| ratio::reduce(row.logp, row.logp_old, row.mask, r));
            match self.row(&row, view.advantage_row(i), &mut d_logp[tokens], &mut buffers) {
                Ok(found) => figures.add(&found),
                Err(NotFinite) => return Err(self.blame(view, &row, i)),
            }
        }
        Ok(figures)
    }

    /// Appends a function of the ratio of every token of the view.
    fn push_ratios(
        &self,
        level: ImportanceSamplingLevel,
        view: &TokenView<'_>,
        map: impl Fn(f64) -> f64,
        out: &mut Vec<f64>,
    ) {
        for tokens in view.tokens.iter() {
            let (logp, old) = (&view.logp[tokens.clone()], &view.logp_old[tokens.clone()]);
            let mask = &view.mask[tokens];
            match level.reduction() {
                Some(reduction) => {
                    let weight = map(ratio::reduce(logp, old, mask, reduction).ratio());
                    out.extend(std::iter::repeat_n(weight, mask.len()));
                }
                None => out.extend((0..mask.len()).map(|t| {
                    map(if mask[t] {
                        exp(ratio::log_ratio(logp[t], old[t]))
                    } else {
                        1.0
                    })
                })),
            }
        }
    }

    /// One trajectory: writes its derivative to `d_logp`, returns its figures.
    #[inline(always)]
    fn row(
        &self,
        row: &Row<'_>,
        advantages: AdvantageRow<'_>,
        d_logp: &mut [f64],
        buffers: &mut Buffers,
    ) -> Result<Figures, NotFinite> {
        if let Some(span) = row.span {
            buffers.span.fill(span.ratio());
        }
        let (mut figures, mut slope_sum) = (Figures::default(), 0.0);
        for start in (0..row.mask.len()).step_by(BLOCK) {
            let range = start..row.mask.len().min(start + BLOCK);
            let block = row.block(range.clone());
            block.ratios(buffers, &mut figures)?;
            let d_logp = &mut d_logp[range.clone()];
            match advantages {
                AdvantageRow::Constant(a) => self.surrogate_block(&block, |_, _| a, buffers, &mut figures),
                AdvantageRow::Tokens(row) => {
                    let values = &row[range];
                    buffers.advantage[..values.len()].copy_from_slice(values);
                    self.surrogate_block(&block, |row, t| row[t], buffers, &mut figures);
                }
            }
            slope_sum += self.write_slopes(&block, buffers, d_logp);
            self.kl_block(&block, buffers, &mut figures, d_logp)?;
        }
        figures.policy *= row.weight;
        figures.kl_loss *= row.weight * self.kl.map_or(0.0, |kl| kl.beta);
        if let (Some(span), Surrogate::Clip(_)) = (row.span, &self.surrogate) {
            let each = row.weight * slope_sum * span.share;
            for (t, d) in d_logp.iter_mut().enumerate() {
                let inside = row.mask[t] && has_slope(ratio::log_ratio(row.logp[t], row.logp_old[t]));
                *d += if inside { each } else { 0.0 };
            }
        }
        if figures.is_finite() {
            Ok(figures)
        } else {
            Err(NotFinite)
        }
    }

    /// Loss and slope of every token of a block, into the buffers.
    #[inline(always)]
    fn surrogate_block(
        &self,
        row: &Row<'_>,
        advantage: impl Fn(&[f64; BLOCK], usize) -> f64,
        buffers: &mut Buffers,
        figures: &mut Figures,
    ) {
        let Buffers {
            ratio,
            span,
            advantage: values,
            loss,
            slope,
            ..
        } = buffers;
        let ratio = if row.span.is_some() { &*span } else { &*ratio };
        let advantage = |t: usize| advantage(values, t);
        let out = (&mut *loss, slope);
        let clipped = match &self.surrogate {
            Surrogate::Clip(clip) => clip.block(advantage, row.mask, ratio, out),
            Surrogate::Cispo(cispo) => {
                cispo.block(advantage, row.mask, row.logp, row.frozen_weight, ratio, out)
            }
            Surrogate::Reinforce => {
                reinforce::block(advantage, row.mask, row.logp, out);
                ClipCounts::default()
            }
        };
        figures.clipped.add(clipped);
        figures.policy += sum(&loss[..row.mask.len()]);
    }

    /// Writes the slopes as derivatives by `logp`; for a clipped span ratio returns their sum instead.
    #[inline(always)]
    fn write_slopes(&self, row: &Row<'_>, buffers: &Buffers, d_logp: &mut [f64]) -> f64 {
        let n = d_logp.len().min(BLOCK);
        let through_ratio = matches!(self.surrogate, Surrogate::Clip(_));
        if through_ratio && row.span.is_some() {
            return sum(&buffers.slope[..n]);
        }
        for (t, d) in d_logp[..n].iter_mut().enumerate() {
            let open = !through_ratio | has_slope(buffers.log_ratio[t]);
            *d = if open { row.weight * buffers.slope[t] } else { 0.0 };
        }
        0.0
    }

    /// KL of every token of a block: for the log, and as a term of the loss.
    #[inline(always)]
    fn kl_block(
        &self,
        row: &Row<'_>,
        buffers: &mut Buffers,
        figures: &mut Figures,
        d_logp: &mut [f64],
    ) -> Result<(), NotFinite> {
        let Some(logp_ref) = row.logp_ref else {
            return Ok(());
        };
        let n = row.mask.len().min(BLOCK);
        let Buffers {
            log_ratio,
            ratio,
            reference,
            loss: value,
            slope,
            ..
        } = buffers;
        let clamped = block_log_ratios_to_reference(row.logp, logp_ref, row.mask, reference);
        if clamped > 0 && !all_finite(row.mask, logp_ref) {
            return Err(NotFinite);
        }
        let estimator = self.kl.map_or(KlEstimator::K3, |kl| kl.estimator);
        figures.k3 += block_kl(estimator, row.mask, reference, (&mut *value, &mut *slope));
        let Some(kl) = self.kl else { return Ok(()) };
        match kl.correction {
            KlCorrection::None => {}
            KlCorrection::Ratio => {
                for t in 0..n {
                    let score = if has_slope(log_ratio[t]) { value[t] } else { 0.0 };
                    slope[t] = ratio[t] * (slope[t] + score);
                    value[t] *= ratio[t];
                }
            }
            KlCorrection::FrozenRatio => {
                for (t, weight) in row.frozen_ratio[..n].iter().enumerate() {
                    slope[t] *= weight;
                    value[t] *= weight;
                }
            }
        }
        figures.kl_loss += sum(&value[..n]);
        for (d, slope) in d_logp.iter_mut().zip(&slope[..n]) {
            *d += row.weight * kl.beta * slope;
        }
        Ok(())
    }

    fn terms(&self, figures: &Figures, counted: f64, view: &TokenView<'_>) -> Vec<(&'static str, f64)> {
        let mean = |total: f64| if counted > 0.0 { total / counted } else { 0.0 };
        let mut terms = vec![
            ("policy_loss", figures.policy),
            ("approx_kl", mean(figures.approx_kl)),
        ];
        let ClipCounts { low, high, cap } = figures.clipped;
        if !matches!(self.surrogate, Surrogate::Reinforce) {
            terms.push(("clip_ratio/low_mean", mean(low as f64)));
            terms.push(("clip_ratio/high_mean", mean(high as f64)));
            terms.push(("clip_ratio/region_mean", mean((low + high) as f64)));
        }
        if matches!(self.surrogate, Surrogate::Clip(clip) if clip.has_cap()) {
            terms.push(("clip_ratio/cap_mean", mean(cap as f64)));
        }
        if view.logp_ref.is_some() {
            terms.push(("kl", mean(figures.k3)));
        }
        if self.kl.is_some() {
            terms.push(("kl_loss", figures.kl_loss));
        }
        terms
    }

    /// Names the first number of trajectory `i` that is not finite.
    fn blame(&self, view: &TokenView<'_>, row: &Row<'_>, i: usize) -> DataError {
        let trajectory = view.first_trajectory + i;
        let advantages = view.advantage_row(i);
        let counted = || (0..row.mask.len()).filter(|t| row.mask[*t]);
        let refuse = |t: usize, what: &str, value: f64| DataError::NonFinite {
            place: format!("trajectory {trajectory}, token {t}"),
            what: what.into(),
            value: value.to_string(),
        };
        for t in counted() {
            for (what, value) in [
                ("logp", row.logp[t]),
                ("logp_old", row.logp_old[t]),
                ("logp_ref", row.logp_ref.map_or(0.0, |r| r[t])),
                ("advantage", advantages.at(t)),
                ("frozen weight", row.frozen_weight.get(t).copied().unwrap_or(0.0)),
                ("frozen ratio", row.frozen_ratio.get(t).copied().unwrap_or(0.0)),
            ] {
                if !value.is_finite() {
                    return refuse(t, what, value);
                }
            }
        }
        // All inputs are finite: a product overflowed.
        for t in counted() {
            let rho = row.span.map_or_else(
                || exp(ratio::log_ratio(row.logp[t], row.logp_old[t])),
                |s| s.ratio(),
            );
            for loss in [-advantages.at(t) * rho, -advantages.at(t) * row.logp[t]] {
                if !loss.is_finite() {
                    return refuse(t, "loss", loss);
                }
            }
        }
        DataError::NonFinite {
            place: format!("trajectory {trajectory}"),
            what: "loss".into(),
            value: "not a number or infinite".into(),
        }
    }
}

impl<'a> Row<'a> {
    /// A run of its tokens.
    #[inline(always)]
    fn block(&self, range: std::ops::Range<usize>) -> Row<'a> {
        Row {
            mask: &self.mask[range.clone()],
            logp: &self.logp[range.clone()],
            logp_old: &self.logp_old[range.clone()],
            logp_ref: self.logp_ref.map(|r| &r[range.clone()]),
            frozen_weight: self.frozen_weight.get(range.clone()).unwrap_or(&[]),
            frozen_ratio: self.frozen_ratio.get(range).unwrap_or(&[]),
            ..*self
        }
    }

    /// Token log-ratios and ratios of a block, and k3 to the old policy for the log.
    #[inline(always)]
    fn ratios(&self, buffers: &mut Buffers, figures: &mut Figures) -> Result<(), NotFinite> {
        let n = self.mask.len().min(BLOCK);
        let clamped =
            ratio::block_log_ratios(self.logp, self.logp_old, self.mask, &mut buffers.log_ratio[..n]);
        if clamped > 0 && !(all_finite(self.mask, self.logp) && all_finite(self.mask, self.logp_old)) {
            return Err(NotFinite);
        }
        for t in 0..n {
            let d = buffers.log_ratio[t];
            let rho = exp(d);
            buffers.ratio[t] = rho;
            buffers.loss[t] = (1.0 / rho + d) - 1.0;
        }
        figures.approx_kl += sum(&buffers.loss[..n]);
        Ok(())
    }
}

fn all_finite(mask: &[bool], values: &[f64]) -> bool {
    mask.iter()
        .zip(values)
        .all(|(counted, value)| !counted || value.is_finite())
}

/// Checks that the slices of a view are as long as its tokens.
pub(crate) fn check_view(view: &TokenView<'_>) -> Result<(), DataError> {
    use groupwise_core::batch::AdvantageView;
    let n = view.tokens.total();
    let (advantages, expected) = match view.advantages {
        AdvantageView::Trajectory(a) => (a.len(), view.n_trajectories()),
        AdvantageView::Token(a) => (a.len(), n),
    };
    DataError::check_len("advantages", advantages, expected)?;
    for (name, found) in [
        ("mask", view.mask.len()),
        ("logp", view.logp.len()),
        ("logp_old", view.logp_old.len()),
        ("logp_ref", view.logp_ref.map_or(n, <[f64]>::len)),
        ("segments", view.segments.map_or(n, <[u32]>::len)),
    ] {
        DataError::check_len(name, found, n)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::samples;
    use proptest::prelude::*;
    use pulp::WithSimd;

    use super::*;
    use crate::aggregate::Aggregation;
    use crate::surrogate::{ClipParams, SurrogateConfig};

    proptest! {
        /// Runs are compared byte for byte across machines, so the widest vectors must give the bits of none.
        #[test]
        fn every_width_of_vectors_gives_the_same_bits(
            sample in samples(),
            level in prop::sample::select(vec![
                ImportanceSamplingLevel::Token, ImportanceSamplingLevel::Sequence,
            ]),
        ) {
            let objective = PolicyGradient {
                level,
                surrogate: SurrogateConfig::Clip(ClipParams::default()).build()?,
                weights: Aggregation::SeqMeanTokenMean.with_max_length(None)?,
                kl: Some(LossKl {
                    estimator: KlEstimator::K3, beta: 0.1, correction: KlCorrection::Ratio,
                }),
                wants_reference: true,
            };
            let batch = &sample.batch;
            let view = batch.view(0..batch.n_trajectories(), &sample.logp, None)?;
            let (weights, _) = objective.weights.weigh_batch(batch)?;
            let run = |widest: bool| {
                let mut d_logp = vec![0.0; view.logp.len()];
                let work = Rows {
                    objective: &objective, weights: &weights, frozen: (&[], &[]), view: &view, d_logp: &mut d_logp,
                };
                let figures = if widest { pulp::Arch::new().dispatch(work) } else { work.with_simd(pulp::Scalar) };
                figures.map(|f| (f.policy.to_bits(), f.kl_loss.to_bits(), f.approx_kl.to_bits(), d_logp))
            };
            prop_assert_eq!(run(true)?, run(false)?);
        }
    }
}
