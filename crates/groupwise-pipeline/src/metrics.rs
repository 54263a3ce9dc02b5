//! Figures of a step, in TRL's vocabulary.

use std::collections::BTreeMap;

use groupwise_core::event::BillKind;
use groupwise_core::stats;

use crate::generate::{Generated, Group};

/// Named figures; one that is not finite is left out, so that a log line is always valid JSON.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

/// Mean, NaN for nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    stats::mean(values)
}

impl Metrics {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        if value.is_finite() {
            self.0.insert(name.into(), value);
        }
    }

    /// `<prefix>/{mean,min,max}<suffix>` of the values.
    pub(crate) fn spread(&mut self, prefix: &str, suffix: &str, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        self.set(format!("{prefix}/mean{suffix}"), mean(values));
        self.set(
            format!("{prefix}/min{suffix}"),
            values.iter().copied().fold(f64::INFINITY, f64::min),
        );
        self.set(
            format!("{prefix}/max{suffix}"),
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        );
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, f64> {
        self.0
    }

    /// What generation tells: rewards, lengths, group sizes, shares of groups without a gradient.
    ///
    /// Rewards and lengths are those of the groups that enter the update; `effective_gradient_ratio` is the share
    /// of *all* rollouts of the step, discarded ones included, that lie in a group with more than one reward.
    pub(crate) fn record_groups(&mut self, generated: &Generated) {
        let groups = &generated.groups;
        let kept: Vec<&Group> = groups.iter().filter(|g| g.kind != BillKind::Discarded).collect();
        let scored = |g: &Group| -> Vec<f64> { g.rewards.rewards.iter().flatten().copied().collect() };
        let rewards: Vec<f64> = kept.iter().flat_map(|g| scored(g)).collect();
        self.set("reward", mean(&rewards));
        let stds: Vec<f64> = kept.iter().map(|g| stats::sample_std(&scored(g))).collect();
        self.set("reward_std", mean(&stds));
        let flat: Vec<f64> = kept
            .iter()
            .map(|g| f64::from(u8::from(stats::is_constant(&scored(g)))))
            .collect();
        self.set("frac_reward_zero_std", mean(&flat));
        let all: usize = groups.iter().map(|g| g.members.len()).sum();
        let mixed: usize = groups
            .iter()
            .filter(|g| !stats::is_constant(&scored(g)))
            .map(|g| g.members.len())
            .sum();
        self.set("effective_gradient_ratio", mixed as f64 / all as f64);
        self.components(&kept);
        self.lengths(&kept);
        let sizes: Vec<f64> = kept.iter().map(|g| g.members.len() as f64).collect();
        self.spread("group_size", "", &sizes);
        let unscorable: usize = groups
            .iter()
            .map(|g| g.outcome.rewards.iter().filter(|r| r.is_none()).count())
            .sum();
        self.set("rollouts/unscorable", unscorable as f64);
        self.set(
            "rollouts/aborted",
            groups.iter().map(|g| g.n_aborted).sum::<usize>() as f64,
        );
        self.repairs(generated, &kept);
        self.set("rollouts/unspent", f64::from(generated.unspent));
        self.set("rollouts/surplus", f64::from(generated.surplus));
    }

    /// What was put into groups: share of the groups that train with it, and its mean reward.
    fn repairs(&mut self, generated: &Generated, kept: &[&Group]) {
        let rewards: Vec<f64> = kept
            .iter()
            .filter_map(|g| g.rewards.rewards[g.injected.as_ref()?.index])
            .collect();
        if !rewards.is_empty() {
            let share = rewards.len() as f64 / kept.len() as f64;
            self.set("repair/share", share);
            self.set("repair/reward/mean", mean(&rewards));
        }
        let tried: u64 = generated.searches.iter().map(Group::n_rollouts).sum();
        if tried > 0 {
            self.set("repair/rollouts", tried as f64);
        }
    }

    fn components(&mut self, kept: &[&Group]) {
        let mut by_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for group in kept {
            for (name, values) in &group.rewards.components {
                by_name.entry(name).or_default().extend(values.iter().flatten());
            }
        }
        for (name, values) in by_name {
            self.set(format!("rewards/{name}/mean"), mean(&values));
            self.set(format!("rewards/{name}/std"), stats::sample_std(&values));
        }
    }

    fn lengths(&mut self, kept: &[&Group]) {
        let members = || kept.iter().flat_map(|g| &g.members);
        let lengths: Vec<f64> = members().map(|m| m.n_policy_tokens() as f64).collect();
        let ended: Vec<f64> = members()
            .filter(|m| !m.stop.is_truncation())
            .map(|m| m.n_policy_tokens() as f64)
            .collect();
        let names = |kind: &str| {
            [("mean", mean as fn(&[f64]) -> f64), ("min", low), ("max", high)]
                .map(|(stat, f)| (format!("completions/{stat}_{kind}length"), f))
        };
        for (kind, values) in [("", &lengths), ("terminated_", &ended)] {
            for (name, figure) in names(kind) {
                self.set(name, figure(values));
            }
        }
        self.set(
            "completions/clipped_ratio",
            1.0 - ended.len() as f64 / lengths.len() as f64,
        );
    }
}

fn low(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn high(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
