//! Invariants of section 10, edge cases of section 5, and the reading of replies.

use groupwise_core::StopReason;
use proptest::prelude::*;

use super::super::testing::trajectory;
use super::*;

const KEPT: TwoAnswers = TwoAnswers {
    first_correct: true,
    second_correct: Some(true),
    format: true,
    reflection_format: true,
    length: 200,
    first_length: 100,
};

fn paper() -> SrpoConfig {
    SrpoConfig::default()
}

fn code() -> SrpoConfig {
    SrpoConfig {
        version: SrpoVersion::Code,
        ..paper()
    }
}

/// Kept, repaired, broken, unrepaired.
fn four(base: TwoAnswers) -> [TwoAnswers; 4] {
    [(true, true), (false, true), (true, false), (false, false)].map(|(first, second)| TwoAnswers {
        first_correct: first,
        second_correct: Some(second),
        ..base
    })
}

fn replies() -> impl Strategy<Value = TwoAnswers> {
    let flags = (
        any::<bool>(),
        prop::option::of(any::<bool>()),
        any::<bool>(),
        any::<bool>(),
    );
    (flags, 0usize..500, 0usize..200).prop_map(
        |((first, second, format, reflection), length, first_length)| TwoAnswers {
            first_correct: first,
            second_correct: second,
            format,
            reflection_format: reflection,
            length,
            first_length,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_paper_ranks_kept_repaired_broken_unrepaired(base in replies(), alpha in 0.0..2.0f64) {
        let config = SrpoConfig { alpha, ..paper() };
        let r = four(base).map(|reply| config.reward(&reply).total());
        prop_assert!(r[0] > r[1] && r[1] > r[2] && r[2] > r[3]);
    }

    #[test]
    fn the_code_ranks_repaired_above_kept(base in replies()) {
        let r = four(base).map(|reply| code().reward(&reply).total());
        prop_assert!(r[1] > r[0] && r[0] > r[2] && r[2] > r[3]);
    }

    #[test]
    fn rewards_stay_within_their_bounds_and_are_the_sum_of_their_parts(reply in replies()) {
        for config in [paper(), code()] {
            let r = config.reward(&reply);
            prop_assert!((-1e-15..=1.6 + 1e-15).contains(&r.total()));
            prop_assert_eq!(r.total(), r.format + r.accuracy + r.effectiveness + r.reflection + r.brevity);
        }
    }

    #[test]
    fn the_bump_is_a_symmetric_share_and_one_at_its_target(first in 1usize..200, off in 0usize..200) {
        let off = off.min(2 * first);
        let (above, below) = (length_bump(2 * first + off, first, 2.0, 2.5), length_bump(2 * first - off, first, 2.0, 2.5));
        prop_assert!((above - below).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&above));
        prop_assert_eq!(length_bump(2 * first, first, 2.0, 2.5), 1.0);
        for length in [3 * first, 5 * first] {
            // Twice as long, so that 1.5 and 2.5 first solutions are whole numbers.
            prop_assert!((length_bump(length, 2 * first, 2.0, 2.5) - (-1.0f64).exp()).abs() < 1e-12);
        }
    }
}

#[test]
fn every_transition_has_its_rewards() {
    let parts = |config: &SrpoConfig| {
        four(KEPT)
            .map(|reply| config.reward(&reply))
            .map(|r| (r.accuracy, r.effectiveness))
    };
    assert_eq!(
        parts(&paper()),
        [(0.5, 0.25), (0.0, 0.5), (0.5, -0.25), (0.0, 0.0)]
    );
    assert_eq!(parts(&code()), [(0.75, 0.0), (1.0, 0.0), (0.25, 0.0), (0.0, 0.0)]);
    let kept = paper().reward(&KEPT);
    assert_eq!((kept.format, kept.reflection, kept.brevity), (0.5, 0.25, 0.1));
    let kept = code().reward(&KEPT);
    assert_eq!((kept.format, kept.reflection, kept.brevity), (0.5, 0.0, 0.1));
    let bare = TwoAnswers {
        format: false,
        reflection_format: false,
        ..KEPT
    };
    assert_eq!(
        (paper().reward(&bare).format, paper().reward(&bare).reflection),
        (0.0, 0.0)
    );
    assert_eq!(code().reward(&bare).format, 0.0);
}

#[test]
fn without_a_second_answer_the_paper_pays_the_first_and_the_code_nothing() {
    let single = TwoAnswers {
        second_correct: None,
        ..KEPT
    };
    let r = paper().reward(&single);
    assert_eq!(
        (r.format, r.accuracy, r.effectiveness, r.reflection, r.brevity),
        (0.5, 0.5, 0.0, 0.25, 0.0)
    );
    assert_eq!(code().reward(&single), SrpoReward::default());
}

#[test]
fn without_a_first_solution_there_is_no_bump() {
    assert_eq!(length_bump(0, 0, 2.0, 2.5), 0.0);
    let empty = TwoAnswers {
        first_length: 0,
        ..KEPT
    };
    assert_eq!(paper().reward(&empty).brevity, 0.0);
    // Four first solutions: two above the target, four widths of a half.
    assert!((length_bump(400, 100, 2.0, 2.5) - (-16.0f64).exp()).abs() < 1e-20);
    assert!((length_bump(100, 100, 3.0, 4.0) - (-4.0f64).exp()).abs() < 1e-16);
}

#[test]
fn a_reply_is_read_block_by_block() {
    let reply = " so\n<think> abc </think><answer>7</answer><reflection>no</reflection>\n<think>d</think><answer>8.0</answer> ";
    let read = paper().read(reply, "8");
    let expected = TwoAnswers {
        first_correct: false,
        second_correct: Some(true),
        format: true,
        reflection_format: true,
        length: reply.trim().len(),
        first_length: 4,
    };
    assert_eq!(read, expected);
    assert_eq!(code().read(reply, "8"), expected);

    let swapped = "<answer>7</answer><think>d</think><reflection></reflection>";
    let read = paper().read(swapped, "7");
    assert_eq!((read.first_correct, read.second_correct), (true, None));
    assert!(!read.format && !read.reflection_format);
    assert_eq!(read.first_length, 2);

    for broken in [
        "<think>a</think><answer>7</answer><reflection>no</reflection><think></think><answer>7</answer>",
        "<think>a</think><answer>7</answer><reflection>no</reflection><think>b</think><answer>7</answer>x",
        "<think>a</think><answer>7</answer><reflection>no</reflection><answer>7</answer><think>b</think>",
    ] {
        let read = paper().read(broken, "7");
        assert!(!read.format && read.reflection_format, "{broken}");
        assert_eq!(read.second_correct, Some(true));
    }
    for twice in [
        "<reflection>a</reflection><reflection>b</reflection>",
        "<reflection>a</reflection>b</reflection>",
        "<reflection>a",
    ] {
        assert!(!paper().read(twice, "7").reflection_format, "{twice}");
    }
}

#[test]
fn the_last_of_many_answers_is_the_second_and_the_code_wants_two_thoughts() {
    let many = "<think>a</think><answer>1</answer><answer>2</answer><answer>3</answer>";
    let read = paper().read(many, "3");
    assert_eq!(
        (read.first_correct, read.second_correct, read.format),
        (false, Some(true), false)
    );
    assert_eq!(code().read(many, "3").second_correct, None);
    let none = paper().read("7", "7");
    assert_eq!(
        (none.first_correct, none.second_correct, none.first_length),
        (false, None, 0)
    );
}

#[test]
fn the_verifier_scores_what_it_reads() {
    let score = |config: &SrpoConfig, reply: &str, reference: &str| {
        let verifier = config.build(&()).unwrap();
        verifier.score(
            &Task::new("t", "", reference),
            &trajectory(&[(reply, 0.0)], StopReason::EndToken),
        )
    };
    assert_eq!(score(&paper(), "<answer>7</answer>", "7"), Score::Value(0.5));
    assert_eq!(score(&code(), "<answer>7</answer>", "7"), Score::Value(0.0));
    let whole =
        "<think>abc</think><answer>7</answer><reflection>no</reflection><think>d</think><answer>8</answer>";
    let config = SrpoConfig { alpha: 0.0, ..code() };
    assert_eq!(score(&config, whole, "8"), Score::Value(1.5));
    assert_eq!(
        score(&paper(), whole, " "),
        Score::Unscorable("task `t` has no reference".to_owned())
    );
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |config: SrpoConfig| config.build(&()).unwrap_err().to_string();
    for alpha in [-0.1, f64::NAN, f64::INFINITY] {
        let config = SrpoConfig { alpha, ..paper() };
        assert_eq!(
            refused(config),
            format!("`alpha` = {alpha}: must be a finite number >= 0")
        );
    }
    assert!(
        SrpoConfig {
            alpha: 0.0,
            ..paper()
        }
        .build(&())
        .is_ok()
    );
    for length_target in [0.0, f64::NAN] {
        let config = SrpoConfig {
            length_target,
            ..paper()
        };
        assert_eq!(
            refused(config),
            format!("`length_target` = {length_target}: must be a finite number > 0")
        );
    }
    for length_max in [2.0, f64::NAN, f64::INFINITY] {
        let config = SrpoConfig {
            length_max,
            ..paper()
        };
        assert_eq!(
            refused(config),
            format!("`length_max` = {length_max}: must be a finite number > 2 (`length_target`)")
        );
    }
    let error = serde_json::from_str::<SrpoConfig>(r#"{"version": "other"}"#).unwrap_err();
    assert!(
        error.to_string().contains("expected `paper` or `code`"),
        "{error}"
    );
}

#[test]
fn the_formula_says_which_table_is_active() {
    assert_eq!(
        paper().formula(),
        "r = 0.5 [format] + 0.5 [first answer right] + (0.25 kept, 0.5 repaired, -0.25 broken) + 0.25 [reflection in \
         tags] + 0.1 exp(-(|L - 2 L1| / (0.5 L1))^2)"
    );
    assert_eq!(
        code().formula(),
        "r = 0.5 [format] + (0.75 kept, 1 repaired, 0.25 broken; code) + 0.1 exp(-(|L - 2 L1| / (0.5 L1))^2)"
    );
}
