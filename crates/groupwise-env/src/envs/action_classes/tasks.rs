//! Success rates of the action classes.

use groupwise_core::{Key, Task};

use super::ActionClassesConfig;

/// One task per context.  What the policy acts on does not enter: arms are paired.
pub(super) fn generate(config: &ActionClassesConfig, states: &[String], key: Key) -> Vec<Task> {
    (0..config.n_contexts)
        .map(|context| {
            let mut rng = key.named("action-classes/rates", context as u64).rng();
            let classes: Vec<f64> = (0..config.n_classes).map(|_| rng.uniform()).collect();
            let rates: Vec<f64> = (0..config.n_actions)
                .map(|a| {
                    let own = rng.uniform();
                    (1.0 - config.spread) * classes[a % config.n_classes] + config.spread * own
                })
                .collect();
            let mean = |class: usize| {
                let members: Vec<f64> = rates
                    .iter()
                    .skip(class)
                    .step_by(config.n_classes)
                    .copied()
                    .collect();
                members.iter().sum::<f64>() / members.len() as f64
            };
            let best_class = (0..config.n_classes).map(mean).fold(0.0, f64::max);
            let best_action = rates.iter().copied().fold(0.0, f64::max);
            let mut task = Task::new(
                format!("action-classes/context-{context:04}"),
                states[context].clone(),
                "",
            );
            task.difficulty = 1.0;
            task.columns.insert("rates".into(), rates.into());
            task.columns.insert("best_action".into(), best_action.into());
            task.columns.insert("best_class".into(), best_class.into());
            task
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Part, Stream};
    use proptest::prelude::*;

    use super::super::ActOn;
    use super::*;
    use crate::WorldContext;

    fn rates(task: &Task) -> Vec<f64> {
        let values = task.columns["rates"].as_array().unwrap();
        values.iter().map(|v| v.as_f64().unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn members_of_a_class_differ_by_the_spread_at_most(
            seed in any::<u64>(), classes in 2..9usize, size in 1..5usize, spread in 0.0..=1.0f64,
        ) {
            let config = ActionClassesConfig { n_classes: classes, n_actions: classes * size, spread, ..Default::default() };
            let key = Key::new(seed, Stream::Tasks);
            let tasks = |act_on| {
                let config = ActionClassesConfig { act_on, ..config.clone() };
                config.build(&WorldContext::default()).unwrap().train_tasks(key).unwrap()
            };
            prop_assert_eq!(tasks(ActOn::Actions), tasks(ActOn::Classes));
            for task in tasks(ActOn::Actions) {
                let rates = rates(&task);
                prop_assert!(rates.iter().all(|r| (0.0..=1.0).contains(r)));
                for (a, rate) in rates.iter().enumerate() {
                    prop_assert!((rate - rates[a % classes]).abs() <= spread + 1e-12);
                }
                let number = |name: &str| task.columns[name].as_f64().unwrap();
                prop_assert!(number("best_class") <= number("best_action") + 1e-12);
                prop_assert!(rates.contains(&number("best_action")));
            }
        }
    }
}
