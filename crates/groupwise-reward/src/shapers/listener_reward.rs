//! Listener reward: reasoning is paid that convinces an independent reader.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::{check_first, check_group};
use crate::listener::ListenerReward;
use crate::pairing::PaidFor;

const NAME: &str = "listener-reward";

/// Adds to the verdict what a frozen listener, having read the reasoning alone, gives the right choice.
///
/// # Formula
/// `R_i = w_format + w_acc acc_i + w_listener p_i` if member i is well formed, else 0; see [`ListenerReward`].
///
/// # Shapes
/// `acc`: the reward so far, in [0, 1]: the share of answers that are right, graded or not.  `p`: the environment's return,
/// which is the probability that the listener gives to the right choice: the environment runs the listener.  A member is
/// well formed if it has turns and the environment understood each of them.  p is logged as component `listener-reward`.
///
/// # Edge cases
/// - Badly formed: 0, whatever the environment returned.
/// - `paid_for = "shuffled"`: well-formed members are paid for the reasoning of one another, see [`PaidFor`]: the control.
/// - Unscorable: stays so, and its reasoning pays nobody.
///
/// # Errors
/// Parameters: a weight negative or not finite.  Data: an accuracy or a return outside [0, 1], named by trajectory;
/// rewards and members that differ in number; a component `listener-reward` already there.
///
/// # Source
/// "Listener-Rewarded Thinking in VLMs for Image Preferences", arXiv 2506.22832, from public summaries; see
/// [`ListenerReward`].
///
/// # Example
/// ```
/// use groupwise_reward::ShaperSpec;
/// let spec: ShaperSpec = serde_json::from_str(r#"{"listener-reward": {"w_acc": 0.25, "w_listener": 0.75}}"#)?;
/// assert_eq!(spec.formula(), "R_i = 1 + 0.25 acc_i + 0.75 p_i if well formed, else 0; p: the environment's return");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerRewardConfig {
    /// Weight of the format, >= 0.
    pub w_format: f64,
    /// Weight of the accuracy, >= 0.
    pub w_acc: f64,
    /// Weight of the listener's belief, >= 0.
    pub w_listener: f64,
    /// Whose reasoning a member is paid for.
    pub paid_for: PaidFor,
}

impl Default for ListenerRewardConfig {
    fn default() -> Self {
        Self {
            w_format: 1.0,
            w_acc: 0.5,
            w_listener: 0.5,
            paid_for: PaidFor::Own,
        }
    }
}

impl Part<dyn RewardShaper> for ListenerRewardConfig {
    const SOURCE: &'static str =
        "Listener-Rewarded Thinking, arXiv 2506.22832 (no authors' code found; gating by the format is ours)";

    fn formula(&self) -> String {
        let whose = match self.paid_for {
            PaidFor::Own => "",
            PaidFor::Shuffled => " of another member, drawn",
        };
        format!(
            "R_i = {} + {} acc_i + {} p_i if well formed, else 0; p: the environment's return{whose}",
            self.w_format, self.w_acc, self.w_listener
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        // Checks the weights of format and listener; that of the accuracy may be graded here.
        ListenerReward::new(self.w_format, self.w_acc, self.w_listener)?;
        Ok(Box::new(ListenerShaper(self.clone())))
    }
}

#[derive(Debug)]
struct ListenerShaper(ListenerRewardConfig);

impl ListenerShaper {
    /// Accuracy of a scored member, and the listener's belief if it is well formed.
    fn read(i: usize, member: &Trajectory, accuracy: f64) -> Result<(f64, Option<f64>), DataError> {
        let refuse = |what: String| Err(DataError::value(format!("trajectory {i}"), what));
        if !(0.0..=1.0).contains(&accuracy) {
            return refuse(format!("reward {accuracy}: an accuracy in [0, 1] is needed"));
        }
        if member.turns.is_empty() || member.turns.iter().any(|turn| !turn.valid) {
            return Ok((accuracy, None));
        }
        match member.environment_return() {
            p if (0.0..=1.0).contains(&p) => Ok((accuracy, Some(p))),
            p => refuse(format!(
                "return {p}: a listener's probability in [0, 1] is needed"
            )),
        }
    }
}

impl RewardShaper for ListenerShaper {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the listener would be heard twice")?;
        let mut read = Vec::with_capacity(members.len());
        for (i, (member, reward)) in members.iter().zip(&rewards.rewards).enumerate() {
            read.push(
                reward
                    .map(|accuracy| Self::read(i, member, accuracy))
                    .transpose()?,
            );
        }
        // Only members with a belief of their own are paid for one, and only theirs are paid out.
        let beliefs: Vec<Option<f64>> = read.iter().map(|r| r.and_then(|(_, p)| p)).collect();
        let heard: Vec<usize> = (0..members.len()).filter(|i| beliefs[*i].is_some()).collect();
        let order = self.0.paid_for.order(heard.iter().map(|i| &members[*i]));
        let mut paid = vec![None; members.len()];
        for (i, j) in heard.iter().zip(order) {
            paid[*i] = heard.get(j).and_then(|j| beliefs[*j]);
        }
        let ListenerRewardConfig {
            w_format,
            w_acc,
            w_listener,
            ..
        } = self.0;
        for ((reward, read), paid) in rewards.rewards.iter_mut().zip(&read).zip(&paid) {
            let Some((accuracy, _)) = read else { continue };
            *reward = Some(paid.map_or(0.0, |p| w_format + w_acc * accuracy + w_listener * p));
        }
        rewards.components.insert(NAME.to_owned(), paid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{StopReason, Turn};
    use proptest::prelude::*;

    use super::super::testing::{member, shape};
    use super::*;

    fn reply(action: &str, p: f64, valid: bool) -> Trajectory {
        let turn = |action: &str, reward, valid| Turn {
            anchor: None,
            action: action.to_owned(),
            tokens: 0..1,
            reward,
            valid,
        };
        Trajectory {
            turns: vec![turn(action, p, true), turn("answer", 0.0, valid)],
            ..member(1, 0, StopReason::Terminal)
        }
    }

    #[test]
    fn the_worked_example_and_what_cannot_be_heard() {
        let members = [
            reply("a", 0.95, true),
            reply("b", 0.2, true),
            reply("c", 0.8, true),
            reply("d", 0.1, true),
            reply("e", 0.9, false),
            reply("f", 0.9, true),
        ];
        let scores = vec![Some(1.0), Some(1.0), Some(0.0), Some(0.0), Some(1.0), None];
        let mut rewards = GroupRewards::new("exact-match", scores);
        let config = ListenerRewardConfig::default();
        shape(&config, &members, &mut rewards).unwrap();
        let expected = [Some(1.975), Some(1.6), Some(1.4), Some(1.05), Some(0.0), None];
        for (found, expected) in rewards.rewards.iter().zip(expected) {
            assert_eq!(
                found.map(|r| (r * 1e9).round()),
                expected.map(|r: f64| (r * 1e9).round())
            );
        }
        let heard = [Some(0.95), Some(0.2), Some(0.8), Some(0.1), None, None];
        assert_eq!(rewards.components[NAME], heard);
        assert_eq!(
            shape(&config, &members, &mut rewards).unwrap_err().to_string(),
            "component `listener-reward`: is already there: the listener would be heard twice"
        );
    }

    proptest! {
        #[test]
        fn shuffled_pay_is_a_permutation_among_those_heard(
            group in prop::collection::vec((0.0..=1.0f64, any::<bool>(), prop::option::of(any::<bool>())), 1..9),
            w_acc in 0.0..2.0f64, w_listener in 0.0..2.0f64,
        ) {
            let members: Vec<Trajectory> =
                group.iter().enumerate().map(|(i, (p, valid, _))| reply(&i.to_string(), *p, *valid)).collect();
            let scores: Vec<Option<f64>> = group.iter().map(|(_, _, c)| c.map(|c| f64::from(u8::from(c)))).collect();
            let run = |paid_for| {
                let config = ListenerRewardConfig { w_acc, w_listener, paid_for, ..Default::default() };
                let mut rewards = GroupRewards::new("v", scores.clone());
                shape(&config, &members, &mut rewards).map(|()| rewards)
            };
            let (own, shuffled) = (run(PaidFor::Own)?, run(PaidFor::Shuffled)?);
            let sorted = |rewards: &GroupRewards| {
                let mut heard: Vec<f64> = rewards.components[NAME].iter().flatten().copied().collect();
                heard.sort_by(f64::total_cmp);
                heard
            };
            prop_assert_eq!(sorted(&own), sorted(&shuffled));
            for (i, (p, valid, correct)) in group.iter().enumerate() {
                let expected = correct.map(|c| match valid {
                    true => 1.0 + w_acc * f64::from(u8::from(c)) + w_listener * p,
                    false => 0.0,
                });
                let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                    (a, b) => a == b,
                };
                prop_assert!(near(own.rewards[i], expected));
                let paid = shuffled.components[NAME][i];
                let expected = correct.map(|c| paid.map_or(0.0, |p| 1.0 + w_acc * f64::from(u8::from(c)) + w_listener * p));
                prop_assert!(near(shuffled.rewards[i], expected));
            }
        }
    }

    #[test]
    fn bad_parameters_and_data_are_refused() {
        let config: ListenerRewardConfig = serde_json::from_str(r#"{"w_acc": -1}"#).unwrap();
        assert_eq!(
            config.build(&()).unwrap_err().to_string(),
            "`w_acc` = -1: must be a finite number >= 0"
        );
        let refused = |p: f64, score: f64| {
            let mut rewards = GroupRewards::new("v", vec![Some(score)]);
            shape(
                &ListenerRewardConfig::default(),
                &[reply("a", p, true)],
                &mut rewards,
            )
            .unwrap_err()
            .to_string()
        };
        assert_eq!(
            refused(1.5, 1.0),
            "trajectory 0: return 1.5: a listener's probability in [0, 1] is needed"
        );
        assert_eq!(
            refused(0.5, 2.0),
            "trajectory 0: reward 2: an accuracy in [0, 1] is needed"
        );
    }
}
