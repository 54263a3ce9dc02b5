//! Sampling from the table.

use groupwise_core::seams::{Continuation, Member, Policy, PolicyError, Prefix, Sampling};
use groupwise_core::{DataError, StopReason};

use crate::table::{Shared, Softmax, Table, check_temperature};

/// The table as a policy: looks at the last token, a state, and draws one action.
///
/// A turn is exactly one token: [`Policy::end_token`] is `None` and every continuation stops with
/// [`StopReason::EndToken`].  The action is the inverse of the cumulative distribution at `key.token(0).uniform()`,
/// so two tables that differ little pick the same actions under the same keys.
#[derive(Debug)]
pub struct TabularPolicy {
    shared: Shared,
}

impl TabularPolicy {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    fn extend_one(
        &self,
        table: &Table,
        softmax: &mut Softmax,
        shared: &[u32],
        member: &Member,
        sampling: &Sampling,
    ) -> Result<Continuation, PolicyError> {
        let words = &self.shared.words;
        let last = member.tail.last().or(shared.last()).copied();
        let state = last.and_then(|token| words.state(token)).ok_or_else(|| {
            let found = last.and_then(|token| words.word(token)).unwrap_or("nothing");
            DataError::value("prefix", format!("ends with {found:?}, not with a state"))
        })?;
        softmax.set(state, table.row(state), sampling.temperature);
        let action = if sampling.greedy {
            softmax.argmax()
        } else {
            softmax.invert(member.key.token(0).uniform())
        };
        Ok(Continuation {
            tokens: vec![words.action_token(action)],
            logp: vec![softmax.logp[action]],
            entropy: vec![softmax.entropy],
            stop: StopReason::EndToken,
        })
    }
}

impl Policy for TabularPolicy {
    /// Words, separated by white space.
    fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        let token = |word: &str| {
            self.shared
                .words
                .token(word)
                .ok_or_else(|| PolicyError::Vocabulary {
                    symbol: word.into(),
                    text: text.into(),
                })
        };
        text.split_whitespace().map(token).collect()
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let words: Vec<&str> = tokens
            .iter()
            .filter_map(|token| self.shared.words.word(*token))
            .collect();
        words.join(" ")
    }

    fn end_token(&self) -> Option<u32> {
        None
    }

    fn extend(
        &mut self,
        prefixes: &[Prefix<'_>],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Continuation>>, PolicyError> {
        check_temperature(sampling.temperature)?;
        if sampling.max_new_tokens == 0 {
            return Err(DataError::value("max_new_tokens", "is 0, must be >= 1").into());
        }
        let table = self.shared.read();
        let mut softmax = Softmax::default();
        let mut groups = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let members = prefix.members.iter();
            let extended = members.map(|m| self.extend_one(&table, &mut softmax, prefix.shared, m, sampling));
            groups.push(extended.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(groups)
    }

    /// At temperature 1.
    fn action_probabilities(&self, observation: &str) -> Option<Vec<f64>> {
        let words = &self.shared.words;
        let state = words.token(observation).and_then(|token| words.state(token))?;
        let mut softmax = Softmax::default();
        softmax.set(state, self.shared.read().row(state), 1.0);
        Some(softmax.logp.iter().map(|logp| logp.exp()).collect())
    }

    fn version(&self) -> u64 {
        self.shared.read().version
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::seams::Symbols;
    use groupwise_core::{Key, Stream};
    use proptest::prelude::*;

    use super::*;
    use crate::{TabularConfig, pair};

    const SAMPLING: Sampling = Sampling {
        temperature: 1.0,
        max_new_tokens: 1,
        greedy: false,
    };

    fn policy(logits: Vec<Vec<f64>>) -> TabularPolicy {
        let names = |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect();
        let symbols = Symbols::Words {
            states: names('s', logits.len()),
            actions: names('o', logits[0].len()),
        };
        pair(
            &TabularConfig::default(),
            &symbols,
            Some(logits),
            Key::new(0, Stream::Init),
        )
        .unwrap()
        .0
    }

    fn member(sample: u64, tail: &[u32]) -> Member {
        Member {
            tail: tail.to_vec(),
            key: Key::new(1, Stream::Rollout).sample(sample).turn(0),
        }
    }

    #[test]
    fn words_are_tokens() {
        let policy = policy(vec![vec![0.0; 2]; 3]);
        assert_eq!(policy.encode("s2").unwrap(), [2]);
        assert_eq!(policy.encode(" s0 o1\n").unwrap(), [0, 4]);
        assert_eq!(policy.decode(&[0, 4, 99]), "s0 o1");
        assert_eq!(policy.end_token(), None);
        assert_eq!(
            policy.encode("s0 s9").unwrap_err().to_string(),
            "the vocabulary has no token for \"s9\" in \"s0 s9\""
        );
    }

    #[test]
    fn the_last_token_is_the_state() {
        let mut policy = policy(vec![vec![0.0, 9.0], vec![9.0, 0.0]]);
        let greedy = Sampling {
            greedy: true,
            ..SAMPLING
        };
        let members = vec![member(0, &[]), member(0, &[3, 1]), member(0, &[2, 0])];
        let found = policy
            .extend(
                &[Prefix {
                    shared: &[0],
                    members,
                }],
                &greedy,
            )
            .unwrap();
        let tokens: Vec<u32> = found[0].iter().map(|c| c.tokens[0]).collect();
        assert_eq!(tokens, [3, 2, 3]);
        assert_eq!(
            (found[0][0].tokens.len(), found[0][0].stop),
            (1, StopReason::EndToken)
        );
        let mut refuse = |shared: &[u32], sampling: &Sampling| {
            let prefix = Prefix {
                shared,
                members: vec![member(0, &[])],
            };
            policy.extend(&[prefix], sampling).unwrap_err().to_string()
        };
        assert_eq!(
            refuse(&[], &SAMPLING),
            "prefix: ends with \"nothing\", not with a state"
        );
        assert_eq!(
            refuse(&[0, 2], &SAMPLING),
            "prefix: ends with \"o0\", not with a state"
        );
        let none = Sampling {
            max_new_tokens: 0,
            ..SAMPLING
        };
        assert_eq!(refuse(&[0], &none), "max_new_tokens: is 0, must be >= 1");
        let cold = Sampling {
            temperature: f64::NAN,
            ..SAMPLING
        };
        assert_eq!(
            refuse(&[0], &cold),
            "temperature: is NaN, must be a finite number > 0"
        );
    }

    proptest! {
        #[test]
        fn neighbors_change_nothing(
            logits in prop::collection::vec(prop::collection::vec(-3.0..3.0f64, 3), 4),
            states in prop::collection::vec(0..4u32, 1..20),
        ) {
            let mut policy = policy(logits);
            let members = |i: usize| vec![member(i as u64, &[]), member(i as u64 + 100, &[4, 2])];
            let prefixes: Vec<Prefix<'_>> = states
                .chunks(1)
                .enumerate()
                .map(|(i, state)| Prefix { shared: state, members: members(i) })
                .collect();
            let together = policy.extend(&prefixes, &SAMPLING).unwrap();
            for (prefix, group) in prefixes.iter().zip(&together) {
                for (one, found) in prefix.members.iter().zip(group) {
                    let alone = Prefix { shared: prefix.shared, members: vec![one.clone()] };
                    prop_assert_eq!(&policy.extend(&[alone], &SAMPLING).unwrap()[0][0], found);
                }
            }
        }
    }

    #[test]
    fn sampled_actions_follow_their_law() {
        // Chi-square with 4 degrees of freedom at alpha 0.001: 18.47; at two temperatures.
        let logits = vec![0.3, -1.0, 1.2, 0.0, -0.4];
        let mut policy = policy(vec![vec![0.0; 5], logits.clone()]);
        let n = 20_000;
        for temperature in [1.0, 0.6] {
            let members = (0..n).map(|sample| member(sample, &[])).collect();
            let sampling = Sampling {
                temperature,
                ..SAMPLING
            };
            let found = policy
                .extend(
                    &[Prefix {
                        shared: &[1],
                        members,
                    }],
                    &sampling,
                )
                .unwrap();
            let mut counts = [0.0; 5];
            found[0]
                .iter()
                .for_each(|c| counts[c.tokens[0] as usize - 2] += 1.0);
            let total: f64 = logits.iter().map(|x| (x / temperature).exp()).sum();
            let expected = logits.iter().map(|x| (x / temperature).exp() / total * n as f64);
            let chi: f64 = counts
                .iter()
                .zip(expected)
                .map(|(c, e)| (c - e).powi(2) / e)
                .sum();
            assert!(chi < 18.47, "chi-square {chi} at temperature {temperature}");
        }
    }

    #[test]
    fn draws_are_pinned() {
        let mut policy = policy(vec![vec![0.0; 6]]);
        let members = (0..12).map(|sample| member(sample, &[])).collect();
        let found = policy
            .extend(
                &[Prefix {
                    shared: &[0],
                    members,
                }],
                &SAMPLING,
            )
            .unwrap();
        let tokens: Vec<u32> = found[0].iter().map(|c| c.tokens[0] - 1).collect();
        // Value stability: a change here changes every tabular run ever made.
        assert_eq!(tokens, [1, 5, 1, 3, 2, 0, 0, 4, 4, 2, 1, 1]);
    }
}
