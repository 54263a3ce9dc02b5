//! Invariants of section 10, edge cases of section 5, and the reading of replies.

use groupwise_core::StopReason;
use proptest::prelude::*;
use serde_json::json;

use super::super::testing::trajectory;
use super::*;

fn score(columns: serde_json::Value, gold: &str, reply: &str, earned: f64) -> Score {
    let mut task = Task::new("t", "", gold);
    task.columns = columns.as_object().cloned().unwrap();
    let verifier = VlaaThinkerConfig::default().build(&()).unwrap();
    verifier.score(&task, &trajectory(&[(reply, earned)], StopReason::EndToken))
}

fn boxes() -> impl Strategy<Value = BoxCorners> {
    prop::array::uniform4(-6i32..6).prop_map(|c| c.map(f64::from))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn overlap_is_a_symmetric_share_of_counted_cells_and_one_only_for_equal_boxes(a in boxes(), b in boxes()) {
        let found = box_overlap(a, b);
        prop_assert_eq!(found, box_overlap(b, a));
        let holds = |c: BoxCorners, x: i32, y: i32| {
            let (x, y) = (f64::from(x), f64::from(y));
            c[0] <= x && x < c[2] && c[1] <= y && y < c[3]
        };
        let cells: Vec<(i32, i32)> = (-6..6).flat_map(|x| (-6..6).map(move |y| (x, y))).collect();
        let both = cells.iter().filter(|(x, y)| holds(a, *x, *y) && holds(b, *x, *y)).count() as f64;
        let either = cells.iter().filter(|(x, y)| holds(a, *x, *y) || holds(b, *x, *y)).count() as f64;
        let expected = if both > 0.0 { both / either } else { 0.0 };
        prop_assert!((found - expected).abs() < 1e-12);
        prop_assert_eq!(found == 1.0, a == b && a[0] < a[2] && a[1] < a[3]);
    }

    #[test]
    fn every_box_overlaps_itself_wholly(x in -1e3..1e3f64, y in -1e3..1e3f64, w in 1e-6..1e3f64, h in 1e-6..1e3f64) {
        let c = [x, y, x + w, y + h];
        prop_assert_eq!(box_overlap(c, c), 1.0);
    }

    #[test]
    fn overlaps_stay_in_the_unit_interval(a in prop::array::uniform4(-1.0..1.0f64), b in prop::array::uniform4(-1.0..1.0f64)) {
        prop_assert!((0.0..=1.0).contains(&box_overlap(a, b)));
    }

    #[test]
    fn open_rewards_rise_with_the_score_and_are_zero_at_or_below_the_reference(
        reference in -5.0..5.0f64, above in 0.0..3.0f64, more in 0.001..3.0f64, beta in 0.1..3.0f64,
    ) {
        prop_assert_eq!(open_reward(reference - above, reference, beta), 0.0);
        let (low, high) = (open_reward(reference + above, reference, beta), open_reward(reference + above + more, reference, beta));
        prop_assert!(0.0 <= low && low < high && high < 1.0);
        prop_assert!((high - (1.0 - (-(reference + above + more - reference) * beta).exp())).abs() < 1e-12);
    }

    #[test]
    fn integers_compare_by_value(x in any::<i64>(), y in -3i64..3) {
        let spaced = format!(" {x}\n");
        prop_assert!(digit_matches(&spaced, &x.to_string()));
        let other = x.wrapping_add(y);
        prop_assert_eq!(digit_matches(&x.to_string(), &other.to_string()), y == 0);
    }

    #[test]
    fn no_answer_earns_nothing_whatever_the_type(kind in prop::sample::select(vec!["digit", "option", "box", "open"]), reply in "[a-z0-9 ]{0,8}") {
        let gold = match kind { "digit" => "3", "option" => "B", _ => "[0, 0, 1, 1]" };
        let columns = json!({"type": kind, "reference_score": -5.0});
        prop_assert_eq!(score(columns, gold, &reply, 9.0), Score::Value(0.0));
    }
}

#[test]
fn the_grammar_of_integers() {
    for (a, b) in [
        ("3", "3"),
        ("+3", "3"),
        ("003", "3"),
        ("-0", "0"),
        ("-4", " -04"),
        ("0", "000"),
    ] {
        assert!(digit_matches(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("3", "-3"),
        ("3", "30"),
        ("3.0", "3"),
        ("", ""),
        ("x", "x"),
        ("-", "-"),
        ("+-3", "-3"),
        ("3 4", "34"),
    ] {
        assert!(!digit_matches(a, b), "{a} {b}");
    }
    let long = "9".repeat(60);
    assert!(digit_matches(&format!("0{long}"), &long));
}

#[test]
fn the_grammar_of_options() {
    for named in ["b", "B", " (b) ", "[B]", "b)", "b.", "(B).", "(b"] {
        assert!(
            letter_matches(named, "B") && letter_matches("b", named),
            "{named}"
        );
    }
    for other in ["", "a", "b) bus", "bb", "2", "b..", "b.)", "é", "()", "((b))"] {
        assert!(!letter_matches(other, "B"), "{other}");
    }
    assert!(!letter_matches("", "") && !letter_matches("12", "12"));
}

#[test]
fn boxes_that_are_none_overlap_nothing() {
    let unit = [0.0, 0.0, 1.0, 1.0];
    for other in [
        [1.0, 0.0, 2.0, 1.0],
        [0.0, 1.0, 1.0, 2.0],
        [0.5, 0.0, 0.5, 1.0],
        [0.0, 0.5, 1.0, 0.5],
        [1.0, 0.0, 0.0, 1.0],
        [0.0, 1.0, 1.0, 0.0],
        [f64::NAN, 0.0, 1.0, 1.0],
        [0.0, 0.0, 1.0, f64::NAN],
        [-1e308, -1e308, 1e308, 1e308],
    ] {
        assert_eq!(box_overlap(unit, other), 0.0, "{other:?}");
        assert_eq!(box_overlap(other, unit), 0.0, "{other:?}");
    }
    let tiny = [0.0, 0.0, 1e-200, 1e-200];
    assert_eq!(box_overlap(tiny, tiny), 0.0);
    assert_eq!(box_overlap([0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0]), 1.0 / 3.0);
    assert_eq!(open_reward(f64::NAN, 0.0, 1.0), 0.0);
    assert_eq!(open_reward(0.0, f64::NAN, 1.0), 0.0);
}

#[test]
fn the_verifier_dispatches_by_type() {
    for (columns, gold, reply, earned, r) in [
        (json!({}), "3", "<answer> 3 </answer>", 0.0, 1.0),
        (json!({}), "3", "<answer>4</answer><answer>3</answer>", 0.0, 0.0),
        (json!({}), "3", "3", 0.0, 0.0),
        (json!({"type": "option"}), "B", "<answer>(b)</answer>", 0.0, 1.0),
        (json!({"type": "option"}), "B", "<answer>C</answer>", 0.0, 0.0),
        (
            json!({"type": "box"}),
            "[0, 0, 1, 1]",
            "<answer>[0.25, 0.25, 0.75, 0.75]</answer>",
            0.0,
            0.25,
        ),
        (
            json!({"type": "box"}),
            "0,0,1,1",
            "<answer>0, 0, 1, 1</answer>",
            0.0,
            1.0,
        ),
        (
            json!({"type": "box"}),
            "[0, 0, 1, 1]",
            "<answer>[0, 0, 1]</answer>",
            0.0,
            0.0,
        ),
        (
            json!({"type": "open", "reference_score": 0.5}),
            "",
            "<answer>a</answer>",
            0.25,
            0.0,
        ),
    ] {
        assert_eq!(score(columns, gold, reply, earned), Score::Value(r), "{reply}");
    }
    let open = score(
        json!({"type": "open", "reference_score": 0.5}),
        "",
        "<answer>a</answer>",
        1.5,
    );
    assert_eq!(open, Score::Value(open_reward(1.5, 0.5, 1.0)));
}

#[test]
fn tasks_that_cannot_be_judged_say_why() {
    for (columns, gold, why) in [
        (json!({}), "three", "the reference is not an integer"),
        (json!({"type": "option"}), "", "the reference is not an option"),
        (
            json!({"type": "box"}),
            "[0, 0, 0, 1]",
            "the reference is not a box",
        ),
        (
            json!({"type": "box"}),
            "[0, 0, x, 1]",
            "the reference is not a box",
        ),
        (
            json!({"type": "open"}),
            "",
            "no column `reference_score` of numbers",
        ),
        (
            json!({"type": "open", "reference_score": "1"}),
            "",
            "no column `reference_score` of numbers",
        ),
        (
            json!({"type": "poem"}),
            "3",
            "column `type`: unknown variant `poem`, expected one of `digit`, `option`, `box`, `open`",
        ),
    ] {
        let expected = Score::Unscorable(format!("task `t`: {why}"));
        assert_eq!(score(columns, gold, "<answer>3</answer>", 1.0), expected);
    }
}

#[test]
fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = VlaaThinkerConfig {
            beta,
            ..VlaaThinkerConfig::default()
        };
        assert_eq!(
            config.build(&()).unwrap_err().to_string(),
            format!("`beta` = {beta}: must be a finite number > 0")
        );
    }
    for name in ["digit", "option", "box", "open"] {
        let config: VlaaThinkerConfig =
            serde_json::from_value(json!({"beta": 0.2, "default_type": name})).unwrap();
        assert_eq!(
            config.formula(),
            format!(
                "r = by column `type`, else {name}: [same integer]; [same letter]; IoU; max(0, 1 - exp(-0.2 (S - S_ref)))"
            )
        );
    }
}
