//! Invariants of section 10, edge cases of section 5, and the reading of replies.

use groupwise_core::StopReason;
use proptest::prelude::*;

use super::super::testing::trajectory;
use super::*;

const GOOD: &str =
    "<thought>wrong row</thought>\n<score>Incorrect</score>\n<suggestion>tap  Send\n</suggestion>";

fn config(lambda_format: f64, lambda_suggestion: f64) -> GuiCriticR1Config {
    GuiCriticR1Config {
        lambda_format,
        lambda_suggestion,
    }
}

fn score(config: &GuiCriticR1Config, reply: &str, reference: &str, suggestion: Option<&str>) -> Score {
    let mut task = Task::new("t", "", reference);
    if let Some(text) = suggestion {
        task.columns.insert("suggestion".to_owned(), text.into());
    }
    let verifier = config.build(&()).unwrap();
    verifier.score(&task, &trajectory(&[(reply, 0.0)], StopReason::EndToken))
}

/// Weights on the simplex.
fn weights() -> impl Strategy<Value = GuiCriticR1Config> {
    (0.0..=1.0f64, 0.0..=1.0f64).prop_map(|(sum, share)| config(sum * share, sum * (1.0 - share)))
}

fn verdicts() -> impl Strategy<Value = Vec<(Option<bool>, bool)>> {
    prop::collection::vec((prop::option::weighted(0.7, any::<bool>()), any::<bool>()), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rewards_stay_in_the_unit_interval(w in weights(), f in 0.0..=1.0f64, s in 0.0..=1.0f64, a in 0.0..=1.0f64) {
        let r = w.reward(f, s, a);
        prop_assert!((-1e-15..=1.0 + 1e-15).contains(&r));
        prop_assert!((w.reward(1.0, 1.0, 1.0) - 1.0).abs() < 1e-15);
        prop_assert_eq!(w.reward(0.0, 0.0, 0.0), 0.0);
    }

    #[test]
    fn a_right_verdict_outranks_a_wrong_one_where_it_weighs_most(w in weights(), f in 0.0..=1.0f64, s in 0.0..=1.0f64) {
        prop_assume!(w.lambda_format + w.lambda_suggestion < 0.499);
        prop_assert!(w.reward(0.0, 0.0, 1.0) > w.reward(f, s, 0.0));
    }

    #[test]
    fn without_weight_suggestions_are_ignored(lambda in 0.0..=1.0f64, f in 0.0..=1.0f64, s in 0.0..=1.0f64, a in 0.0..=1.0f64) {
        let w = config(lambda, 0.0);
        prop_assert_eq!(w.reward(f, s, a), w.reward(f, 0.0, a));
    }

    #[test]
    fn an_unreadable_verdict_counts_as_the_wrong_one(verdicts in verdicts()) {
        let read: Vec<(Option<bool>, bool)> = verdicts.iter().map(|(v, gold)| (Some(v.unwrap_or(!gold)), *gold)).collect();
        let (found, wrong) = (verdict_metrics(&verdicts).unwrap(), verdict_metrics(&read).unwrap());
        let share = verdicts.iter().filter(|(v, _)| v.is_none()).count() as f64 / verdicts.len() as f64;
        prop_assert_eq!(found, VerdictMetrics { unreadable: share, ..wrong });
        let right = read.iter().filter(|(v, gold)| *v == Some(*gold)).count();
        prop_assert_eq!(found.accuracy, right as f64 / read.len() as f64);
        if found.precision + found.recall > 0.0 {
            let harmonic = 2.0 * found.precision * found.recall / (found.precision + found.recall);
            prop_assert!((found.f1 - harmonic).abs() < 1e-12);
        } else {
            prop_assert_eq!(found.f1, 0.0);
        }
    }
}

#[test]
fn weights_fall_on_their_grades() {
    let w = config(0.25, 0.125);
    assert_eq!(w.reward(1.0, 0.0, 0.0), 0.25);
    assert_eq!(w.reward(0.0, 1.0, 0.0), 0.125);
    assert_eq!(w.reward(0.0, 0.0, 1.0), 0.625);
    // 1 - 0.9 - 0.1 is below 0 by rounding.
    assert_eq!(config(0.9, 0.1).reward(0.0, 0.0, 1.0), 0.0);
}

#[test]
fn the_verifier_reads_verdict_and_suggestion() {
    let w = config(0.25, 0.125);
    let tap = Some("tap Send");
    for (reply, reference, r) in [
        (GOOD.to_owned(), "Incorrect", 1.0),
        (GOOD.to_owned(), " incorrect\n", 1.0),
        (GOOD.to_owned(), "Correct", 0.375),
        (GOOD.replace("Send", "send"), "Incorrect", 0.875),
        (GOOD.replace("Incorrect", "perhaps"), "Incorrect", 0.375),
        (format!("so {GOOD}"), "Incorrect", 0.75),
        (format!("\n{GOOD}\n"), "Incorrect", 1.0),
        (GOOD.replace("thought", "think"), "Incorrect", 0.75),
        (String::new(), "Incorrect", 0.0),
    ] {
        assert_eq!(score(&w, &reply, reference, tap), Score::Value(r), "{reply}");
    }
    let blind = config(0.25, 0.0);
    assert_eq!(score(&blind, GOOD, "Incorrect", None), Score::Value(1.0));
    assert_eq!(score(&blind, GOOD, "Correct", None), Score::Value(0.25));
    for (reference, suggestion, why) in [
        ("Incorrect", None, "no text in column `suggestion`"),
        ("Incorrect", Some(" "), "no text in column `suggestion`"),
        ("", tap, "no reference"),
    ] {
        let expected = Score::Unscorable(format!("task `t`: {why}"));
        assert_eq!(score(&w, GOOD, reference, suggestion), expected);
    }
}

#[test]
fn metrics_of_classes_without_members_are_zero() {
    let m = verdict_metrics(&[(Some(false), false), (Some(false), false)]).unwrap();
    assert_eq!(
        (m.accuracy, m.precision, m.recall, m.f1, m.specificity),
        (1.0, 0.0, 0.0, 0.0, 1.0)
    );
    let m = verdict_metrics(&[
        (Some(true), true),
        (Some(true), true),
        (Some(false), true),
        (None, true),
    ])
    .unwrap();
    assert_eq!(
        (m.accuracy, m.precision, m.recall, m.specificity),
        (0.5, 1.0, 0.5, 0.0)
    );
    let m = verdict_metrics(&[
        (Some(true), false),
        (Some(false), false),
        (Some(false), false),
        (None, false),
    ])
    .unwrap();
    assert_eq!((m.specificity, m.precision, m.unreadable), (0.5, 0.0, 0.25));
    assert_eq!(
        verdict_metrics(&[]).unwrap_err().to_string(),
        "verdicts: there are none"
    );
}

#[test]
fn only_tasks_that_end_alike_count_for_efficiency() {
    let run = |success, steps| TaskRun { success, steps };
    let tasks = [
        (run(true, 5), run(true, 4)),
        (run(false, 5), run(false, 4)),
        (run(true, 5), run(true, 5)),
        (run(true, 5), run(true, 6)),
        (run(true, 5), run(false, 1)),
        (run(false, 5), run(true, 1)),
    ];
    assert_eq!(efficiency_rate(&tasks).unwrap(), 0.5);
    for none in [&tasks[4..], &[]] {
        assert_eq!(
            efficiency_rate(none).unwrap_err().to_string(),
            "tasks: none ended alike without and with the critic"
        );
    }
}

#[test]
fn bad_weights_are_refused_and_the_formula_prints_the_numbers() {
    let refused = |c: GuiCriticR1Config| c.build(&()).unwrap_err().to_string();
    for w in [-0.1, f64::NAN] {
        assert_eq!(
            refused(config(w, 0.1)),
            format!("`lambda_format` = {w}: must be a number >= 0")
        );
        assert_eq!(
            refused(config(0.1, w)),
            format!("`lambda_suggestion` = {w}: must be a number >= 0")
        );
    }
    assert_eq!(
        refused(config(0.75, 0.5)),
        "`lambda_format + lambda_suggestion` = 1.25: must be <= 1"
    );
    for (f, s) in [(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)] {
        assert!(config(f, s).build(&()).is_ok());
    }
    let aliased: GuiCriticR1Config = serde_json::from_str(r#"{"lambda_f": 0.25, "lambda_s": 0.5}"#).unwrap();
    assert_eq!(
        aliased.formula(),
        "r = 0.25 [thought, score, suggestion] + 0.5 [suggestion = annotation] + 0.25 [score = reference]"
    );
}
