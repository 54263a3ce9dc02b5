//! SARI: a layout of four named parts, and the right answer.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::refuse_unjudgeable;

/// Parts of a structured thought, in their order.
const PARTS: [&str; 4] = ["planning", "caption", "reasoning", "summary"];

/// What a thought must look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Plan, caption, reasoning and summary, in this order and nothing beside them, as the paper.
    #[default]
    Structured,
    /// Any text: the ablation of the paper.
    FreeForm,
}

/// Layout and answer, graded apart.
///
/// # Formula
/// `r = w_layout [layout right] + w_answer [answer = reference]`.  The whole reply must be
/// `<think>`thought`</think>`, white space, `<answer>`answer`</answer>`: the frame.  The structured layout asks
/// moreover that the thought is `<planning>..</planning>`, `<caption>..</caption>`, `<reasoning>..</reasoning>` and
/// `<summary>..</summary>`, each once, in this order, only white space around them.
///
/// # Edge cases
/// - No frame (also: a second think or answer tag, or anything outside the frame): 0.
/// - A frame whose parts are wrong still earns its answer.
/// - Answers are compared after trimming; letter case counts.  A part or a thought may be empty.
/// - A task without reference: unscorable.
///
/// # Errors
/// Parameters: a weight negative or not finite.
///
/// # Source
/// "SARI", arXiv 2504.15900; no code.  The four parts are certain, tag spelling and weights are reconstructed.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{Layout, SariConfig, sari_reward};
/// let config = SariConfig::default();
/// let reply = "<think><planning>p</planning> <caption>c</caption> <reasoning>r</reasoning> <summary>s</summary>\
///              </think><answer> B </answer>";
/// assert_eq!(sari_reward(reply, "B", &config), 2.0);
/// assert_eq!(sari_reward("<think>because</think> <answer>B</answer>", "B", &config), 1.0);
/// assert_eq!(sari_reward("B", "B", &config), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SariConfig {
    /// What a thought must look like.
    pub layout: Layout,
    /// Weight of the layout, >= 0.
    pub w_layout: f64,
    /// Weight of the answer, >= 0.
    pub w_answer: f64,
}

impl Default for SariConfig {
    fn default() -> Self {
        Self {
            layout: Layout::Structured,
            w_layout: 1.0,
            w_answer: 1.0,
        }
    }
}

/// The reward of a reply; see [`SariConfig`] for the rules and an example.
pub fn sari_reward(reply: &str, reference: &str, config: &SariConfig) -> f64 {
    let Some((thought, answer)) = frame(reply) else {
        return 0.0;
    };
    let layout = config.layout == Layout::FreeForm || is_structured(thought);
    let right = answer.trim() == reference.trim();
    config.w_layout * f64::from(u8::from(layout)) + config.w_answer * f64::from(u8::from(right))
}

/// Thought and answer of a reply that is the frame and nothing else.
fn frame(reply: &str) -> Option<(&str, &str)> {
    let once = ["<think>", "</think>", "<answer>", "</answer>"]
        .iter()
        .all(|tag| reply.matches(tag).count() == 1);
    if !once {
        return None;
    }
    let (thought, rest) = reply.strip_prefix("<think>")?.split_once("</think>")?;
    let answer = rest
        .trim_start()
        .strip_prefix("<answer>")?
        .strip_suffix("</answer>")?;
    Some((thought, answer))
}

fn is_structured(thought: &str) -> bool {
    let mut rest = thought;
    for part in PARTS {
        let (open, close) = (format!("<{part}>"), format!("</{part}>"));
        let once = [&open, &close]
            .iter()
            .all(|tag| thought.matches(tag.as_str()).count() == 1);
        let after = rest
            .trim_start()
            .strip_prefix(&open)
            .and_then(|r| r.split_once(&close));
        match after {
            Some((_, after)) if once => rest = after,
            _ => return false,
        }
    }
    rest.trim().is_empty()
}

impl Part<dyn Verifier> for SariConfig {
    const SOURCE: &'static str = "SARI, arXiv 2504.15900, tags and weights reconstructed";

    fn formula(&self) -> String {
        let layout = match self.layout {
            Layout::Structured => "think block of planning, caption, reasoning, summary; answer block",
            Layout::FreeForm => "think block; answer block",
        };
        format!(
            "r = {} [{layout}] + {} [answer block = reference]",
            self.w_layout, self.w_answer
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        for (key, weight) in [("w_layout", self.w_layout), ("w_answer", self.w_answer)] {
            ParamError::check_coefficient(key, weight)?;
        }
        Ok(Box::new(Sari(self.clone())))
    }
}

#[derive(Debug)]
struct Sari(SariConfig);

impl Verifier for Sari {
    fn name(&self) -> &str {
        "sari"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        Score::Value(sari_reward(trajectory.answer(), &task.reference, &self.0))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    fn config(layout: Layout) -> SariConfig {
        SariConfig {
            layout,
            ..SariConfig::default()
        }
    }

    /// Rewards of the structured and of the free-form rule.
    fn both(reply: &str) -> [f64; 2] {
        [Layout::Structured, Layout::FreeForm].map(|layout| sari_reward(reply, "B", &config(layout)))
    }

    fn part(name: &str) -> String {
        format!("<{name}>x</{name}>")
    }

    fn reply(thought: &str) -> String {
        format!("<think>{thought}</think><answer>B</answer>")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn rewards_are_0_1_or_2_and_structured_right_implies_free_form_right(
            reply in r"(<think>|</think>|<answer>|</answer>|<planning>|</planning>|B|[ a\n]){0,9}",
            parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..5),
        ) {
            let built = format!("<think>{}</think><answer>B</answer>", parts.iter().map(|p| part(p)).collect::<String>());
            for reply in [reply, built] {
                let [structured, free] = both(&reply);
                prop_assert!([0.0, 1.0, 2.0].contains(&structured) && [0.0, 1.0, 2.0].contains(&free));
                prop_assert!(structured <= free);
                prop_assert!(structured < 2.0 || free == 2.0);
            }
        }

        #[test]
        fn the_four_parts_count_in_their_order_only(order in Just(PARTS.to_vec()).prop_shuffle(), space in r"[ \n\t]{0,2}") {
            let thought: String = order.iter().map(|p| format!("{space}{}{space}", part(p))).collect();
            let expected = if order == PARTS { 2.0 } else { 1.0 };
            prop_assert_eq!(both(&reply(&thought)), [expected, 2.0]);
        }

        #[test]
        fn the_weights_are_those_of_layout_and_answer(w_layout in 0.1..3.0f64, w_answer in 0.1..3.0f64) {
            let config = SariConfig { layout: Layout::FreeForm, w_layout, w_answer };
            let text = reply("t");
            prop_assert_eq!(sari_reward(&text, "B", &config), w_layout + w_answer);
            prop_assert_eq!(sari_reward(&text, "C", &config), w_layout);
            let structured = SariConfig { layout: Layout::Structured, ..config };
            prop_assert_eq!(sari_reward(&text, "B", &structured), w_answer);
            prop_assert_eq!(sari_reward(&text, "C", &structured), 0.0);
        }
    }

    #[test]
    fn anything_beside_the_four_parts_breaks_the_layout_but_not_the_answer() {
        let [p, c, r, s] = PARTS.map(part);
        for thought in [
            format!("x{p}{c}{r}{s}"),
            format!("{p}x{c}{r}{s}"),
            format!("{p}{c}{r}x{s}"),
            format!("{p}{c}{r}{s}x"),
            format!("{p}{c}{r}"),
            format!("{p}{c}{r}{s}{s}"),
            format!("{p}{p}{c}{r}{s}"),
            format!("<planning>{p}</planning>{c}{r}{s}"),
            format!("<planning><summary></planning>{c}{r}{s}"),
            format!("{p}{c}<reasoning>{r}</reasoning>{s}"),
            format!("{p}{c}{r}<summary>x"),
            String::new(),
        ] {
            assert_eq!(both(&reply(&thought)), [1.0, 2.0], "{thought}");
        }
        let empty: String = PARTS.iter().map(|p| format!("<{p}></{p}>")).collect();
        assert_eq!(both(&reply(&empty)), [2.0, 2.0]);
    }

    #[test]
    fn without_its_frame_a_reply_earns_nothing() {
        for text in [
            "B",
            "<answer>B</answer>",
            "<think>t</think>",
            "<think>t</think><answer>B</answer>x",
            "x<think>t</think><answer>B</answer>",
            " <think>t</think><answer>B</answer>",
            "<think>t</think><answer>B</answer>\n",
            "<think>t</think>x<answer>B</answer>",
            "<think>t</think><answer>B</answer><answer>B</answer>",
            "<think>t</think><answer><answer>B</answer>",
            "<think><think>t</think><answer>B</answer>",
            "<think>t</think></think><answer>B</answer>",
            "<think>t</think><answer>B</answer></answer>",
            "<answer>B</answer><think>t</think>",
            "<think>t<answer>B</answer></think>",
        ] {
            assert_eq!(both(text), [0.0, 0.0], "{text}");
        }
        assert_eq!(both("<think>t</think> \n<answer>\tB </answer>"), [1.0, 2.0]);
        assert_eq!(both("<think>t</think><answer>b</answer>"), [0.0, 1.0]);
        assert_eq!(both("<think>t</think><answer></answer>"), [0.0, 1.0]);
    }

    #[test]
    fn the_last_action_is_judged_and_a_task_needs_a_reference() {
        let verifier = config(Layout::FreeForm).build(&()).unwrap();
        let episode = trajectory(&[("B", 0.0), (&reply("t"), 0.0)], StopReason::EndToken);
        let score = |reference: &str| verifier.score(&Task::new("t", "", reference), &episode);
        assert_eq!(score(" B"), Score::Value(2.0));
        assert_eq!(score("C"), Score::Value(1.0));
        assert_eq!(
            score(" "),
            Score::Unscorable("task `t` has no reference".to_owned())
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
        let weights = |w_layout, w_answer| SariConfig {
            w_layout,
            w_answer,
            ..SariConfig::default()
        };
        let refused = |l, a| weights(l, a).build(&()).unwrap_err().to_string();
        assert_eq!(
            refused(-1.0, 1.0),
            "`w_layout` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused(1.0, f64::NAN),
            "`w_answer` = NaN: must be a finite number >= 0"
        );
        assert!(weights(0.0, 0.0).build(&()).is_ok());
        assert_eq!(
            weights(0.5, 2.0).formula(),
            "r = 0.5 [think block of planning, caption, reasoning, summary; answer block] + 2 [answer block = reference]"
        );
        let free: SariConfig = serde_json::from_str(r#"{"layout": "free-form"}"#).unwrap();
        assert_eq!(
            free.formula(),
            "r = 1 [think block; answer block] + 1 [answer block = reference]"
        );
    }
}
