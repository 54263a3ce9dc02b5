//! `knapsack-rl`: rollout budgets as a knapsack.

use groupwise_core::DataError;
use groupwise_sampler::allocators::knapsack::{
    Fallback, Knapsack, KnapsackConfig, Plan, cost, marginal_gain, value,
};
use groupwise_sampler::success::{Success, Window};
use serde_json::{Value, json};

use crate::nested::{number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the specification, sections 6 and 9.
struct Params {
    config: KnapsackConfig,
    group: u32,
    budget: Option<u32>,
}

impl Params {
    fn read(params: &Fields<'_>) -> Result<Self, Fault> {
        let default = KnapsackConfig::default();
        let config = KnapsackConfig {
            n_low: params.or("low", default.n_low)?,
            n_up: params.or("up", default.n_up)?,
            n_neg: params.or("neg", default.n_neg)?,
            n_pos: params.or("pos", default.n_pos)?,
            confidence: params.or("conf", default.confidence)?,
            fallback: if params.or("fallback", true)? {
                Fallback::On
            } else {
                Fallback::Off
            },
            window: params.or("window", default.window)?,
            min_count: params.or("min_count", default.min_count)?,
            variant: default.variant,
        };
        let read = Self {
            config,
            group: params.or("n", 8)?,
            budget: params.or("budget", None)?,
        };
        params.finish()?;
        Ok(read)
    }
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let params = case.params();
    let function: Option<String> = params.get("function")?;
    let read = Params::read(&params)?;
    let input = case.input();
    match function.as_deref() {
        None | Some("allocate") => allocate(&read, &input),
        Some("value") => values(&read, &input),
        Some("rate_estimate") => rate(&read, &input),
        Some(other) => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn allocate(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let rates: Vec<Option<f64>> = input.need("success_rates")?;
    let knapsack = Knapsack::new(&read.config, read.group)?;
    let budget = read.budget.unwrap_or_else(|| knapsack.usual_budget(rates.len()));
    let Plan {
        counts,
        unspent,
        surplus,
        value,
    } = knapsack.plan(&rates, budget)?;
    Ok(answer([
        ("allocation", json!(counts)),
        ("unspent", json!(unspent)),
        ("fallback", json!(surplus > 0)),
        ("value", number(value)),
    ]))
}

fn values(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    Knapsack::new(&read.config, read.group)?;
    let rates: Vec<f64> = input.need("success_rates")?;
    let attempts: Vec<u32> = input.need("attempts")?;
    DataError::check_len("attempts", attempts.len(), rates.len())?;
    // The functions are defined on rates in [0, 1]; the allocator checks what it is given, they do not.
    if let Some(rate) = rates.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Fault::refused(format!("success rate {rate} is outside [0, 1]")));
    }
    let each = |of: fn(u32, f64) -> f64| -> Vec<f64> {
        attempts.iter().zip(&rates).map(|(n, p)| of(*n, *p)).collect()
    };
    let costs: Vec<Option<u32>> = rates
        .iter()
        .map(|p| cost(*p, read.config.n_up, read.config.confidence))
        .collect();
    Ok(answer([
        ("scores", numbers(&each(value))),
        ("weights", numbers(&each(marginal_gain))),
        ("lengths", json!(costs)),
    ]))
}

fn rate(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let visits: Vec<Vec<f64>> = input.need("rewards")?;
    let window = Window::new(read.config.window, read.config.min_count)?;
    let estimate = window.estimate(0, visits.iter().map(Vec::as_slice), Success::Binary)?;
    Ok(answer([
        ("known", json!(estimate.known)),
        ("rate", estimate.rate.map_or(Value::Null, number)),
    ]))
}
