use proptest::prelude::*;

use super::*;

const RULES: [F1Rule; 2] = [F1Rule::Squad, F1Rule::Hotpot];

/// The same normal form, in four passes.
fn by_passes(text: &str) -> String {
    let bare: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    let chars: Vec<char> = bare.chars().collect();
    let mut without = String::new();
    let mut i = 0;
    while i < chars.len() {
        let end = (i..chars.len())
            .find(|j| !chars[*j].is_alphanumeric())
            .unwrap_or(chars.len());
        if end == i {
            without.push(chars[i]);
            i += 1;
            continue;
        }
        let word: String = chars[i..end].iter().collect();
        without += if matches!(word.as_str(), "a" | "an" | "the") {
            " "
        } else {
            &word
        };
        i = end;
    }
    without
        .split(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn normal_forms_are_those_of_a_pencil() {
    for (text, form) in [
        ("", ""),
        ("The", ""),
        ("a A aN", ""),
        ("An  apple a day", "apple day"),
        ("other theories", "other theories"),
        ("th-e end", "end"),
        ("It's 3.14%", "its 314"),
        ("tab\tnew\nline", "tab new line"),
        ("the\u{2014}cat", "\u{2014}cat"),
        ("\u{201c}The cat\u{201d}", "\u{201c} cat\u{201d}"),
        ("cat the", "cat"),
        ("x the the y", "x y"),
        ("\u{1}a\u{1}", "\u{1} \u{1}"),
        ("no\u{1f}gap", "no gap"),
        ("\u{c9}TUDE", "\u{e9}tude"),
        ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"),
    ] {
        assert_eq!(normal_form(text), form, "{text:?}");
        assert_eq!(by_passes(text), form, "{text:?}");
    }
}

#[test]
fn scorers_differ_where_nothing_is_left_and_where_a_side_is_yes_or_no() {
    let f1 = |answer, gold, rule| token_f1(answer, &[gold], rule);
    assert_eq!(RULES.map(|r| f1("the", "a", r)), [1.0, 0.0]);
    assert_eq!(RULES.map(|r| f1("", "cat", r)), [0.0, 0.0]);
    assert_eq!(RULES.map(|r| f1("yes", "Yes!", r)), [1.0, 1.0]);
    assert_eq!(RULES.map(|r| f1("yes it is", "yes", r)), [0.5, 0.0]);
    assert_eq!(RULES.map(|r| f1("no answer", "noanswer", r)), [0.0, 0.0]);
    assert_eq!(f1("a b c d", "d c", F1Rule::Squad), 4.0 / 5.0);
    assert_eq!(token_f1("b c", &["x", "b", "c b"], F1Rule::Hotpot), 1.0);
    assert_eq!(token_f1::<&str>("b", &[], F1Rule::Squad), 0.0);
}

#[test]
fn the_best_gold_counts_and_parts_only_for_evaluation() {
    assert!(is_exact_match("lamp", &["chair", "The lamp."]));
    assert!(!is_exact_match::<&str>("", &[]));
    assert!(is_sub_exact_match("it is a red lamp", &["red lamp"]));
    assert!(!is_exact_match("it is a red lamp", &["red lamp"]));
    assert!(is_sub_exact_match("anything", &["the"]));
}

#[test]
fn a_verdict_shows_what_was_compared() {
    let verdict = exact_match_verdict("The Lamp!", &["chair", "lamp"]);
    assert!(verdict.is_correct());
    assert_eq!(verdict.extracted.as_deref(), Some("The Lamp!"));
    assert_eq!(
        (verdict.normal_form.as_deref(), verdict.reference.as_deref()),
        (Some("lamp"), Some("lamp"))
    );
    let wrong = exact_match_verdict("desk", &["chair", "the", "lamp"]);
    assert_eq!(
        (wrong.score, wrong.reference.as_deref()),
        (Some(0.0), Some("chair | lamp"))
    );
    assert_eq!(exact_match_verdict("", &["the"]).score, None);
}

proptest! {
    #[test]
    fn one_pass_is_four_passes(text in "[aAnThe .'\u{2014}\u{201d}\u{1c}\u{e9}\u{130}x0_-]{0,24}") {
        prop_assert_eq!(normal_form(&text), by_passes(&text));
    }

    #[test]
    fn any_text_has_a_normal_form_without_blanks_at_its_ends(text in any::<String>()) {
        let form = normal_form(&text);
        prop_assert_eq!(&form, &by_passes(&text));
        prop_assert_eq!(form.trim(), &form);
        prop_assert!(!form.contains("  "));
        prop_assert!(is_exact_match(&text, &[&text]));
        let mut scorer = QaScorer::default();
        scorer.f1("other words before", &["than these"], F1Rule::Squad);
        prop_assert!(scorer.is_exact_match(&text, &[&text]));
    }

    #[test]
    fn f1_is_symmetric_in_the_unit_interval_and_1_only_for_equal_bags(a in "[bcd ]{0,8}", b in "[bcd ]{0,8}") {
        for rule in RULES {
            let f1 = token_f1(&a, &[&b], rule);
            prop_assert_eq!(f1, token_f1(&b, &[&a], rule));
            prop_assert!((0.0..=1.0).contains(&f1));
            let (fa, fb) = (normal_form(&a), normal_form(&b));
            let same = sorted_tokens(&fa) == sorted_tokens(&fb) && (rule == F1Rule::Squad || !fa.is_empty());
            prop_assert_eq!(f1 == 1.0, same);
        }
    }
}
