//! ARPO: past successes put into groups that failed.

use groupwise_core::seams::{GroupRepair, Placement, Repair, RolledGroup, Substitute};
use groupwise_core::{DataError, Key, ParamError, Part, State, Trajectory};
use serde::{Deserialize, Serialize};

use super::RepairContext;
use crate::replay::{Episode, ReplayBuffer, ReplayConfig};

/// Old log-probabilities of a replayed episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OldLogp {
    /// Those of the weights the update starts from: the ratio begins at 1, without a correction for the age.
    #[default]
    Recomputed,
    /// Those it was sampled with: an ablation.
    Stored,
}

/// One stored success of the task in the place of the first scorable member of a group that failed.
///
/// # Formula
/// If `std_population(o) < std_max` and `mean(o) < mean_max`, o the verifier scores of the group, and the task has
/// stored episodes: number `floor(u size)` of them replaces the first scorable member.  At the end of a step every fresh
/// episode with `o > insert_above` is stored, the oldest of more than `buffer_size` dropped.
///
/// # Shapes
/// Scores in [0, 1]; `max_age` in training steps.
///
/// # Edge cases
/// - A success is available from the next step on; replayed copies are not stored again.
/// - Unscorable members are in no statistic and are not replaced.
/// - The replayed episode is scored and shaped anew, which gives what it had: both are pure.
///
/// # Errors
/// See [`ReplayBuffer`]; a score outside [0, 1].
///
/// # Source
/// ARPO, arXiv 2505.16282; dvlab-research/ARPO @7489ae30, `verl/trainer/replay_buffer.py` and `ray_trainer.py`.
///
/// # Example
/// ```
/// use groupwise_sampler::RepairSpec;
/// let spec: RepairSpec = serde_json::from_str(r#"{"arpo-replay": {"buffer_size": 1, "old_logp": "stored"}}"#)?;
/// assert_eq!(spec.name(), "arpo-replay");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArpoReplayConfig {
    /// Episodes kept per task, >= 1.
    pub buffer_size: usize,
    /// Score that an episode must exceed to be kept, in [0, 1).
    pub insert_above: f64,
    /// Population standard deviation of the scores below which a group can count as failed, > 0.
    pub std_max: f64,
    /// Mean score below which a group can count as failed, > 0.
    pub mean_max: f64,
    /// Steps after which a stored episode is dropped, >= 1; none: never.
    pub max_age: Option<u64>,
    /// Old log-probabilities of a replayed episode.
    pub old_logp: OldLogp,
}

impl Default for ArpoReplayConfig {
    fn default() -> Self {
        let ReplayConfig {
            buffer_size,
            insert_above,
            std_max,
            mean_max,
            max_age,
        } = ReplayConfig::default();
        Self {
            buffer_size,
            insert_above,
            std_max,
            mean_max,
            max_age,
            old_logp: OldLogp::default(),
        }
    }
}

impl Part<dyn GroupRepair, RepairContext> for ArpoReplayConfig {
    const SOURCE: &'static str =
        "arXiv 2505.16282 (ARPO); dvlab-research/ARPO @7489ae30, verl/trainer/ray_trainer.py";

    fn formula(&self) -> String {
        let logp = match self.old_logp {
            OldLogp::Recomputed => "recomputed",
            OldLogp::Stored => "stored",
        };
        format!(
            "std(o) < {} and mean(o) < {}: o_1 = one of the last {} episodes of the task with o > {}, old log-probabilities {logp}",
            self.std_max, self.mean_max, self.buffer_size, self.insert_above
        )
    }

    fn build(&self, _: &RepairContext) -> Result<Box<dyn GroupRepair>, ParamError> {
        let buffer = ReplayBuffer::new(ReplayConfig {
            buffer_size: self.buffer_size,
            insert_above: self.insert_above,
            std_max: self.std_max,
            mean_max: self.mean_max,
            max_age: self.max_age,
        })?;
        let rescore = self.old_logp == OldLogp::Recomputed;
        Ok(Box::new(ArpoReplay { buffer, rescore }))
    }
}

#[derive(Debug)]
struct ArpoReplay {
    buffer: ReplayBuffer<Trajectory>,
    rescore: bool,
}

fn check(group: &RolledGroup<'_>) -> Result<(), DataError> {
    DataError::check_len("members", group.members.len(), group.outcome.rewards.len())?;
    match group
        .outcome
        .rewards
        .iter()
        .flatten()
        .find(|o| !(0.0..=1.0).contains(*o))
    {
        None => Ok(()),
        Some(o) => Err(DataError::value(
            format!("task {}", group.task.id),
            format!("score {o} is outside [0, 1], which replay needs"),
        )),
    }
}

impl GroupRepair for ArpoReplay {
    fn repair(
        &mut self,
        step: u64,
        groups: &[RolledGroup<'_>],
        key: Key,
    ) -> Result<Vec<Option<Repair>>, DataError> {
        self.buffer.begin(step)?;
        let mut out = Vec::with_capacity(groups.len());
        for (g, group) in (0..).zip(groups) {
            check(group)?;
            let uniform = key.task(group.task.key()).named("replay", g).uniform();
            let first = group.outcome.rewards.iter().position(Option::is_some);
            let drawn = self
                .buffer
                .draw(step, &group.task.id, &group.outcome.scored(), uniform);
            out.push(first.zip(drawn).map(|(first, (episode, _))| Repair {
                placement: Placement::Replace(first),
                substitute: Substitute::Episode {
                    trajectory: Box::new(episode.content.clone()),
                    rescore: self.rescore,
                },
            }));
        }
        Ok(out)
    }

    fn observe(&mut self, step: u64, groups: &[RolledGroup<'_>]) -> Result<(), DataError> {
        self.buffer.begin(step)?;
        for group in groups {
            check(group)?;
            for (member, score) in group.members.iter().zip(&group.outcome.rewards) {
                let Some(outcome) = score.filter(|o| self.buffer.keeps(*o)) else {
                    continue;
                };
                let episode = Episode {
                    content: member.clone(),
                    outcome,
                    format: true,
                };
                self.buffer.store(step, &group.task.id, episode);
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<State, DataError> {
        self.buffer.save()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        self.buffer.load(state)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Task;
    use proptest::prelude::*;

    use super::super::testing::put;
    use super::*;

    fn built(config: &ArpoReplayConfig) -> Box<dyn GroupRepair> {
        config.build(&RepairContext { steps: 9 }).unwrap()
    }

    /// Placement and answer of what goes into each group.
    fn answers(repairs: &[Option<Repair>]) -> Vec<Option<(Placement, String)>> {
        let answer = |r: &Repair| match &r.substitute {
            Substitute::Episode { trajectory, .. } => (r.placement, trajectory.answer().to_owned()),
            other => panic!("{other:?}"),
        };
        repairs.iter().map(|r| r.as_ref().map(answer)).collect()
    }

    #[test]
    fn a_success_helps_from_the_next_step_on() {
        let mut repair = built(&ArpoReplayConfig::default());
        let (a, b) = (Task::new("a", "", ""), Task::new("b", "", ""));
        let (won, lost): (&[_], &[_]) = (&[Some(0.0), Some(1.0)], &[None, Some(0.0), Some(0.0)]);
        let first = put(repair.as_mut(), 1, &[(&a, won), (&a, lost), (&b, lost)]).unwrap();
        assert_eq!(answers(&first), [None, None, None]);
        let second = put(repair.as_mut(), 2, &[(&a, won), (&a, lost), (&b, lost)]).unwrap();
        let replayed = (Placement::Replace(1), "a1".to_owned());
        assert_eq!(answers(&second), [None, Some(replayed), None]);
    }

    #[test]
    fn old_log_probabilities_are_recomputed_unless_the_stored_ones_are_asked_for() {
        let task = Task::new("a", "", "");
        for (old_logp, expected) in [(OldLogp::Recomputed, true), (OldLogp::Stored, false)] {
            let mut repair = built(&ArpoReplayConfig {
                old_logp,
                ..ArpoReplayConfig::default()
            });
            put(repair.as_mut(), 1, &[(&task, &[Some(1.0)])]).unwrap();
            let repairs = put(repair.as_mut(), 2, &[(&task, &[Some(0.0)])]).unwrap();
            let Some(Repair {
                substitute: Substitute::Episode { rescore, .. },
                ..
            }) = &repairs[0]
            else {
                panic!("{repairs:?}")
            };
            assert_eq!(*rescore, expected);
        }
    }

    #[test]
    fn bad_parameters_and_scores_are_refused_by_name() {
        let refused = |config: ArpoReplayConfig| {
            let built = config.build(&RepairContext { steps: 9 });
            built.map(|_| ()).unwrap_err().to_string()
        };
        let base = ArpoReplayConfig::default;
        assert_eq!(
            refused(ArpoReplayConfig {
                buffer_size: 0,
                ..base()
            }),
            "`buffer_size` = 0: must be >= 1"
        );
        assert_eq!(
            refused(ArpoReplayConfig {
                insert_above: 1.0,
                ..base()
            }),
            "`insert_above` = 1: must be in [0, 1)"
        );
        let task = Task::new("a", "", "");
        let refused = put(built(&base()).as_mut(), 1, &[(&task, &[Some(1.5)])]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "task a: score 1.5 is outside [0, 1], which replay needs"
        );
    }

    proptest! {
        #[test]
        fn a_loaded_buffer_goes_on_like_the_saved_one(
            steps in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.3), 2), 2..8),
            cut in 0usize..8,
        ) {
            let task = Task::new("a", "", "");
            let mut whole = built(&ArpoReplayConfig { buffer_size: 2, max_age: Some(3), ..ArpoReplayConfig::default() });
            let mut resumed: Option<Box<dyn GroupRepair>> = None;
            for (step, wins) in (1..).zip(&steps) {
                if step as usize == cut + 1 {
                    let mut fresh =
                        built(&ArpoReplayConfig { buffer_size: 2, max_age: Some(3), ..ArpoReplayConfig::default() });
                    fresh.load(&whole.save().unwrap()).unwrap();
                    resumed = Some(fresh);
                }
                let scores: Vec<Option<f64>> = wins.iter().map(|w| Some(f64::from(u8::from(*w)))).collect();
                let expected = put(whole.as_mut(), step, &[(&task, &scores)]).unwrap();
                let at_most_one_in_a_failed_group = expected[0].is_none() || !wins.contains(&true);
                prop_assert!(at_most_one_in_a_failed_group);
                if let Some(resumed) = &mut resumed {
                    prop_assert_eq!(put(resumed.as_mut(), step, &[(&task, &scores)]).unwrap(), expected);
                    prop_assert_eq!(resumed.save().unwrap(), whole.save().unwrap());
                }
            }
        }
    }
}
