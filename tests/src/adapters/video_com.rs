//! `video-com`: accuracy, share of hits, plain and mixed advantage of one group.

use groupwise_advantage::AdvantageSpec;
use groupwise_advantage::estimators::MapoConfig;
use groupwise_core::{Advantages, Offsets, RewardBatch, Score, Task, Trajectory};
use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{AnswerGate, Evidence, VideoComConfig, VideoComReward};
use serde_json::{Map, Value};

use super::relative::{one_group, spread};
use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = VideoComConfig::default();
    let gate = if params.or("gate_on_answer", false)? {
        AnswerGate::RightAnswer
    } else {
        AnswerGate::Open
    };
    let config = VideoComConfig {
        iou_threshold: params.or("iou_threshold", default.iou_threshold)?,
        share_weight: params.or("share_weight", default.share_weight)?,
        gate,
        unannotated: params.or("unannotated", default.unannotated)?,
        letter: params.or("letter", default.letter)?,
    };
    let verifier = VerifierSpec::VideoCom(config.clone()).build(&())?;
    let texts: Vec<String> = input.need("texts")?;
    let mut annotations: Map<String, Value> = input.need("annotations")?;
    let reference: String = match annotations.remove("answer") {
        Some(Value::String(text)) => text,
        _ => return Err(Fault::refused("`annotations.answer` is not a text")),
    };
    let evidence = Evidence::from_columns(&annotations)?;
    let mut task = Task::new("case", "", reference.clone());
    task.columns = annotations;
    let judged: Vec<VideoComReward> = texts
        .iter()
        .map(|text| config.judge(text, &reference, &evidence))
        .collect();
    let rewards: Result<Vec<f64>, Fault> = texts
        .iter()
        .map(
            |text| match verifier.score(&task, &Trajectory::of_reply(text, 1)) {
                Score::Value(reward) => Ok(reward),
                Score::Unscorable(reason) => Err(Fault::refused(reason)),
            },
        )
        .collect();
    let rewards = rewards?;
    let kind: String = params.or("advantage", "grpo".to_owned())?;
    let advantages = match kind.as_str() {
        "grpo" => one_group(&params, 1e-4, &rewards)?,
        "mapo" => mixed(&params, &rewards)?,
        other => return Err(Fault::refused(format!("advantage `{other}` is unknown"))),
    };
    params.finish()?;
    let column = |of: fn(&VideoComReward) -> f64| numbers(&judged.iter().map(of).collect::<Vec<_>>());
    Ok(answer([
        ("accuracy", column(|r| r.accuracy)),
        ("step_rewards", column(|r| r.share)),
        ("rewards", numbers(&rewards)),
        ("advantages", numbers(&advantages)),
    ]))
}

fn mixed(params: &Fields<'_>, rewards: &[f64]) -> Result<Vec<f64>, Fault> {
    let default = MapoConfig::default();
    let config = MapoConfig {
        success_threshold: params.or("success_threshold", default.success_threshold)?,
        std: params
            .raw("std_ddof")
            .map_or(Ok(default.std), |_| spread(params))?,
        eps: params.or("eps", default.eps)?,
    };
    let groups = Offsets::from_lengths([rewards.len()]);
    let rewards: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
    let batch = RewardBatch::new(groups.spans(), &rewards);
    match AdvantageSpec::Mapo(config).build(&())?.estimate(&batch)? {
        Advantages::Trajectory(a) => Ok(a),
        Advantages::Token(_) => Err(Fault::adapter("advantages per token")),
    }
}
