//! MultiRole-R1: accuracy mixed with the diversity of the reply.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;
use crate::diversity::{TextDiversity, split_sentences};
use crate::pairing::PaidFor;

const NAME: &str = "multirole-r1";

/// Words that carry grammar rather than content, the inventory if none is given.
const FUNCTION_WORDS: [&str; 40] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "for", "from", "he", "her", "his", "i",
    "if", "in", "is", "it", "not", "of", "on", "or", "our", "she", "so", "that", "the", "their", "they",
    "this", "to", "was", "we", "were", "which", "will", "with", "you",
];

/// Mixes the accuracy of an answer with the diversity of its text.
///
/// # Formula
/// `R_i = delta acc_i + (1 - delta) div_i`; `acc`: the reward so far, `div`: mean of the eight measures of
/// [`TextDiversity`] of the last action, cut by [`split_sentences`].
///
/// # Shapes
/// Accuracy, diversity and result in [0, 1].  The diversity is logged as component `multirole-r1`.
///
/// # Edge cases
/// - `delta = 1`: the accuracy alone, GRPO.
/// - In groups that are all right or all wrong the advantages do not depend on `delta < 1` (up to eps): diversity is
///   then optimized at full strength, however small its weight.  It does move the optimum: watch for filler.
/// - A reply without a word has diversity 0, so that a run survives it; the function refuses an empty text.
/// - Unscorable: stays so.  Put this shaper first: others leave [0, 1].
/// - `paid_for = "shuffled"`: members are paid for the diversity of one another, see [`PaidFor`]: a control.
///
/// # Errors
/// Parameters: `delta` outside [0, 1]; those of [`TextDiversity`].  Data: an accuracy outside [0, 1]; rewards and members
/// that differ in number; a component `multirole-r1` already there.
///
/// # Source
/// "Diversity-Enhanced Reasoning for Subjective Questions", arXiv 2507.20187 (authors' code not available).  The paper's
/// weight 0.1 is read as `1 - delta`; how a text is cut and the inventory of function words are choices made here.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::diversity_shaped_rewards;
/// let shaped = diversity_shaped_rewards(&[1.0; 4], &[0.2, 0.5, 0.5, 0.9], 0.9)?;
/// for (r, expected) in shaped.iter().zip([0.92, 0.95, 0.95, 0.99]) {
///     assert!((r - expected).abs() < 1e-12);
/// }
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiroleR1Config {
    /// Weight of the accuracy, in [0, 1].
    pub delta: f64,
    /// Size of the inventory of sentence types, >= 2.
    pub num_types: usize,
    /// Yule's K that maps to 1/2, > 0; 1 is the variant printed in the paper.
    pub yule_scale: f64,
    /// Length of the n-grams, >= 1.
    pub ngram: usize,
    /// Inventory of function words, in lower case.
    pub function_words: Vec<String>,
    /// Whose diversity a member is paid for.
    pub paid_for: PaidFor,
}

impl Default for MultiroleR1Config {
    fn default() -> Self {
        Self {
            delta: 0.9,
            num_types: 4,
            yule_scale: 100.0,
            ngram: 2,
            function_words: FUNCTION_WORDS.map(str::to_owned).to_vec(),
            paid_for: PaidFor::Own,
        }
    }
}

/// Accuracies and diversities of a group, mixed; see [`MultiroleR1Config`] for formula and example.
///
/// # Errors
/// Different lengths; an accuracy, a diversity or `delta` outside [0, 1], named.
pub fn diversity_shaped_rewards(
    accuracies: &[f64],
    diversities: &[f64],
    delta: f64,
) -> Result<Vec<f64>, DataError> {
    DataError::check_len("diversities", diversities.len(), accuracies.len())?;
    check_delta(delta).map_err(|e| DataError::value("mixture", e.to_string()))?;
    let mixed = |(i, (accuracy, diversity)): (usize, (&f64, &f64))| {
        for (name, value) in [("accuracy", accuracy), ("diversity", diversity)] {
            if !(0.0..=1.0).contains(value) {
                let what = format!("{name} {value} is not in [0, 1]");
                return Err(DataError::value(format!("trajectory {i}"), what));
            }
        }
        Ok(mix(*accuracy, *diversity, delta))
    };
    accuracies
        .iter()
        .zip(diversities)
        .enumerate()
        .map(mixed)
        .collect()
}

fn mix(accuracy: f64, diversity: f64, delta: f64) -> f64 {
    delta * accuracy + (1.0 - delta) * diversity
}

fn check_delta(delta: f64) -> Result<(), ParamError> {
    ParamError::check((0.0..=1.0).contains(&delta), "delta", delta, "a number in [0, 1]")
}

impl Part<dyn RewardShaper> for MultiroleR1Config {
    const SOURCE: &'static str = "Diversity-Enhanced Reasoning for Subjective Questions, arXiv 2507.20187 (authors' code not available)";

    fn formula(&self) -> String {
        let Self {
            delta,
            num_types,
            yule_scale,
            ngram,
            function_words,
            paid_for,
        } = self;
        let whose = match paid_for {
            PaidFor::Own => "",
            PaidFor::Shuffled => " of another member, drawn",
        };
        format!(
            "R_i = {delta} acc_i + (1 - {delta}) div_i; div{whose}: mean of V/N, H(tokens)/ln V, variation of lengths, \
             H(types)/ln {num_types}, distance of neighbors, 1/(1 + K/{yule_scale}), distinct {ngram}-grams, \
             H(function words)/ln {}",
            function_words.len()
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        check_delta(self.delta)?;
        Ok(Box::new(MultiroleR1 {
            delta: self.delta,
            diversity: TextDiversity::new(self.num_types, self.yule_scale, self.ngram)?,
            function_words: self.function_words.clone(),
            paid_for: self.paid_for,
        }))
    }
}

#[derive(Debug)]
struct MultiroleR1 {
    delta: f64,
    diversity: TextDiversity,
    function_words: Vec<String>,
    paid_for: PaidFor,
}

impl MultiroleR1 {
    fn diversity(&self, reply: &str) -> Result<f64, DataError> {
        let (sentences, types) = split_sentences(reply);
        if sentences.is_empty() {
            return Ok(0.0);
        }
        let scores = self.diversity.scores(&sentences, &types, &self.function_words)?;
        Ok(scores.mean())
    }
}

impl RewardShaper for MultiroleR1 {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        if rewards.components.contains_key(NAME) {
            return Err(DataError::value(
                format!("component `{NAME}`"),
                "is already there: diversity would count twice",
            ));
        }
        let mut scored = Vec::new();
        for (i, member) in members.iter().enumerate() {
            let Some(accuracy) = rewards.rewards[i] else {
                continue;
            };
            if !(0.0..=1.0).contains(&accuracy) {
                let what = format!("reward {accuracy}: diversity is mixed with rewards in [0, 1]");
                return Err(DataError::value(format!("trajectory {i}"), what));
            }
            scored.push((i, accuracy, self.diversity(member.answer())?));
        }
        let mut diversities = vec![None; members.len()];
        let mut mixed = rewards.rewards.clone();
        let order = self.paid_for.order(scored.iter().map(|(i, ..)| &members[*i]));
        for ((i, accuracy, _), from) in scored.iter().zip(order) {
            let diversity = scored[from].2;
            diversities[*i] = Some(diversity);
            mixed[*i] = Some(mix(*accuracy, diversity, self.delta));
        }
        rewards.rewards = mixed;
        rewards.components.insert(NAME.to_owned(), diversities);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{StopReason, Turn, stats};
    use proptest::prelude::*;

    use super::super::testing::{member, shape};
    use super::*;

    fn reply(text: &str) -> Trajectory {
        Trajectory {
            turns: vec![Turn {
                anchor: None,
                action: text.to_owned(),
                tokens: 0..1,
                reward: 0.0,
                valid: true,
            }],
            ..member(1, 0, StopReason::EndToken)
        }
    }

    fn units() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((0.0..=1.0f64, 0.0..=1.0f64), 1..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn delta_1_is_grpo_and_delta_0_is_diversity(pairs in units()) {
            let (acc, div): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            prop_assert_eq!(&diversity_shaped_rewards(&acc, &div, 1.0)?, &acc);
            prop_assert_eq!(&diversity_shaped_rewards(&acc, &div, 0.0)?, &div);
        }

        #[test]
        fn the_variance_is_that_of_a_weighted_sum(pairs in units(), delta in 0.0..=1.0f64) {
            let (acc, div): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let mixed = diversity_shaped_rewards(&acc, &div, delta)?;
            prop_assert!(mixed.iter().all(|r| (0.0..=1.0 + 1e-12).contains(r)));
            let (mean_acc, mean_div) = (stats::mean(&acc), stats::mean(&div));
            let products: Vec<f64> = acc.iter().zip(&div).map(|(a, d)| (a - mean_acc) * (d - mean_div)).collect();
            let n = acc.len() as f64;
            let covariance = if n > 1.0 { products.iter().sum::<f64>() / (n - 1.0) } else { 0.0 };
            let expected = delta.powi(2) * stats::sample_variance(&acc)
                + (1.0 - delta).powi(2) * stats::sample_variance(&div)
                + 2.0 * delta * (1.0 - delta) * covariance;
            prop_assert!((stats::sample_variance(&mixed) - expected).abs() < 1e-12);
        }

        #[test]
        fn advantages_of_a_solved_group_do_not_depend_on_delta(
            div in prop::collection::vec(0.0..=1.0f64, 2..9), solved in any::<bool>(),
        ) {
            prop_assume!(stats::sample_std(&div) > 1e-3);
            let acc = vec![f64::from(u8::from(solved)); div.len()];
            let standardized = |delta: f64| -> Result<Vec<f64>, DataError> {
                let r = diversity_shaped_rewards(&acc, &div, delta)?;
                let (mean, std) = (stats::mean(&r), stats::sample_std(&r));
                Ok(r.iter().map(|r| (r - mean) / std).collect())
            };
            for (a, b) in standardized(0.9)?.iter().zip(standardized(0.1)?) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn replies_are_mixed_with_their_own_diversity() {
        let config = MultiroleR1Config {
            delta: 0.75,
            function_words: ["the", "a", "of", "to", "and", "is"].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let text = "The cat is here. Is the cat gone? A dog and a cat of the house.";
        let members = ["x x x x.", text, "...", "y", ""].map(reply);
        let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.0), Some(1.0), None, Some(0.5)]);
        shape(&config, &members, &mut rewards).unwrap();
        let expected = [
            Some(0.07456140350877193),
            Some(0.612221748061857),
            Some(0.0),
            None,
            Some(0.0),
        ];
        let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (a, b) => a == b,
        };
        for (i, div) in expected.into_iter().enumerate() {
            assert!(near(rewards.components["multirole-r1"][i], div), "{i}");
            let acc = rewards.components["v"][i];
            let mixed = acc.zip(div).map(|(a, d)| 0.75 * a + 0.25 * d);
            assert!(near(rewards.rewards[i], mixed), "{i}");
        }
        assert_eq!(rewards.trained, [true; 5]);
        assert_eq!(
            shape(&config, &members, &mut rewards).unwrap_err().to_string(),
            "component `multirole-r1`: is already there: diversity would count twice"
        );
    }

    #[test]
    fn shuffled_members_are_paid_for_one_another() {
        let texts = ["a b c", "a a a", "the dog", "x.", "y z!", "a? b? c d"];
        let scores = vec![Some(1.0), Some(0.0), None, Some(0.5), Some(1.0), Some(0.0)];
        let paid = |paid_for, version| {
            let members = texts.map(|text| Trajectory {
                version,
                ..reply(text)
            });
            let config = MultiroleR1Config {
                paid_for,
                ..Default::default()
            };
            let mut rewards = GroupRewards::new("v", scores.clone());
            shape(&config, &members, &mut rewards).unwrap();
            for (i, score) in scores.iter().enumerate() {
                let mixed = score
                    .zip(rewards.components[NAME][i])
                    .map(|(acc, div)| mix(acc, div, 0.9));
                assert_eq!(rewards.rewards[i], mixed);
            }
            rewards.components.remove(NAME).unwrap()
        };
        let own = paid(PaidFor::Own, 0);
        let sorted = |mut scores: Vec<Option<f64>>| {
            scores.sort_by(|a, b| a.partial_cmp(b).unwrap());
            scores
        };
        // A permutation may happen to change nothing; eight in a row do not.
        let shuffled: Vec<_> = (0..8).map(|version| paid(PaidFor::Shuffled, version)).collect();
        assert!(shuffled.iter().any(|scores| *scores != own));
        for scores in shuffled {
            assert_eq!(sorted(own.clone()), sorted(scores));
        }
    }

    #[test]
    fn every_parameter_changes_the_diversity() {
        let members = [reply("The cat. The dog, the cat? A dog of the house")];
        let of = |config: MultiroleR1Config| {
            let mut rewards = GroupRewards::new("v", vec![Some(0.0)]);
            shape(&config, &members, &mut rewards).unwrap();
            rewards.components["multirole-r1"][0].unwrap()
        };
        let default = MultiroleR1Config::default;
        let base = of(default());
        for other in [
            MultiroleR1Config {
                num_types: 8,
                ..default()
            },
            MultiroleR1Config {
                yule_scale: 1.0,
                ..default()
            },
            MultiroleR1Config {
                ngram: 1,
                ..default()
            },
            MultiroleR1Config {
                function_words: Vec::new(),
                ..default()
            },
        ] {
            assert!(of(other.clone()) < base, "{other:?}");
        }
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
        let refused = |json: &str| {
            let config: MultiroleR1Config = serde_json::from_str(json).unwrap();
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(r#"{"delta": 1.1}"#),
            "`delta` = 1.1: must be a number in [0, 1]"
        );
        assert_eq!(
            refused(r#"{"delta": -0.1}"#),
            "`delta` = -0.1: must be a number in [0, 1]"
        );
        assert_eq!(refused(r#"{"num_types": 1}"#), "`num_types` = 1: must be >= 2");
        assert_eq!(
            refused(r#"{"yule_scale": 0}"#),
            "`yule_scale` = 0: must be a finite number > 0"
        );
        assert_eq!(refused(r#"{"ngram": 0}"#), "`ngram` = 0: must be >= 1");
        let config = MultiroleR1Config {
            delta: 0.8,
            num_types: 5,
            yule_scale: 50.0,
            ngram: 3,
            function_words: vec!["a".to_owned()],
            paid_for: PaidFor::Own,
        };
        assert_eq!(
            config.formula(),
            "R_i = 0.8 acc_i + (1 - 0.8) div_i; div: mean of V/N, H(tokens)/ln V, variation of lengths, \
             H(types)/ln 5, distance of neighbors, 1/(1 + K/50), distinct 3-grams, H(function words)/ln 1"
        );
    }

    #[test]
    fn bad_data_are_refused() {
        let refused = |acc: &[f64], div: &[f64], delta| {
            diversity_shaped_rewards(acc, div, delta).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&[1.0], &[], 0.5),
            "`diversities` has 0 entries, expected 1"
        );
        assert_eq!(
            refused(&[1.0, 1.5], &[0.0, 0.0], 0.5),
            "trajectory 1: accuracy 1.5 is not in [0, 1]"
        );
        assert_eq!(
            refused(&[1.0], &[f64::NAN], 0.5),
            "trajectory 0: diversity NaN is not in [0, 1]"
        );
        assert_eq!(
            refused(&[1.0], &[0.0], f64::NAN),
            "mixture: `delta` = NaN: must be a number in [0, 1]"
        );
        let mut rewards = GroupRewards::new("v", vec![Some(0.5), Some(-1.0)]);
        let error = shape(
            &MultiroleR1Config::default(),
            &["a", "b"].map(reply),
            &mut rewards,
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "trajectory 1: reward -1: diversity is mixed with rewards in [0, 1]"
        );
        assert_eq!(rewards.rewards, [Some(0.5), Some(-1.0)]);
    }
}
