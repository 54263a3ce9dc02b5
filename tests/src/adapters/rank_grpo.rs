//! `rank-grpo`: rewards and advantages per rank, length shaping, the loss per rank.

use groupwise_advantage::AdvantageSpec;
use groupwise_advantage::estimators::{
    LengthShaping, RankGrpoConfig, RankReward, rank_advantages, rank_rewards, rank_token_advantages,
};
use groupwise_core::{Offsets, Spread};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_batch};
use groupwise_objective::objectives::RankGrpoConfig as LossConfig;
use groupwise_objective::objectives::rank_grpo::Overflow;
use groupwise_objective::regularizer::KlEstimator;
use serde_json::Value;

use crate::nested::{Tokens, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    let lists = Lists::read(&params, &input)?;
    let config = estimator(&params, lists.n_ranks)?;
    let loss = (function == "loss")
        .then(|| objective(&params, &config))
        .transpose()?;
    params.finish()?;
    AdvantageSpec::RankGrpo(config.clone()).build(&())?;
    let rewards = lists.rewards(config.reward);
    let mut out = answer([("rewards", lists.nest(&rewards))]);
    if function == "rewards" {
        return Ok(out);
    }
    let scorable = vec![true; lists.groups.total()];
    let relative = config.relative()?;
    let a = rank_advantages(
        lists.groups.spans(),
        lists.n_ranks,
        &rewards,
        &scorable,
        &relative,
    )?;
    out.insert("advantages".into(), lists.nest(&a));
    match loss {
        None if function == "advantages" => Ok(out),
        None => Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        ))),
        Some(loss) => {
            out.extend(evaluate(&loss, &config, &lists, &a, &input)?);
            Ok(out)
        }
    }
}

/// Hits of every list, row by row; a list that is shorter than N has no hits behind its end.
struct Lists {
    groups: Offsets,
    n_ranks: usize,
    hits: Vec<f64>,
}

impl Lists {
    fn read(params: &Fields<'_>, input: &Fields<'_>) -> Result<Self, Fault> {
        if params.get::<u32>("G")?.is_some_and(|g| g < 2) {
            return Err(Fault::refused("`G` must be >= 2"));
        }
        let template = input.need_raw("hits")?;
        let (groups, lengths) = (offsets("hits", template, 0)?, offsets("hits", template, 1)?);
        let flat = crate::nested::flags("hits", template, 3)?;
        let longest = lengths.spans().iter().map(|row| row.len()).max().unwrap_or(0);
        let n_ranks = params.get("N")?.unwrap_or(longest);
        if n_ranks == 0 || longest > n_ranks {
            return Err(Fault::refused("`N` must be >= 1 and no list may have more hits"));
        }
        let mut hits = vec![0.0; lengths.len() * n_ranks];
        for (i, row) in lengths.spans().iter().enumerate() {
            for (slot, hit) in hits[i * n_ranks..].iter_mut().zip(&flat[row]) {
                *slot = f64::from(u8::from(*hit));
            }
        }
        Ok(Self {
            groups,
            n_ranks,
            hits,
        })
    }

    fn rewards(&self, reward: RankReward) -> Vec<f64> {
        let rows = self.hits.chunks(self.n_ranks);
        rows.flat_map(|row| rank_rewards(reward, row)).collect()
    }

    /// Rows of N numbers, group > list > rank.
    fn nest(&self, flat: &[f64]) -> Value {
        let row = |i: usize| -> Value {
            flat[i * self.n_ranks..(i + 1) * self.n_ranks]
                .iter()
                .map(|x| number(*x))
                .collect()
        };
        let group = |members: std::ops::Range<usize>| members.map(row).collect::<Value>();
        self.groups.spans().iter().map(group).collect()
    }
}

fn estimator(params: &Fields<'_>, n_ranks: usize) -> Result<RankGrpoConfig, Fault> {
    let (default, shaping) = (RankGrpoConfig::default(), LengthShaping::default());
    let shaping = LengthShaping {
        overflow_penalty: params.or("overflow_penalty", shaping.overflow_penalty)?,
        end_bonus: params.or("end_bonus", shaping.end_bonus)?,
        early_penalty: params.or("early_penalty", shaping.early_penalty)?,
    };
    Ok(RankGrpoConfig {
        n_ranks,
        reward: params.or("reward", default.reward)?,
        spread: params.or("std", Spread::Sample)?,
        eps: params.or("eps", default.eps)?,
        length_shaping: params.or("length_shaping", false)?.then_some(shaping),
    })
}

fn objective(params: &Fields<'_>, config: &RankGrpoConfig) -> Result<LossConfig, Fault> {
    let default = LossConfig::default();
    Ok(LossConfig {
        n_ranks: u32::try_from(config.n_ranks).map_err(|e| Fault::refused(format!("`N`: {e}")))?,
        ratio: params.or("ratio", default.ratio)?,
        epsilon: params.or("clip_low", default.epsilon)?,
        epsilon_high: params.or("clip_high", default.epsilon_high)?,
        aggregation: params.or("aggregation", default.aggregation)?,
        overflow: if config.length_shaping.is_some() {
            Overflow::Segment
        } else {
            Overflow::LeftOut
        },
        beta: params.or("kl_coef", default.beta)?,
        kl_estimator: params.or("kl", KlEstimator::K3)?,
    })
}

/// The end token of every list; -1: none.
fn ends(tokens: &Tokens<'_>, input: &Fields<'_>) -> Result<Vec<Option<usize>>, Fault> {
    let Some(value) = input.raw("eos") else {
        return Ok(vec![None; tokens.tokens.len()]);
    };
    tokens.check_groups("eos", &offsets("eos", value, 0)?)?;
    let read = |at: i64| match at {
        -1 => Ok(None),
        at => usize::try_from(at)
            .map(Some)
            .map_err(|_| Fault::refused(format!("`eos` holds {at}"))),
    };
    leaves::<i64>("eos", value, 2)?.into_iter().map(read).collect()
}

fn evaluate(
    loss: &LossConfig,
    config: &RankGrpoConfig,
    lists: &Lists,
    per_rank: &[f64],
    input: &Fields<'_>,
) -> Result<Answer, Fault> {
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    tokens.check_groups("hits", &lists.groups)?;
    let template = input.need_raw("ranks")?;
    // Same nesting as the log-probabilities, then as ranks: a negative one is refused.
    tokens.numbers("ranks", template)?;
    let ranks: Vec<u32> = leaves("ranks", template, 3)?;
    let mask = tokens.mask(input.raw("mask"))?;
    let mut advantages = vec![0.0; ranks.len()];
    let n = lists.n_ranks;
    for (i, end) in ends(&tokens, input)?.into_iter().enumerate() {
        let span = tokens.tokens.range(i);
        rank_token_advantages(
            &ranks[span.clone()],
            &mask[span.clone()],
            &per_rank[i * n..(i + 1) * n],
            end,
            config.length_shaping.as_ref(),
            &mut advantages[span],
        )?;
    }
    let nested = |key: &str| match input.raw(key) {
        None => Ok(None),
        Some(value) => tokens.numbers(key, value).map(|flat| Some(tokens.nest(&flat))),
    };
    let (mut batch, logp) = NestedBatch {
        logp: tokens.nest(&tokens.numbers("logp", tokens.template)?),
        logp_old: nested("logp_old")?,
        logp_ref: nested("logp_ref")?,
        mask: Some(tokens.nest(&mask)),
        advantages: NestedAdvantages::Token(tokens.nest(&advantages)),
    }
    .to_batch()?;
    batch.segments = Some(ranks);
    let objective = ObjectiveSpec::RankGrpo(loss.clone()).build(&())?;
    let at = evaluate_batch(objective.as_ref(), &batch, &logp)?;
    Ok(answer([
        ("loss", number(at.loss)),
        (
            "grad_logp",
            like(tokens.template, &at.grad_logp.concat().concat()),
        ),
        ("token_advantages", like(tokens.template, &advantages)),
    ]))
}
