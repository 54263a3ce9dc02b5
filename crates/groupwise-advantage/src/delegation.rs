//! Batches of two agents: trajectories of a leader and of those it called.
//!
//! A group then holds trajectories of both: the leader's carry no agent or its name, a follower's carry the
//! follower's name and the `sample` number of the leader's trajectory that called it.

use std::collections::BTreeMap;

use groupwise_core::{DataError, Offsets, Spans, Trajectory};

use crate::nested::NestedRollouts;

/// Leaders and followers of a batch, as the structure group -> leaders -> followers.
///
/// # Shapes
/// `leaders` and `followers` hold trajectory numbers of the batch: leaders in the order of the batch, followers in
/// the order of their leaders and, below one leader, in the order of the batch.
///
/// # Edge cases
/// A leader without followers is an item without turns of [`NestedRollouts`].
///
/// # Errors
/// An agent that is neither of the two, two leaders of one group with the same `sample`, a follower without a leader;
/// each names group and trajectory.
///
/// # Example
/// ```
/// use groupwise_advantage::Delegation;
/// use groupwise_core::{Offsets, StopReason, Trajectory};
/// let trajectory = |agent: Option<&str>, sample| Trajectory {
///     task: 0,
///     sample,
///     agent: agent.map(Into::into),
///     prompt: [1].into(),
///     completion: vec![],
///     mask: vec![],
///     logp: vec![],
///     entropy: vec![],
///     turns: vec![],
///     version: 0,
///     stop: StopReason::EndToken,
/// };
/// let batch = [trajectory(None, 0), trajectory(None, 1), trajectory(Some("sub"), 1), trajectory(Some("sub"), 0)];
/// let groups = Offsets::from_lengths([4]);
/// let split = Delegation::of(groups.spans(), &batch, "main", "sub")?;
/// assert_eq!((split.leaders(), split.followers()), (&[0, 1][..], &[3, 2][..]));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    leaders: Vec<usize>,
    followers: Vec<usize>,
    groups: Offsets,
    calls: Offsets,
}

impl Delegation {
    /// Tells the trajectories of a batch apart by agent.
    ///
    /// # Errors
    /// See [`Delegation`]; [`DataError::Length`] if the groups do not cover the trajectories.
    pub fn of(
        groups: Spans<'_>,
        trajectories: &[Trajectory],
        leader: &str,
        follower: &str,
    ) -> Result<Self, DataError> {
        groups.check_covers("trajectories", trajectories.len())?;
        let mut out = Self {
            leaders: Vec::new(),
            followers: Vec::new(),
            groups: Offsets::default(),
            calls: Offsets::default(),
        };
        for (g, members) in groups.iter().enumerate() {
            let refuse =
                |i: usize, what: String| Err(DataError::value(format!("group {g}, trajectory {i}"), what));
            let mut called: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            let first = out.leaders.len();
            for i in members.clone() {
                let Trajectory { agent, sample, .. } = &trajectories[i];
                match agent.as_deref() {
                    Some(name) if name == follower => continue,
                    Some(name) if name != leader => {
                        return refuse(
                            i,
                            format!("agent `{name}` is neither `{leader}` nor `{follower}`"),
                        );
                    }
                    _ if called.insert(*sample, Vec::new()).is_some() => {
                        return refuse(
                            i,
                            format!("another `{leader}` of the group has sample {sample} too"),
                        );
                    }
                    _ => out.leaders.push(i),
                }
            }
            for i in members.filter(|i| trajectories[*i].agent.as_deref() == Some(follower)) {
                let sample = trajectories[i].sample;
                match called.get_mut(&sample) {
                    Some(calls) => calls.push(i),
                    None => return refuse(i, format!("no `{leader}` of the group has its sample {sample}")),
                }
            }
            out.groups.push(out.leaders.len() - first);
            for i in &out.leaders[first..] {
                let calls = called.remove(&trajectories[*i].sample).unwrap_or_default();
                out.calls.push(calls.len());
                out.followers.extend(calls);
            }
        }
        Ok(out)
    }

    /// Trajectory numbers of the leaders.
    pub fn leaders(&self) -> &[usize] {
        &self.leaders
    }

    /// Trajectory numbers of the followers, by leader.
    pub fn followers(&self) -> &[usize] {
        &self.followers
    }

    /// Group -> leaders.
    pub fn groups(&self) -> Spans<'_> {
        self.groups.spans()
    }

    /// Leader -> followers.
    pub fn calls(&self) -> Spans<'_> {
        self.calls.spans()
    }

    /// Group -> leaders -> followers.
    ///
    /// # Errors
    /// None in practice: the two levels are built together.
    pub fn nested(&self) -> Result<NestedRollouts<'_>, DataError> {
        NestedRollouts::new(self.groups.spans(), self.calls.spans())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use groupwise_core::Trajectory;

    /// A trajectory of `n` counted tokens in one turn.
    pub(crate) fn trajectory(agent: Option<&str>, sample: u64, n: usize) -> Trajectory {
        Trajectory {
            sample,
            agent: agent.map(Into::into),
            ..Trajectory::of_reply("", n)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::trajectory;
    use super::*;

    fn of(lengths: &[usize], batch: &[Trajectory]) -> Result<Delegation, DataError> {
        Delegation::of(
            Offsets::from_lengths(lengths.iter().copied()).spans(),
            batch,
            "main",
            "sub",
        )
    }

    #[test]
    fn followers_are_sorted_by_leader_and_samples_repeat_between_groups() {
        let batch = [
            trajectory(Some("sub"), 4, 1),
            trajectory(Some("main"), 4, 1),
            trajectory(None, 2, 1),
            trajectory(Some("sub"), 2, 1),
            trajectory(Some("sub"), 4, 1),
            trajectory(None, 4, 1),
            trajectory(Some("sub"), 4, 1),
        ];
        let split = of(&[5, 2], &batch).expect("valid");
        assert_eq!(split.leaders(), [1, 2, 5]);
        assert_eq!(split.followers(), [0, 4, 3, 6]);
        assert_eq!(split.groups(), Offsets::from_lengths([2, 1]).spans());
        assert_eq!(split.calls(), Offsets::from_lengths([2, 1, 1]).spans());
        assert_eq!(
            split.nested().expect("fits").items_of_groups(),
            Offsets::from_lengths([3, 1])
        );
    }

    #[test]
    fn bad_batches_are_named() {
        let refuse = |batch: &[Trajectory]| of(&[batch.len()], batch).expect_err("refused").to_string();
        assert_eq!(
            refuse(&[trajectory(None, 0, 1), trajectory(Some("judge"), 0, 1)]),
            "group 0, trajectory 1: agent `judge` is neither `main` nor `sub`"
        );
        assert_eq!(
            refuse(&[trajectory(None, 3, 1), trajectory(Some("main"), 3, 1)]),
            "group 0, trajectory 1: another `main` of the group has sample 3 too"
        );
        assert_eq!(
            refuse(&[trajectory(Some("sub"), 1, 1), trajectory(None, 0, 1)]),
            "group 0, trajectory 0: no `main` of the group has its sample 1"
        );
        assert_eq!(
            of(&[2], &[trajectory(None, 0, 1)])
                .expect_err("refused")
                .to_string(),
            "`trajectories` has 1 entries, expected 2"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_trajectory_is_found_once(calls in prop::collection::vec(prop::collection::vec(0u64..3, 0..6), 1..4)) {
            // Three leaders a group, then followers that name one of them.
            let mut batch = Vec::new();
            for group in &calls {
                batch.extend((0..3).map(|s| trajectory(None, s, 1)));
                batch.extend(group.iter().map(|s| trajectory(Some("sub"), *s, 1)));
            }
            let lengths: Vec<usize> = calls.iter().map(|c| c.len() + 3).collect();
            let split = of(&lengths, &batch)?;
            let mut all = [split.leaders(), split.followers()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..batch.len()).collect::<Vec<_>>());
            for (leader, calls) in split.leaders().iter().zip(split.calls().iter()) {
                for follower in &split.followers()[calls] {
                    prop_assert_eq!(batch[*follower].sample, batch[*leader].sample);
                }
            }
        }
    }
}
