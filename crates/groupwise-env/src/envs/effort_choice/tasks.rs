//! Prompts and needs of the effort choice.

use groupwise_core::{Key, Task};

use super::{Demand, EffortChoiceConfig};

/// Every prompt, stratum by stratum.
pub(super) fn prompts(config: &EffortChoiceConfig) -> Vec<String> {
    let of = |s: &super::Stratum| {
        (0..s.n_tasks)
            .map(|i| format!("{}-{i}", s.name))
            .collect::<Vec<_>>()
    };
    config.strata.iter().flat_map(of).collect()
}

/// Probability that an answer of this level is right.
pub(super) fn rate(config: &EffortChoiceConfig, demand: &Demand, level: usize) -> f64 {
    let stratum = &config.strata[demand.stratum];
    if level >= demand.need {
        stratum.enough
    } else {
        stratum.short
    }
}

/// One task per prompt, with the success rate of every action as column; filler answers nothing.
pub(super) fn generate(config: &EffortChoiceConfig, n_actions: usize, key: Key) -> Vec<Task> {
    let mut all = Vec::new();
    for (stratum, kind) in config.strata.iter().enumerate() {
        for i in 0..kind.n_tasks {
            let mut rng = key.named("effort-choice/need", all.len() as u64).rng();
            let need = kind.min_need + rng.below((kind.max_need - kind.min_need) as u64 + 1) as usize;
            let demand = Demand { stratum, need };
            let mut rates: Vec<f64> = config.levels.iter().map(|l| rate(config, &demand, *l)).collect();
            let best = rates.iter().copied().fold(0.0, f64::max);
            rates.resize(n_actions, 0.0);
            let prompt = format!("{}-{i}", kind.name);
            let mut task = Task::new(format!("effort-choice/{}-{i:04}", kind.name), prompt, "");
            task.difficulty = need as f64;
            task.columns.insert("stratum".into(), stratum.into());
            task.columns.insert("need".into(), need.into());
            task.columns.insert("rates".into(), rates.into());
            task.columns.insert("best_action".into(), best.into());
            all.push(task);
        }
    }
    all
}
