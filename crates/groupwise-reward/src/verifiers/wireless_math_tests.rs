use groupwise_core::StopReason;
use proptest::prelude::*;
use serde_json::json;

use super::super::testing::trajectory;
use super::*;

fn graded(config: WirelessMathConfig, reply: &str, reference: &str) -> Option<f64> {
    wireless_math(reply, reference, &config).score
}

#[test]
fn letters_are_taken_from_the_surest_place() {
    assert_eq!(PLACES.len(), 4);
    for (reply, letter) in [
        ("Final answer is: **(B)**. Option A", Some('B')),
        ("The answer is A. No, the answer is d.", Some('D')),
        ("option b, then Option C", Some('C')),
        ("a is correct", Some('A')),
        ("B (correct)", Some('B')),
        ("The answer is better", None),
        (r"\boxed{C} and \boxed{x}", Some('C')),
        (r"\boxed{\text{b}}", Some('B')),
        ("A then D.", Some('D')),
        ("ABCD a b", None),
        ("", None),
    ] {
        assert_eq!(mcq_letter(reply), letter, "{reply}");
    }
    let far = format!("C {}", "x ".repeat(200));
    assert_eq!(mcq_letter(&far), None);
    assert_eq!(mcq_letter(&far[2..]), None);
    assert_eq!(mcq_letter(&format!("C {}", "\u{e9} ".repeat(199))), Some('C'));
}

#[test]
fn boxes_close_or_do_not_count() {
    assert_eq!(boxes(r"\boxed{a\boxed{b}} \boxed{c}"), [r"a\boxed{b}", "c"]);
    assert_eq!(boxes(r"\boxed{a \boxed{b}"), ["b"]);
    assert_eq!(boxes(r"\boxed a {b} } \boxed"), Vec::<&str>::new());
    assert_eq!(boxes(r"}\boxed{}"), [""]);
}

#[test]
fn options_change_the_grade() {
    let default = WirelessMathConfig::default();
    let reference = r"\boxed{H^h w}";
    assert_eq!(graded(default, r"h^H w", reference), Some(0.0));
    assert_eq!(graded(default, r"\boxed{h^H w}", reference), Some(1.0));
    let unboxed = Unboxed::Substring;
    assert_eq!(
        graded(WirelessMathConfig { unboxed, ..default }, "so h^H w.", reference),
        Some(1.0)
    );
    assert_eq!(
        graded(
            WirelessMathConfig { unboxed, ..default },
            r"\boxed{x} h^H w",
            reference
        ),
        Some(0.0)
    );
    let case = Case::Sensitive;
    assert_eq!(
        graded(
            WirelessMathConfig { case, ..default },
            r"\boxed{h^H w}",
            reference
        ),
        Some(0.0)
    );
    let kind = WirelessMathKind::Mcq;
    assert_eq!(
        graded(WirelessMathConfig { kind, ..default }, "Option B", r"\boxed{b}"),
        Some(1.0)
    );
    assert_eq!(
        graded(WirelessMathConfig { kind, ..default }, "Option B", "E"),
        None
    );
    assert_eq!(
        graded(WirelessMathConfig { kind, ..default }, "Option B", "AB"),
        None
    );
    assert_eq!(graded(default, r"\boxed{x}", r"\boxed{a} \boxed{ }"), None);
}

#[test]
fn a_task_says_what_it_asks_for() {
    let verifier = WirelessMathConfig::default().build(&()).unwrap();
    let score = |kind: serde_json::Value, reply: &str| {
        let mut task = Task::new("t", "", "B");
        task.columns.insert("kind".to_owned(), kind);
        verifier.score(&task, &trajectory(&[(reply, 0.0)], StopReason::EndToken))
    };
    assert_eq!(
        score(json!("mcq"), "<think>A is correct</think>Option B"),
        Score::Value(1.0)
    );
    assert_eq!(score(json!("fill_75"), "Option B"), Score::Value(0.0));
    assert_eq!(score(json!("full"), r"\boxed{b}"), Score::Value(1.0));
    assert!(
        matches!(score(json!("open"), "B"), Score::Unscorable(r) if r.starts_with("task `t`, column `kind`: "))
    );
}

#[test]
fn hostile_replies_are_read_in_time() {
    for piece in [
        r"\boxed{",
        r"\boxed{}",
        "{",
        "}",
        "answer is ",
        "A ",
        r"\left",
        r"\boxed ",
    ] {
        let reply = piece.repeat(50_000);
        for kind in [WirelessMathKind::Mcq, WirelessMathKind::Fill] {
            let config = WirelessMathConfig {
                kind,
                ..WirelessMathConfig::default()
            };
            assert!(wireless_math(&reply, "A", &config).score.is_some());
        }
    }
}

proptest! {
    #[test]
    fn normal_forms_are_normal(formula in r"(\\mathbf|\\left|\\qquad|\\,|\\|[a-zA-Z{}^_=(), !:;\u{2212}-]){0,12}") {
        for case in [Case::Sensitive, Case::Insensitive] {
            let once = wireless_math_normal_form(&formula, case);
            prop_assert_eq!(&wireless_math_normal_form(&once, case), &once);
        }
    }

    #[test]
    fn another_font_changes_no_grade(
        parts in prop::collection::vec("[a-c]{1,2}", 1..4), reply in prop::collection::vec("[a-c]{1,2}", 0..5),
        fonts in prop::collection::vec(0..3usize, 9),
    ) {
        let boxed = |texts: &[String], fonts: &[usize]| -> String {
            let dressed = texts.iter().zip(fonts).map(|(text, font)| match font {
                0 => format!(r"\boxed{{{text}}} "),
                1 => format!(r"\boxed{{\mathbf{{{text}}}}} "),
                _ => format!(r"\boxed{{\mathrm {text}\,}} "),
            });
            dressed.collect()
        };
        let config = WirelessMathConfig::default();
        let plain = wireless_math(&boxed(&reply, &[0; 5]), &boxed(&parts, &[0; 4]), &config).score;
        let dressed = wireless_math(&boxed(&reply, &fonts[..5]), &boxed(&parts, &fonts[5..]), &config).score;
        prop_assert_eq!(plain, dressed);
        // The rule itself, by trying every choice of boxes.
        let chosen = (0u32..1 << reply.len()).any(|set| {
            let kept = reply.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, text)| text);
            kept.eq(parts.iter())
        });
        prop_assert_eq!(plain, Some(f64::from(u8::from(chosen))));
    }
}
