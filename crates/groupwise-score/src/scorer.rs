//! Batches to advantages, losses and gradients.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use groupwise_advantage::AdvantageSpec;
use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Evaluation, Needs, Objective, Offsets, Scope, TokenBatch,
};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::regularizer::KlPenalty;

use crate::batch::Batch;
use crate::error::ScoreError;

/// What to compute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Rewards to advantages; `None`: the groups bring theirs.
    pub advantage: Option<AdvantageSpec>,
    /// Log-probabilities to a loss; `None`: advantages are all that is asked for.
    pub objective: Option<ObjectiveSpec>,
    /// Groups of an update batch; `None`: one, where no part looks at the whole batch.
    pub batch: Option<NonZeroUsize>,
}

/// Parts, ready to score.
#[derive(Debug)]
pub(crate) struct Scorer {
    advantage: Option<(&'static str, Box<dyn AdvantageEstimator>)>,
    objective: Option<(&'static str, Box<dyn Objective>)>,
    kl_penalty: Option<KlPenalty>,
    /// Likelihood is the one loss that asks for no advantages.
    wants_advantages: bool,
    pub(crate) batch: usize,
}

/// Results of a batch.
#[derive(Debug)]
pub(crate) struct Scored {
    pub(crate) tokens: Offsets,
    /// Those that were computed here.
    pub(crate) advantages: Option<Advantages>,
    pub(crate) loss: Option<Loss>,
}

/// Loss of a batch.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    pub(crate) total: f64,
    /// Addend of each group, where the objective can be split.
    pub(crate) shares: Option<Vec<f64>>,
    pub(crate) terms: Vec<(&'static str, f64)>,
    pub(crate) d_logp: Vec<f64>,
    pub(crate) d_entropy: Option<Vec<f64>>,
    pub(crate) d_value: Option<Vec<f64>>,
}

impl Scorer {
    pub(crate) fn new(options: &Options) -> Result<Self, ScoreError> {
        let (advantage, objective) = (&options.advantage, &options.objective);
        if advantage.is_none() && objective.is_none() {
            let what = "nothing to compute: name an advantage, an objective or both";
            return Err(ScoreError::Options(what.into()));
        }
        let kl_penalty = objective
            .as_ref()
            .map(ObjectiveSpec::kl_penalty)
            .transpose()?
            .flatten();
        let wants_advantages = !matches!(objective, Some(ObjectiveSpec::Supervised(_)));
        let build = |spec: &AdvantageSpec| Ok::<_, ScoreError>((spec.name(), spec.build(&())?));
        let advantage = advantage.as_ref().map(build).transpose()?;
        let build = |spec: &ObjectiveSpec| Ok::<_, ScoreError>((spec.name(), spec.build(&())?));
        let objective = objective.as_ref().map(build).transpose()?;
        let parts = advantage
            .iter()
            .map(|(name, part)| ("advantage", *name, part.needs()))
            .chain(
                objective
                    .iter()
                    .map(|(name, part)| ("objective", *name, part.needs())),
            );
        for (seam, name, needs) in parts {
            for (need, what) in [
                (Needs::TRAJECTORIES, "the answers themselves"),
                (Needs::TASKS, "the tasks"),
            ] {
                if needs.contains(need) {
                    return Err(ScoreError::Options(format!(
                        "{seam} `{name}` with these parameters reads {what}, which the lines do not hold"
                    )));
                }
            }
        }
        if options.batch.is_none() {
            let estimator = advantage
                .iter()
                .map(|(name, part)| ("advantage", *name, part.scope()));
            let loss = objective
                .iter()
                .map(|(name, part)| ("objective", *name, part.scope()));
            if let Some((seam, name, _)) = estimator.chain(loss).find(|(_, _, scope)| *scope > Scope::Group) {
                return Err(ScoreError::Options(format!(
                    "{seam} `{name}` looks at the whole update batch: say with --batch how many groups (lines) one holds"
                )));
            }
        }
        Ok(Self {
            advantage,
            objective,
            kl_penalty,
            wants_advantages,
            batch: options.batch.map_or(1, NonZeroUsize::get),
        })
    }

    /// Scores a batch, which is used up but for its lines and ids.
    pub(crate) fn score(&self, batch: &mut Batch) -> Result<Scored, ScoreError> {
        let tokens = batch.token_offsets();
        self.check_given(batch)?;
        leave_out_unscorable(batch, &tokens);
        let advantages = match &self.advantage {
            Some((name, estimator)) => Some(self.estimate(name, estimator.as_ref(), batch, &tokens)?),
            None => None,
        };
        let loss = match &self.objective {
            Some((name, objective)) => {
                let used = advantages.clone().or_else(|| batch.take_given());
                let used = used.unwrap_or_else(|| Advantages::Trajectory(vec![0.0; tokens.len()]));
                let loss = evaluate(objective.as_ref(), batch, &tokens, used);
                Some(loss.map_err(|e| refused(batch, format!("objective `{name}`"), e))?)
            }
            None => None,
        };
        Ok(Scored {
            tokens,
            advantages,
            loss,
        })
    }

    /// Refuses a batch without what the parts need, in the words of the input.
    fn check_given(&self, batch: &Batch) -> Result<(), ScoreError> {
        let complain = |what| ScoreError::line(batch.lines.first().copied().unwrap_or_default(), what);
        let missing = |key: &str, seam: &str, name: &str| {
            complain(format!("lacks `{key}`, which {seam} `{name}` needs"))
        };
        if let Some((name, part)) = &self.advantage {
            let rewards = batch.rewards.get().is_none().then_some("rewards");
            if let Some(key) = rewards.or_else(|| first_missing(batch, part.needs())) {
                return Err(missing(key, "advantage", name));
            }
            if batch.has_given() {
                return Err(complain(format!(
                    "has `advantages`, and advantage `{name}` computes them: leave one of them out"
                )));
            }
        }
        if let Some((name, part)) = &self.objective {
            let logp = batch.logp.get().is_none().then_some("tokens.logp");
            if let Some(key) = logp.or_else(|| first_missing(batch, part.needs())) {
                return Err(missing(key, "objective", name));
            }
            if self.advantage.is_none() && !batch.has_given() && self.wants_advantages {
                return Err(complain(format!(
                    "lacks `advantages`, which objective `{name}` needs; or name an advantage to compute"
                )));
            }
        }
        Ok(())
    }

    fn estimate(
        &self,
        name: &str,
        estimator: &dyn AdvantageEstimator,
        batch: &Batch,
        tokens: &Offsets,
    ) -> Result<Advantages, ScoreError> {
        let mut rewards = batch.rewards.get().unwrap_or_default().to_vec();
        if let Some(penalty) = &self.kl_penalty {
            penalize(penalty, batch, tokens, &mut rewards).map_err(|e| {
                let objective = self.objective.as_ref().map_or("", |(name, _)| name);
                refused(batch, format!("KL penalty of objective `{objective}`"), e)
            })?;
        }
        let checked = batch.with_rewards(tokens, &rewards, |view| {
            let advantages = estimator.estimate(view)?;
            advantages.check(tokens.spans())?;
            Ok(advantages)
        });
        checked.map_err(|e| refused(batch, format!("advantage `{name}`"), e))
    }
}

/// The first field that is needed and absent.
fn first_missing(batch: &Batch, needs: Needs) -> Option<&'static str> {
    // On policy the current log-probabilities are the old ones.
    let has_old = batch.logp_old.get().is_some() || batch.logp.get().is_some();
    [
        (
            Needs::STEP_REWARDS,
            "steps.rewards",
            batch.step_rewards.get().is_some(),
        ),
        (Needs::ANCHORS, "steps.anchors", batch.anchors.get().is_some()),
        (Needs::TOKENS, "tokens", batch.tokens.get().is_some()),
        (Needs::LOGP_OLD, "tokens.logp_old", has_old),
        (Needs::LOGP_REF, "tokens.logp_ref", batch.logp_ref.get().is_some()),
        (Needs::ENTROPY, "tokens.entropy", batch.entropy.get().is_some()),
        (Needs::VALUES, "tokens.values", batch.values.get().is_some()),
        (
            Needs::GREEDY_REWARDS,
            "greedy_reward",
            batch.greedy.get().is_some(),
        ),
        (Needs::OFF_POLICY, "off_policy", batch.off_policy.get().is_some()),
        (
            Needs::PROCESS_REWARDS,
            "judged_steps",
            batch.judged.get().is_some(),
        ),
        (Needs::SEGMENTS, "judged_steps", batch.judged.get().is_some()),
    ]
    .into_iter()
    .find_map(|(need, key, given)| (needs.contains(need) && !given).then_some(key))
}

fn refused(batch: &Batch, part: String, source: DataError) -> ScoreError {
    ScoreError::Part {
        first: batch.lines.first().copied().unwrap_or_default(),
        last: batch.lines.last().copied().unwrap_or_default(),
        part,
        source,
    }
}

/// A member that could not be scored takes no part in the loss, nor in what it is divided by.
fn leave_out_unscorable(batch: &mut Batch, tokens: &Offsets) {
    let Some(rewards) = batch.rewards.get() else {
        return;
    };
    for (i, _) in rewards.iter().enumerate().filter(|(_, reward)| reward.is_none()) {
        batch.mask[tokens.range(i)].fill(false);
    }
}

/// Takes the penalty that belongs to the rewards off them, as in training.
fn penalize(
    penalty: &KlPenalty,
    batch: &Batch,
    tokens: &Offsets,
    rewards: &mut [Option<f64>],
) -> Result<(), DataError> {
    let missing = |what| DataError::Missing {
        what,
        part: "the penalty on rewards",
    };
    let old = batch
        .logp_old
        .get()
        .or(batch.logp.get())
        .ok_or(missing("tokens.logp_old"))?;
    let reference = batch.logp_ref.get().ok_or(missing("tokens.logp_ref"))?;
    let penalties = penalty.per_trajectory(tokens.spans(), old, reference, &batch.mask)?;
    for (reward, penalty) in rewards.iter_mut().zip(&penalties) {
        *reward = reward.map(|r| r - penalty);
    }
    Ok(())
}

/// Loss and derivatives of a batch: denominators of the whole, then group by group where the objective allows it.
fn evaluate(
    objective: &dyn Objective,
    batch: &mut Batch,
    tokens: &Offsets,
    advantages: Advantages,
) -> Result<Loss, DataError> {
    let logp = batch.logp.take().unwrap_or_default();
    let segments = batch.segments(tokens)?;
    let (entropy, value) = (batch.entropy.take(), batch.values.take());
    let whole = TokenBatch {
        groups: batch.groups.clone(),
        tokens: tokens.clone(),
        prompts: vec![Arc::from([]); tokens.len()],
        ids: vec![0; logp.len()],
        mask: std::mem::take(&mut batch.mask),
        logp_sampler: batch.logp_old.get().unwrap_or(&logp).to_vec(),
        logp_old: batch.logp_old.take(),
        logp_ref: batch.logp_ref.take(),
        advantages,
        segments,
        temperature: 1.0,
    };
    whole.check()?;
    let denominators = objective.denominators(&whole)?;
    let at = |part: Range<usize>| -> Result<Evaluation, DataError> {
        let span = whole.tokens.range_of(part.clone());
        let own_entropy = entropy.as_deref().map(|e| &e[span.clone()]);
        let mut view = whole.view(part, &logp[span.clone()], own_entropy)?;
        view.value = value.as_deref().map(|v| &v[span]);
        objective.evaluate(&objective.freeze(&denominators, &view)?, &view)
    };
    let mut loss = Loss::default();
    if objective.scope() == Scope::Batch {
        loss.add(at(0..whole.n_trajectories())?);
        return Ok(loss);
    }
    let mut shares = Vec::with_capacity(whole.groups.len());
    for members in whole.groups.spans().iter() {
        let group = at(members)?;
        shares.push(group.loss);
        loss.add(group);
    }
    loss.shares = Some(shares);
    Ok(loss)
}

impl Loss {
    /// Appends the next views of the batch.
    fn add(&mut self, part: Evaluation) {
        self.total += part.loss;
        for (name, value) in part.terms {
            match self.terms.iter_mut().find(|(known, _)| *known == name) {
                Some((_, total)) => *total += value,
                None => self.terms.push((name, value)),
            }
        }
        let before = self.d_logp.len();
        self.d_logp.extend(part.grads.d_logp);
        extend(
            &mut self.d_entropy,
            part.grads.d_entropy,
            before,
            self.d_logp.len(),
        );
        extend(&mut self.d_value, part.grads.d_value, before, self.d_logp.len());
    }
}

/// Appends derivatives by an input on which the loss of some views may not depend.
fn extend(to: &mut Option<Vec<f64>>, from: Option<Vec<f64>>, before: usize, after: usize) {
    if to.is_none() && from.is_none() {
        return;
    }
    let column = to.get_or_insert_with(|| vec![0.0; before]);
    column.extend(from.unwrap_or_default());
    column.resize(after, 0.0);
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Denominators, Frozen, TokenGrads, TokenView};

    use super::*;

    /// `sum_t (2 logp + 3 entropy + 5 value) / (trajectories of the batch)`, and how many trajectories a view has.
    #[derive(Debug)]
    struct Weighted(Scope);

    impl Objective for Weighted {
        fn needs(&self) -> Needs {
            Needs::ENTROPY | Needs::VALUES
        }

        fn scope(&self) -> Scope {
            self.0
        }

        fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
            let scalars = vec![batch.n_trajectories() as f64];
            Ok(Denominators {
                scalars,
                ..Denominators::default()
            })
        }

        fn freeze(&self, whole: &Denominators, _: &TokenView<'_>) -> Result<Frozen, DataError> {
            Ok(Frozen {
                scalars: whole.scalars.clone(),
                ..Frozen::default()
            })
        }

        fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
            let n = frozen.scalars[0];
            let (entropy, value) = (view.entropy.unwrap_or_default(), view.value.unwrap_or_default());
            let sum = |values: &[f64]| values.iter().sum::<f64>();
            let slope = |by: f64| vec![by / n; view.logp.len()];
            Ok(Evaluation {
                loss: (2.0 * sum(view.logp) + 3.0 * sum(entropy) + 5.0 * sum(value)) / n,
                grads: TokenGrads {
                    d_logp: slope(2.0),
                    d_entropy: Some(slope(3.0)),
                    d_value: Some(slope(5.0)),
                },
                terms: vec![("members", view.n_trajectories() as f64)],
            })
        }
    }

    #[test]
    fn a_loss_sees_entropy_and_values_and_is_split_only_where_it_may_be() {
        let of =
            |scope| {
                let mut batch = Batch::default();
                for (number, text) in [
                r#"{"tokens": {"logp": [[-1, -2], []], "entropy": [[1, 0], []], "values": [[7, 0], []]}}"#,
                r#"{"tokens": {"logp": [[-4], [-8]], "entropy": [[2], [3]], "values": [[9], [11]]}}"#,
            ]
            .into_iter()
            .enumerate()
            {
                let number = number as u64;
                batch.push(crate::line::Line::parse(text.as_bytes(), number).unwrap(), number).unwrap();
            }
                let tokens = batch.token_offsets();
                evaluate(
                    &Weighted(scope),
                    &mut batch,
                    &tokens,
                    Advantages::Trajectory(vec![0.0; 4]),
                )
                .unwrap()
            };
        let first = (2.0 * -3.0 + 3.0 * 1.0 + 5.0 * 7.0) / 4.0;
        let second = (2.0 * -12.0 + 3.0 * 5.0 + 5.0 * 20.0) / 4.0;
        for scope in [Scope::Token, Scope::Group, Scope::Batch] {
            let loss = of(scope);
            let shares = (scope < Scope::Batch).then(|| vec![first, second]);
            assert_eq!((loss.total, loss.shares), (first + second, shares));
            assert_eq!(loss.terms, [("members", 4.0)]);
            assert_eq!(loss.d_logp, [0.5; 4]);
            assert_eq!(
                (loss.d_entropy, loss.d_value),
                (Some(vec![0.75; 4]), Some(vec![1.25; 4]))
            );
        }
    }

    #[test]
    fn every_need_is_asked_for_under_its_field() {
        let mut batch = Batch::default();
        let bare = |needs| first_missing(&batch, needs);
        let fields = [
            (Needs::STEP_REWARDS, "steps.rewards"),
            (Needs::ANCHORS, "steps.anchors"),
            (Needs::TOKENS, "tokens"),
            (Needs::LOGP_OLD, "tokens.logp_old"),
            (Needs::LOGP_REF, "tokens.logp_ref"),
            (Needs::ENTROPY, "tokens.entropy"),
            (Needs::VALUES, "tokens.values"),
            (Needs::GREEDY_REWARDS, "greedy_reward"),
            (Needs::OFF_POLICY, "off_policy"),
            (Needs::PROCESS_REWARDS, "judged_steps"),
            (Needs::SEGMENTS, "judged_steps"),
        ];
        for (need, field) in fields {
            assert_eq!(bare(need), Some(field));
        }
        assert_eq!(bare(Needs::empty()), None);
        let text = br#"{"rewards": [1], "greedy_reward": 1, "off_policy": [0], "steps": {"rewards": [[1]], "anchors": [["a"]]},
            "judged_steps": {"ends": [[0]], "rewards": [[1]]},
            "tokens": {"logp_old": [[-1]], "logp_ref": [[-1]], "entropy": [[1]], "values": [[1]]}}"#;
        batch.push(crate::line::Line::parse(text, 1).unwrap(), 1).unwrap();
        assert_eq!(first_missing(&batch, Needs::all()), None);
    }

    #[test]
    fn derivatives_that_only_some_views_have_keep_their_places() {
        let view = |n: usize, d_entropy: Option<Vec<f64>>| Evaluation {
            loss: 1.0,
            grads: TokenGrads {
                d_logp: vec![1.0; n],
                d_entropy,
                d_value: None,
            },
            terms: vec![("a", 0.5)],
        };
        let mut loss = Loss::default();
        loss.add(view(2, None));
        loss.add(view(1, Some(vec![3.0])));
        loss.add(view(2, None));
        assert_eq!(loss.d_entropy, Some(vec![0.0, 0.0, 3.0, 0.0, 0.0]));
        assert_eq!((loss.total, loss.d_value), (3.0, None));
        assert_eq!(loss.terms, [("a", 1.5)]);
    }
}
