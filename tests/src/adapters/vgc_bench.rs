//! `vgc-bench`: the equilibrium of a table of win rates, its growth, and alpha-rank.

use groupwise_stats::cross_play::WinRates;
use serde_json::json;

use crate::nested::{number, numbers};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let table = WinRates::new(input.need("payoff")?)?;
    let found = match params.need::<String>("stage")?.as_str() {
        "nash" => {
            let equilibrium = table.equilibrium();
            answer([
                ("probabilities", numbers(&equilibrium.probabilities)),
                ("value", number(equilibrium.value)),
                ("exploitability", number(equilibrium.exploitability)),
            ])
        }
        "grow" => {
            let grown = table.grown(&input.need::<Vec<f64>>("win_rates")?)?;
            answer([("payoff", json!(grown.rows()))])
        }
        "alpha_rank" => {
            if params
                .raw("alpha")
                .is_some_and(|alpha| alpha.as_str() != Some("infinite"))
            {
                return Err(Fault::adapter("adapter knows infinite alpha only"));
            }
            let ranks = table.alpha_rank(params.or("epsilon", 0.01)?)?;
            answer([("probabilities", numbers(&ranks))])
        }
        other => return Err(Fault::adapter(format!("adapter does not know stage `{other}`"))),
    };
    params.finish()?;
    Ok(found)
}
