//! Whose score a member of a group is paid: a control for rewards that come from a second judge.

use groupwise_core::key::hash_str;
use groupwise_core::{Key, Stream, Trajectory};
use serde::{Deserialize, Serialize};

/// Whose score a member is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaidFor {
    /// Its own.
    #[default]
    Own,
    /// That of a member of its group by a random permutation: a control with the same spread and without the link.
    Shuffled,
}

impl PaidFor {
    /// For each member of a group, the member whose score it is paid.
    ///
    /// # Formula
    /// `own`: i.  `shuffled`: `pi(i)`, pi a permutation keyed by version, task and actions of all members.
    ///
    /// # Shapes
    /// As many entries as members, each member once: sum and spread of a group stay what they were.
    ///
    /// # Edge cases
    /// Fixed points of pi are kept on purpose: then `E s_pi(i)` is the group's mean whatever `s_i` is, so that a centred
    /// score has no correlation with the member's own; without them it would have one of `-1 / (n - 1)`.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Trajectory;
    /// use groupwise_reward::pairing::PaidFor;
    /// let group = ["a", "b", "c"].map(|text| Trajectory::of_reply(text, 1));
    /// assert_eq!(PaidFor::Own.order(group.iter()), [0, 1, 2]);
    /// let mut order = PaidFor::Shuffled.order(group.iter());
    /// order.sort();
    /// assert_eq!(order, [0, 1, 2]);
    /// ```
    pub fn order<'a>(self, members: impl ExactSizeIterator<Item = &'a Trajectory>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        if self == Self::Shuffled {
            let mut key = Key::new(0, Stream::Auxiliary);
            for (i, member) in (0..).zip(members) {
                key = key
                    .named("paid-for", i)
                    .task(member.task as u64)
                    .step(member.version);
                for turn in &member.turns {
                    key = key.turn(hash_str(&turn.action));
                }
            }
            key.rng().shuffle(&mut order);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(version: u64) -> Vec<Trajectory> {
        let member = |text| Trajectory {
            version,
            ..Trajectory::of_reply(text, 1)
        };
        ["a", "b", "a", "c"].map(member).to_vec()
    }

    #[test]
    fn every_member_is_paid_each_score_equally_often() {
        // Chi-square over 4 x 4 cells with margins fixed, 9 degrees of freedom: 27.9 at alpha 0.001.
        let n = 4000;
        let mut counts = [[0.0; 4]; 4];
        for version in 0..n {
            let order = PaidFor::Shuffled.order(group(version).iter());
            assert_eq!(order, PaidFor::Shuffled.order(group(version).iter()));
            for (i, j) in order.into_iter().enumerate() {
                counts[i][j] += 1.0;
            }
        }
        let mean = n as f64 / 4.0;
        let chi: f64 = counts
            .iter()
            .flatten()
            .map(|c: &f64| (c - mean).powi(2) / mean)
            .sum();
        assert!(chi < 27.9, "{chi}");
    }

    #[test]
    fn what_a_group_wrote_and_where_decides_the_order() {
        let orders = |change: fn(&mut Trajectory)| -> Vec<Vec<usize>> {
            (0..20)
                .map(|version| {
                    let mut members = group(version);
                    change(&mut members[3]);
                    PaidFor::Shuffled.order(members.iter())
                })
                .collect()
        };
        let plain = orders(|_| {});
        assert_ne!(plain, orders(|member| member.task = 1));
        assert_ne!(plain, orders(|member| member.turns[0].action.push('!')));
        assert!(PaidFor::Shuffled.order([].iter()).is_empty());
    }
}
