//! Invariants of section 10, edge cases of section 5, and the reading of replies.

use groupwise_core::StopReason;
use proptest::prelude::*;

use super::super::testing::trajectory;
use super::*;

fn score(answer: AnswerPlace, reply: &str, reference: &str) -> Score {
    let verifier = TonConfig { answer }.build(&()).unwrap();
    let task = Task::new("t", "", reference);
    verifier.score(&task, &trajectory(&[(reply, 0.0)], StopReason::EndToken))
}

fn choice(skip_prob: f64, acc_skip: f64, acc_think: f64, len_skip: f64, len_think: f64) -> SkipChoice {
    SkipChoice {
        skip_prob,
        acc_skip,
        acc_think,
        len_skip,
        len_think,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn p_zero_keeps_and_p_one_empties_every_thought(u in 0.0..1.0f64, thought in "[a-z ]{1,8}", answer in "[0-9]{1,3}") {
        let trace = |p: f64| ThoughtDropout::new(p).unwrap().trace(u, &thought, &answer).unwrap();
        prop_assert_eq!(trace(0.0), format!("<think>{thought}</think><answer>{answer}</answer>"));
        prop_assert_eq!(trace(1.0), format!("<think>\n\n</think><answer>{answer}</answer>"));
    }

    #[test]
    fn a_draw_below_p_drops(p in 0.0..=1.0f64, u in 0.0..1.0f64) {
        prop_assert_eq!(ThoughtDropout::new(p).unwrap().drops(u).unwrap(), u < p);
    }

    #[test]
    fn format_accepts_empty_thoughts_and_every_trace(u in 0.0..1.0f64, thought in "[a-z \n]{0,8}", answer in "[0-9 ]{0,3}") {
        let trace = ThoughtDropout::new(0.5).unwrap().trace(u, &thought, &answer).unwrap();
        prop_assert_eq!(ton_format(&trace), 1.0);
        prop_assert_eq!(skips_thought(&trace), u < 0.5 || thought.trim().is_empty());
    }

    #[test]
    fn the_drift_is_zero_without_a_choice_or_a_difference(s in 0.0..=1.0f64, a in 0.0..=1.0f64, b in 0.0..=1.0f64, l in 1.0..90.0f64) {
        prop_assert_eq!(choice(s, a, a, 6.0, l).drift().unwrap(), 0.0);
        for end in [0.0, 1.0] {
            prop_assert_eq!(choice(end, a, b, 6.0, l).drift().unwrap(), 0.0);
        }
    }

    /// The exact expectation over the two replies, by the gradient of the loss.
    #[test]
    fn the_drift_is_the_expected_gradient_step(
        s in 0.05..0.95f64, a in 0.0..=1.0f64, b in 0.0..=1.0f64, ls in 1.0..90.0f64, lt in 1.0..90.0f64,
    ) {
        let mean = s * a + (1.0 - s) * b;
        // d ln s / d theta = 1 - s, d ln(1 - s) / d theta = -s; one token of the reply carries the choice.
        let expected = s * (a - mean) * (1.0 - s) / ls + (1.0 - s) * (b - mean) * -s / lt;
        prop_assert!((choice(s, a, b, ls, lt).drift().unwrap() - expected).abs() < 1e-12);
    }
}

#[test]
fn the_format_spans_the_whole_text() {
    for good in [
        "<think></think><answer></answer>",
        "<think>a\nb</think> \n\t<answer>3\n</answer>",
        "<think>a</think>x<think>b</think><answer>3</answer>",
        "<think>a</think><answer>3</answer><answer>4</answer>",
    ] {
        assert_eq!(ton_format(good), 1.0, "{good}");
    }
    for bad in [
        "",
        " <think>a</think><answer>3</answer>",
        "<think>a</think><answer>3</answer>\n",
        "<think>a</think>x<answer>3</answer>",
        "<think>a</think><answer>3",
        "<think>a<answer>3</answer>",
        "<answer>3</answer>",
        "<think>a</think></answer>",
    ] {
        assert_eq!(ton_format(bad), 0.0, "{bad}");
    }
}

#[test]
fn a_skip_is_an_empty_thought_not_an_absent_one() {
    assert!(skips_thought("<think> \n</think>x"));
    for thinks in ["<think>.</think>", "<answer>3</answer>", "<think>", ""] {
        assert!(!skips_thought(thinks), "{thinks}");
    }
}

#[test]
fn answer_and_format_add_up() {
    use AnswerPlace::{Anywhere, Tag};
    for (place, reply, r) in [
        (Tag, "<think></think><answer>3.0</answer>", 2.0),
        (Tag, "<think></think><answer>4</answer>", 1.0),
        (Tag, "<answer>3</answer>", 1.0),
        (Tag, "3", 0.0),
        (Anywhere, "3", 1.0),
        (Anywhere, "<answer>3.0</answer>", 1.0),
        (Anywhere, "it is 3.", 1.0),
        (Anywhere, "13 and 3", 1.0),
        (Anywhere, "13", 0.0),
        (Anywhere, "31", 0.0),
        (Anywhere, "x3", 0.0),
        (Anywhere, "<think>3</think><answer>4</answer>", 2.0),
    ] {
        assert_eq!(score(place, reply, "3"), Score::Value(r), "{reply}");
    }
    assert_eq!(score(Anywhere, "A RED car", " red "), Score::Value(1.0));
    for place in [Tag, Anywhere] {
        let refused = Score::Unscorable("task `t` has no reference".to_owned());
        assert_eq!(score(place, "3", "\n"), refused);
    }
}

#[test]
fn what_lies_out_of_range_is_refused() {
    for p in [-0.1, 1.5, f64::NAN] {
        let error = ThoughtDropout::new(p).unwrap_err().to_string();
        assert_eq!(error, format!("`p` = {p}: must be in [0, 1]"));
    }
    let dropout = ThoughtDropout::new(1.0).unwrap();
    for u in [-0.1, 1.0, f64::NAN] {
        let error = dropout.trace(u, "", "").unwrap_err().to_string();
        assert_eq!(error, format!("draw: is {u}, expected in [0, 1)"));
    }
    let refused = |c: SkipChoice| c.drift().unwrap_err().to_string();
    for x in [-0.1, 1.1, f64::NAN] {
        for (c, name) in [
            (choice(x, 0.5, 0.5, 1.0, 1.0), "skip_prob"),
            (choice(0.5, x, 0.5, 1.0, 1.0), "acc_skip"),
            (choice(0.5, 0.5, x, 1.0, 1.0), "acc_think"),
        ] {
            assert_eq!(refused(c), format!("{name}: is {x}, expected in [0, 1]"));
        }
    }
    for x in [0.0, f64::NAN, f64::INFINITY] {
        for (c, name) in [
            (choice(0.5, 0.5, 0.5, x, 1.0), "len_skip"),
            (choice(0.5, 0.5, 0.5, 1.0, x), "len_think"),
        ] {
            assert_eq!(refused(c), format!("{name}: is {x}, expected finite and > 0"));
        }
    }
}

#[test]
fn the_formula_says_where_the_answer_may_stand() {
    assert_eq!(
        TonConfig::default().formula(),
        "r = [first answer block = reference] + [think block, maybe empty, answer block]"
    );
    let config: TonConfig = serde_json::from_str(r#"{"answer": "anywhere"}"#).unwrap();
    assert_eq!(
        config.formula(),
        "r = [reference in the first answer block or anywhere] + [think block, maybe empty, answer block]"
    );
}
