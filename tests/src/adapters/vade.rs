//! `vade`: variance-aware dynamic sampling.

use groupwise_sampler::samplers::vade;
use groupwise_sampler::score::GainScore;
use groupwise_sampler::success::{Decay, SuccessStats, Tally};
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the specification, section 6, with their defaults there.
struct Params {
    batch: Option<usize>,
    group: u32,
    decay: Decay,
    score: GainScore,
    draw: vade::Draw,
    steps: u64,
}

impl Params {
    fn read(params: &Fields<'_>) -> Result<Self, Fault> {
        let read = Self {
            batch: params.get("batch")?,
            group: params.or("group", 8)?,
            decay: Decay::new(params.or("fast_decay", 0.2)?, params.or("slow_decay", 0.999)?)?,
            score: params.or("score", GainScore::default())?,
            draw: params.or("draw", vade::Draw::default())?,
            steps: params.or("steps", 1)?,
        };
        params.finish()?;
        if read.batch == Some(0) || read.group == 0 {
            return Err(Fault::refused("`batch` and `group` must be >= 1"));
        }
        Ok(read)
    }

    fn batch(&self) -> Result<usize, Fault> {
        self.batch
            .ok_or_else(|| Fault::adapter("the case has no param `batch`"))
    }
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let params = case.params();
    let function: String = params.need("function")?;
    let read = Params::read(&params)?;
    let input = case.input();
    match function.as_str() {
        "select" => select(&read, &input),
        "greedy" => greedy(&read, &input),
        "update" => update(&read, &input),
        "idle" => idle(&read, &input),
        "run" => steps(&read, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// The counts of the case.
fn stats(read: &Params, input: &Fields<'_>) -> Result<SuccessStats, Fault> {
    Ok(SuccessStats::from_counts(
        input.need("alpha")?,
        input.need("beta")?,
        read.decay,
    )?)
}

fn select(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    if read.draw == vade::Draw::Mean {
        return greedy(read, input);
    }
    let stats = stats(read, input)?;
    let draws: Vec<f64> = match input.get("draws")? {
        Some(draws) => draws,
        None => vade::quantile_rates(&stats, &input.need::<Vec<f64>>("uniforms")?)?,
    };
    groupwise_core::DataError::check_len("draws", draws.len(), stats.n_tasks())?;
    let ranking = vade::select(&draws, read.score, read.batch()?)?;
    Ok(answer([
        ("draws", numbers(&draws)),
        ("scores", numbers(&ranking.scores)),
        ("selected", json!(ranking.selected)),
    ]))
}

fn greedy(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let greedy = vade::greedy(&stats(read, input)?, read.score, read.batch()?)?;
    Ok(answer([
        ("means", numbers(&greedy.means)),
        ("scores", numbers(&greedy.ranking.scores)),
        ("selected", json!(greedy.ranking.selected)),
        ("expected_scores", numbers(&greedy.expected_scores)),
    ]))
}

fn counts(stats: &SuccessStats) -> Result<Answer, Fault> {
    Ok(answer([
        ("alpha", numbers(&stats.right())),
        ("beta", numbers(&stats.wrong())),
        ("means", numbers(&stats.means())),
    ]))
}

fn update(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let mut stats = stats(read, input)?;
    let selected: Vec<usize> = input.need("selected")?;
    let successes: Vec<f64> = input.need("successes")?;
    match input.get::<Vec<u32>>("attempts")? {
        None => vade::update(&mut stats, &selected, &successes, read.group)?,
        Some(attempts) => {
            // Aborted rollouts: each prompt has the group size that came back.
            groupwise_core::DataError::check_len("successes", successes.len(), selected.len())?;
            groupwise_core::DataError::check_len("attempts", attempts.len(), selected.len())?;
            let tallies: Vec<Tally> = selected
                .iter()
                .zip(successes.iter().zip(&attempts))
                .map(|(task, (right, attempts))| Tally {
                    task: *task,
                    right: *right,
                    attempts: *attempts,
                })
                .collect();
            stats.record(1, &tallies)?;
        }
    }
    counts(&stats)
}

fn idle(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let mut stats = stats(read, input)?;
    vade::idle(&mut stats, read.steps)?;
    counts(&stats)
}

fn steps(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let uniforms: Vec<Vec<f64>> = input.need("uniforms")?;
    let successes: Vec<Vec<f64>> = input.need("successes")?;
    let mut stats = match (input.get("alpha")?, input.get("beta")?) {
        (Some(alpha), Some(beta)) => SuccessStats::from_counts(alpha, beta, read.decay)?,
        _ => SuccessStats::new(uniforms.first().map_or(0, Vec::len), read.decay),
    };
    let selected = vade::run(
        &mut stats,
        &uniforms,
        &successes,
        read.score,
        read.batch()?,
        read.group,
    )?;
    let mut out = counts(&stats)?;
    out.insert("selected".into(), json!(selected));
    Ok(out)
}
