//! Rule labels: what rules say about a text, one component each.

use std::collections::BTreeMap;

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::{check_first, check_group};

/// One label: it holds where all of its conditions do.
///
/// A condition that is left empty always holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelRule {
    /// Name of the component.
    pub name: String,
    /// The first word is one of these.
    pub first: Vec<String>,
    /// The last word is one of these.
    pub last: Vec<String>,
    /// Some word is what this column of the task holds.
    pub mentions: Option<String>,
    /// Some word of `pair` stands directly in front of one of `pair_with`.
    pub pair: Vec<String>,
    /// See `pair`.
    pub pair_with: Vec<String>,
    /// No word is one of these.
    pub without: Vec<String>,
}

impl LabelRule {
    /// True if every condition holds; see the type.
    ///
    /// # Errors
    /// A task without a text in the column `mentions`.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Task;
    /// use groupwise_reward::shapers::LabelRule;
    /// let rule: LabelRule = serde_json::from_str(r#"{"first": ["hi"], "pair": ["open"], "pair_with": ["door", "box"]}"#)?;
    /// let task = Task::new("t", "", "");
    /// assert_eq!(rule.holds(&task, &["hi", "open", "box"]), Ok(true));
    /// assert_eq!(rule.holds(&task, &["hi", "box", "open"]), Ok(false));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn holds(&self, task: &Task, words: &[&str]) -> Result<bool, DataError> {
        let among = |list: &[String], word: &str| list.iter().any(|w| w == word);
        let stands = |list: &[String], word: Option<&&str>| {
            list.is_empty() || word.is_some_and(|word| among(list, word))
        };
        let mentioned = match &self.mentions {
            None => true,
            Some(column) => {
                let asked = task.columns.get(column).and_then(serde_json::Value::as_str);
                let asked = asked.ok_or_else(|| {
                    let what = format!("column `{column}` of label `{}` is no text", self.name);
                    DataError::value(format!("task {}", task.id), what)
                })?;
                words.contains(&asked)
            }
        };
        let pair = |two: &[&str]| among(&self.pair, two[0]) && among(&self.pair_with, two[1]);
        let paired = self.pair.is_empty() || words.windows(2).any(pair);
        Ok(mentioned
            && paired
            && stands(&self.first, words.first())
            && stands(&self.last, words.last())
            && !words.iter().any(|word| among(&self.without, word)))
    }
}

/// Labels of a text by rules, as components for a shaper that combines them.
///
/// # Formula
/// `s_ki = scale_k [every condition of label k holds for the text of member i]`; see [`LabelRule`].
///
/// # Shapes
/// The text is every action of the episode, in order, cut into words at white space.  A label is logged as the component of
/// its name.  Rewards stay what they are.
///
/// # Edge cases
/// - No word: conditions on the first, the last, a mentioned word or a pair fail, `without` holds.
/// - Unscorable member: no labels.
///
/// # Errors
/// Parameters: no label; a label without a name, or twice; a scale that is not finite, or of no label; `pair` without `pair_with`, or
/// the reverse.  Data: a task without the column that a label mentions; rewards and members that differ in number; a
/// component of that name already there.
///
/// # Source
/// The rule-based gold labels that a miniature of Multi-Objective GRPO, arXiv 2503.21819, is judged by; its labels come from
/// a learned model.  The rules are ours.
///
/// # Example
/// ```
/// use groupwise_reward::ShaperSpec;
/// let json = r#"{"rule-labels": {"labels": [{"name": "safe", "without": ["knife"]}], "scales": {"safe": 10}}}"#;
/// let spec: ShaperSpec = serde_json::from_str(json)?;
/// assert_eq!(spec.formula(), "components: safe = 10 [without 1 words]");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleLabelsConfig {
    /// The labels; by default those of the world `reply-labels` as it is by default.
    pub labels: Vec<LabelRule>,
    /// Value of a label that holds, by its name; 1 where none is given.
    pub scales: BTreeMap<String, f64>,
}

impl RuleLabelsConfig {
    fn scale(&self, rule: &LabelRule) -> f64 {
        self.scales.get(&rule.name).copied().unwrap_or(1.0)
    }
}

impl Default for RuleLabelsConfig {
    fn default() -> Self {
        let words = |kind: &str, numbers: std::ops::Range<usize>| -> Vec<String> {
            numbers.map(|n| format!("{kind}{n}")).collect()
        };
        let label = |name: &str| LabelRule {
            name: name.to_owned(),
            ..LabelRule::default()
        };
        let labels = vec![
            LabelRule {
                first: words("opener", 0..2),
                last: words("closer", 0..2),
                ..label("politeness")
            },
            LabelRule {
                mentions: Some("slot".to_owned()),
                ..label("meaningfulness")
            },
            LabelRule {
                pair: words("verb", 0..4),
                pair_with: words("object", 0..6),
                ..label("actionability")
            },
            LabelRule {
                without: words("object", 4..6),
                ..label("safety")
            },
        ];
        Self {
            labels,
            scales: BTreeMap::new(),
        }
    }
}

impl Part<dyn RewardShaper> for RuleLabelsConfig {
    const SOURCE: &'static str =
        "Rule-based gold labels, for Multi-Objective GRPO, arXiv 2503.21819; the rules are ours";

    fn formula(&self) -> String {
        let condition = |text: String, there: bool| there.then_some(text);
        let label = |rule: &LabelRule| {
            let conditions = [
                condition(format!("first of {}", rule.first.len()), !rule.first.is_empty()),
                condition(format!("last of {}", rule.last.len()), !rule.last.is_empty()),
                rule.mentions
                    .as_ref()
                    .map(|column| format!("mentions its `{column}`")),
                condition(
                    format!("a pair of {} and {}", rule.pair.len(), rule.pair_with.len()),
                    !rule.pair.is_empty(),
                ),
                condition(
                    format!("without {} words", rule.without.len()),
                    !rule.without.is_empty(),
                ),
            ];
            let conditions: Vec<String> = conditions.into_iter().flatten().collect();
            format!("{} = {} [{}]", rule.name, self.scale(rule), conditions.join(", "))
        };
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        format!("components: {}", labels.join("; "))
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        ParamError::check(!self.labels.is_empty(), "labels", "[]", "at least one label")?;
        for (k, rule) in self.labels.iter().enumerate() {
            let name = &rule.name;
            ParamError::check(!name.is_empty(), "name", "\"\"", "a name")?;
            let once = self.labels[..k].iter().all(|other| other.name != *name);
            ParamError::check(once, "name", name, "there once")?;
            let both = rule.pair.is_empty() == rule.pair_with.is_empty();
            ParamError::check(
                both,
                "pair",
                format!("{:?}", rule.pair),
                "given together with `pair_with`",
            )?;
        }
        for (name, scale) in &self.scales {
            let known = self.labels.iter().any(|rule| rule.name == *name);
            ParamError::check(known, "scales", name, "the name of a label")?;
            ParamError::check(
                scale.is_finite(),
                "scales",
                format!("{name} = {scale}"),
                "finite numbers",
            )?;
        }
        Ok(Box::new(RuleLabels(self.clone())))
    }
}

#[derive(Debug)]
struct RuleLabels(RuleLabelsConfig);

impl RewardShaper for RuleLabels {
    fn shape(
        &self,
        task: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        let labels = &self.0.labels;
        for rule in labels {
            check_first(rewards, &rule.name, "the label would be given twice")?;
        }
        let mut columns = vec![vec![None; members.len()]; labels.len()];
        for (i, member) in members.iter().enumerate() {
            if rewards.rewards[i].is_none() {
                continue;
            }
            let actions = member.turns.iter().map(|turn| turn.action.as_str());
            let words: Vec<&str> = actions.flat_map(str::split_whitespace).collect();
            for (rule, column) in labels.iter().zip(&mut columns) {
                let holds = rule.holds(task, &words)?;
                column[i] = Some(if holds { self.0.scale(rule) } else { 0.0 });
            }
        }
        for (rule, column) in labels.iter().zip(columns) {
            rewards.components.insert(rule.name.clone(), column);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{StopReason, Turn};
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn rules() -> RuleLabelsConfig {
        let label = |name: &str| LabelRule {
            name: name.to_owned(),
            ..LabelRule::default()
        };
        RuleLabelsConfig {
            labels: vec![
                LabelRule {
                    first: strings(&["hi"]),
                    last: strings(&["bye", "ciao"]),
                    ..label("polite")
                },
                LabelRule {
                    mentions: Some("slot".to_owned()),
                    ..label("meaningful")
                },
                LabelRule {
                    pair: strings(&["open", "lift"]),
                    pair_with: strings(&["door", "knife"]),
                    ..label("actionable")
                },
                LabelRule {
                    without: strings(&["knife"]),
                    ..label("safe")
                },
            ],
            scales: BTreeMap::from([("actionable".to_owned(), 10.0)]),
        }
    }

    /// An episode of one word a turn, or of all words in one.
    fn reply(text: &str, turns: bool) -> Trajectory {
        let turn = |action: &str| Turn {
            anchor: None,
            action: action.to_owned(),
            tokens: 0..1,
            reward: 0.0,
            valid: true,
        };
        let turns = match turns {
            true => text.split(' ').map(turn).collect(),
            false => vec![turn(text)],
        };
        Trajectory {
            turns,
            ..member(1, 0, StopReason::Terminal)
        }
    }

    fn labels(text: &str, turns: bool) -> [f64; 4] {
        let mut task = Task::new("t", "", "");
        task.columns.insert("slot".into(), "room".into());
        let (members, memory) = ([reply(text, turns)], PromptMemory::new(1, 1));
        let mut rewards = GroupRewards::new("v", vec![Some(0.25)]);
        let shaper = rules().build(&()).unwrap();
        shaper.shape(&task, &members, &mut rewards, &memory).unwrap();
        assert_eq!(rewards.rewards, [Some(0.25)]);
        ["polite", "meaningful", "actionable", "safe"].map(|name| rewards.components[name][0].unwrap())
    }

    #[test]
    fn each_rule_reads_words_in_one_turn_or_in_many() {
        for turns in [true, false] {
            assert_eq!(labels("hi room open door bye", turns), [1.0, 1.0, 10.0, 1.0]);
            assert_eq!(labels("hi open knife ciao", turns), [1.0, 0.0, 10.0, 0.0]);
            assert_eq!(labels("room door open", turns), [0.0, 1.0, 0.0, 1.0]);
            assert_eq!(labels("open room door bye", turns), [0.0, 1.0, 0.0, 1.0]);
            assert_eq!(labels("hi bye hi", turns), [0.0, 0.0, 0.0, 1.0]);
            assert_eq!(labels("", turns), [0.0, 0.0, 0.0, 1.0]);
            assert_eq!(labels("rooms knifes", turns), [0.0, 0.0, 0.0, 1.0]);
        }
    }

    proptest! {
        #[test]
        fn labels_are_0_or_their_scale_and_do_not_depend_on_how_a_text_is_cut_into_turns(
            words in prop::collection::vec(prop::sample::select(vec!["hi", "bye", "room", "open", "door", "knife", "x"]), 1..9),
        ) {
            let text = words.join(" ");
            let found = labels(&text, true);
            prop_assert_eq!(found, labels(&text, false));
            for (value, scale) in found.into_iter().zip([1.0, 1.0, 10.0, 1.0]) {
                prop_assert!(value == 0.0 || value == scale);
            }
            // A word in front is a new first word, and can break no pair that is there nor lose what is mentioned.
            let longer = labels(&format!("knife {text}"), true);
            prop_assert_eq!((longer[0], longer[1], longer[3]), (0.0, found[1], 0.0));
            prop_assert_eq!(longer[2], found[2]);
        }
    }

    #[test]
    fn unscorable_members_have_no_label_and_labels_are_given_once() {
        let (mut task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        task.columns.insert("slot".into(), "room".into());
        let members = [reply("hi bye", false), reply("hi bye", false)];
        let mut rewards = GroupRewards::new("v", vec![None, Some(1.0)]);
        let shaper = rules().build(&()).unwrap();
        shaper.shape(&task, &members, &mut rewards, &memory).unwrap();
        assert_eq!(rewards.components["polite"], [None, Some(1.0)]);
        let error = shaper.shape(&task, &members, &mut rewards, &memory).unwrap_err();
        assert_eq!(
            error.to_string(),
            "component `polite`: is already there: the label would be given twice"
        );
        let mut rewards = GroupRewards::new("v", vec![Some(1.0); 2]);
        let bare = Task::new("t", "", "");
        let error = shaper.shape(&bare, &members, &mut rewards, &memory).unwrap_err();
        assert_eq!(
            error.to_string(),
            "task t: column `slot` of label `meaningful` is no text"
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_tells_the_rules() {
        let refused = |change: fn(&mut RuleLabelsConfig)| {
            let mut config = rules();
            change(&mut config);
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(|c| c.labels.clear()),
            "`labels` = []: must be at least one label"
        );
        assert_eq!(
            refused(|c| c.labels[0].name.clear()),
            "`name` = \"\": must be a name"
        );
        assert_eq!(
            refused(|c| c.labels[3].name = "polite".into()),
            "`name` = polite: must be there once"
        );
        assert_eq!(
            refused(|c| c.scales = BTreeMap::from([("safe".into(), f64::NAN)])),
            "`scales` = safe = NaN: must be finite numbers"
        );
        assert_eq!(
            refused(|c| c.scales = BTreeMap::from([("kind".into(), 1.0)])),
            "`scales` = kind: must be the name of a label"
        );
        assert_eq!(
            refused(|c| c.labels[2].pair_with.clear()),
            "`pair` = [\"open\", \"lift\"]: must be given together with `pair_with`"
        );
        assert_eq!(
            rules().formula(),
            "components: polite = 1 [first of 1, last of 2]; meaningful = 1 [mentions its `slot`]; \
             actionable = 10 [a pair of 2 and 2]; safe = 1 [without 1 words]"
        );
    }
}
