//! `cures`: Boltzmann sampling by the deviation of the reward, and the split of rollouts.

use groupwise_core::DataError;
use groupwise_sampler::allocators::square_root::{
    gradient_deviation, nearest_even, split, standard_deviation,
};
use groupwise_sampler::samplers::cures::{CuresMode, sampling};
use groupwise_sampler::topk::top_k;
use groupwise_sampler::weighted::gumbel_keys;
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "sampling".to_owned())?;
    match function.as_str() {
        "sampling" => table(&params, &input),
        "draw" => draw(&params, &input),
        "allocation" => allocation(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn counts(input: &Fields<'_>) -> Result<(Vec<u32>, Vec<u32>), Fault> {
    let counts: (Vec<u32>, Vec<u32>) = (input.need("successes")?, input.need("attempts")?);
    DataError::check_len("attempts", counts.1.len(), counts.0.len())?;
    Ok(counts)
}

fn table(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let mode = params.or("mode", CuresMode::default())?;
    let temperature = params.or("temperature", 0.25)?;
    params.finish()?;
    let (successes, attempts) = counts(input)?;
    let found = sampling(&successes, &attempts, mode, temperature)?;
    Ok(answer([
        ("means", numbers(&found.means)),
        ("scores", numbers(&found.scores)),
        ("probabilities", numbers(&found.probabilities)),
    ]))
}

fn draw(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let mode = params.or("mode", CuresMode::default())?;
    let temperature = params.or("temperature", 0.25)?;
    let batch: usize = params.need("batch")?;
    params.finish()?;
    let (successes, attempts) = counts(input)?;
    let uniforms: Vec<f64> = input.need("uniforms")?;
    let found = sampling(&successes, &attempts, mode, temperature)?;
    let keys = gumbel_keys(&found.log_probabilities, &uniforms)?;
    Ok(answer([
        ("scores", numbers(&keys)),
        ("selected", json!(top_k(&keys, batch))),
    ]))
}

fn allocation(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let rounding: String = params.or("rounding", "largest_remainder".to_owned())?;
    let low: u32 = params.or("low", 2)?;
    params.finish()?;
    let (successes, attempts) = counts(input)?;
    let budget: u32 = input.need("budget")?;
    if let Some(i) = successes.iter().zip(&attempts).position(|(a, n)| a > n) {
        return Err(Fault::refused(format!("task {i}: more successes than attempts")));
    }
    let right: Option<Vec<Vec<f64>>> = input.get("grad_norms_correct")?;
    let wrong: Option<Vec<Vec<f64>>> = input.get("grad_norms_wrong")?;
    let weights: Vec<f64> = match (right, wrong) {
        (Some(right), Some(wrong)) => {
            DataError::check_len("grad_norms_correct", right.len(), successes.len())?;
            DataError::check_len("grad_norms_wrong", wrong.len(), successes.len())?;
            for (i, (right, wrong)) in right.iter().zip(&wrong).enumerate() {
                let fits =
                    right.len() == successes[i] as usize && right.len() + wrong.len() == attempts[i] as usize;
                if !fits {
                    return Err(Fault::refused(format!(
                        "task {i}: other numbers of norms than rollouts"
                    )));
                }
            }
            let pairs = right.iter().zip(&wrong);
            pairs
                .map(|(right, wrong)| gradient_deviation(right, wrong))
                .collect::<Result<_, _>>()?
        }
        _ => {
            let rates = successes.iter().zip(&attempts);
            rates
                .map(|(a, n)| standard_deviation(f64::from(*a) / f64::from(*n)))
                .collect()
        }
    };
    let sizes = match rounding.as_str() {
        "largest_remainder" => split(&weights, budget, low)?,
        "nearest_even" => nearest_even(&weights, budget)?,
        other => return Err(Fault::refused(format!("rounding `{other}`"))),
    };
    Ok(answer([
        ("weights", numbers(&weights)),
        ("allocation", json!(sizes)),
    ]))
}
