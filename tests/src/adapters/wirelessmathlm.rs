//! `wirelessmathlm`: grades of replies, and the advantages of their group.

use groupwise_core::{Score, Task, Trajectory};
use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{Unboxed, WirelessMathConfig, WirelessMathKind};

use super::relative::one_group;
use crate::nested::numbers;
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let kind: Option<WirelessMathKind> = params.get("kind")?;
    let unboxed = if params.or("box_required", true)? {
        Unboxed::Wrong
    } else {
        Unboxed::Substring
    };
    let rewards: Vec<f64> = if case.input.contains_key("rewards") {
        input.need("rewards")?
    } else {
        let config = WirelessMathConfig {
            kind: kind.unwrap_or_default(),
            unboxed,
            ..WirelessMathConfig::default()
        };
        let verifier = VerifierSpec::Wirelessmathlm(config).build(&())?;
        let task = Task::new("case", "", input.need::<String>("answer")?);
        let grade = |text: &String| match verifier.score(&task, &Trajectory::of_reply(text, 1)) {
            Score::Value(reward) => Ok(reward),
            Score::Unscorable(reason) => Err(Fault::refused(reason)),
        };
        let texts: Vec<String> = input.need("texts")?;
        texts.iter().map(grade).collect::<Result<_, Fault>>()?
    };
    let advantages = one_group(&params, 1e-6, &rewards)?;
    params.finish()?;
    Ok(answer([
        ("rewards", numbers(&rewards)),
        ("advantages", numbers(&advantages)),
    ]))
}
