use proptest::prelude::*;

use super::*;

const GOOD: &str = "<think>\n2 + 3\n</think>\n<answer>\n5\n</answer>";

#[test]
fn the_format_is_two_parts_on_lines_of_their_own() {
    for (text, exact, line) in [
        (GOOD, 1.0, 1.0),
        ("<think>\n\n</think>\n<answer>\n\n</answer>", 1.0, 1.0),
        (
            "<think>\na\n</think>\n<answer>\nb\n</answer>\n<answer>\nc\n</answer>",
            1.0,
            1.0,
        ),
        (
            "<think>\na\n</think>\nb\n</think>\n<answer>\nc\n</answer>",
            1.0,
            1.0,
        ),
        ("<think>\na\n</think>\n<answer>\nb\n</answer>\n", 0.0, 1.0),
        ("<think>\na\n</think>\n<answer>\nb\n</answer>\nmore", 0.0, 1.0),
        ("<think>\na\n</think>\n<answer>\nb\n</answer> more", 0.0, 0.0),
        ("<think>\n</think>\n<answer>\nb\n</answer>", 0.0, 0.0),
        ("<think>\na\n</think>\n<answer>\n</answer>", 0.0, 0.0),
        ("<think>a</think>\n<answer>b</answer>", 0.0, 0.0),
        ("\n<think>\na\n</think>\n<answer>\nb\n</answer>", 0.0, 0.0),
        ("<think>\na\n</think>\n\n<answer>\nb\n</answer>", 0.0, 0.0),
        ("", 0.0, 0.0),
    ] {
        assert_eq!(format_reward(text, FormatEnd::Exact), exact, "{text}");
        assert_eq!(format_reward(text, FormatEnd::Line), line, "{text}");
    }
}

#[test]
fn a_thinking_part_starts_the_text_once_and_ends() {
    for (text, expected) in [
        ("<think></think>", 1.0),
        ("<think>a</think></think>b", 1.0),
        ("<think>a\nb</think>", 1.0),
        ("<think>a", 0.0),
        ("<think>a</think><think>b</think>", 0.0),
        (" <think>a</think>", 0.0),
        ("a</think>", 0.0),
    ] {
        assert_eq!(think_format_reward(text), expected, "{text}");
    }
}

#[test]
fn tags_count_once_each() {
    assert_eq!(tag_count_reward(GOOD), 1.0);
    assert_eq!(tag_count_reward("<think>\n<think>\na\n</think>\n"), 0.25);
    assert_eq!(tag_count_reward("<think>a</think>"), 0.0);
    // Neighboring tags share a line break.
    assert_eq!(tag_count_reward("\n</think>\n<answer>\n</answer>"), 0.75);
}

#[test]
fn steps_are_counted_up_to_three() {
    for (text, n) in [
        ("", 0.0),
        ("Step 1: a", 1.0),
        ("Step 1: a Step 22: b", 2.0),
        ("Step one: a, Step : b, Step 3 : c, step 4: d", 0.0),
        ("12. a\n13. b", 1.0),
        (" 1. a", 0.0),
        ("- a\n- b\n* c", 2.0),
        ("First, Second,", 2.0),
        ("first, First", 0.0),
        ("Next, Next, Finally,", 3.0),
        ("\n-\n-\n-\n-\n-", 3.0),
    ] {
        assert_eq!(reasoning_steps_reward(text), n / 3.0, "{text}");
    }
}

#[test]
fn code_stands_in_the_answer_part() {
    let within = |answer: &str| format!("<think>\n```python\n```\n</think>\n<answer>\n{answer}\n</answer>");
    for (answer, expected) in [
        ("```python\nx\n```", 1.0),
        ("Here: ```python x```.", 1.0),
        ("```python3\nx\n```\nDone", 1.0),
        ("```python\nx", 0.0),
        ("```Python\nx\n```", 0.0),
        ("```rust\nx\n```", 0.0),
        ("```\nx\n```", 0.0),
        ("x", 0.0),
    ] {
        let text = within(answer);
        assert_eq!(
            code_format_reward(&text, "python", FormatEnd::Exact),
            expected,
            "{answer}"
        );
        let more = format!("{text}\nmore");
        assert_eq!(
            code_format_reward(&more, "python", FormatEnd::Line),
            expected,
            "{answer}"
        );
        assert_eq!(code_format_reward(&more, "python", FormatEnd::Exact), 0.0);
    }
}

#[test]
fn the_last_closed_block_behind_the_thinking_is_the_code() {
    for (text, code) in [
        ("```python\na\n```", "a\n"),
        ("```python\na\n``` ```python\nb", "a\n"),
        ("```python\n``` ```rust\nb\n```", ""),
        ("```python a\n```", ""),
        ("<think>```python\na\n```</think>so", ""),
        ("<think>```python\na\n```", ""),
        ("<think>a</think>```python\nb\n```", "b\n"),
    ] {
        assert_eq!(code_block(text, "python"), code, "{text}");
    }
    assert_eq!(code_block("```rust\nb\n```", "rust"), "b\n");
}

#[test]
fn repetition_is_the_share_of_n_grams_seen_before() {
    let penalty = |text: &str, n, max| repetition_penalty(&words(text), n, max).unwrap();
    assert_eq!(penalty("a b c d", 2, -1.0).to_bits(), 0);
    assert_eq!(penalty("a b A b", 2, -1.0), -1.0 / 3.0);
    assert_eq!(penalty("x x x x", 1, -2.0), -1.5);
    assert_eq!(penalty("x x", 3, -1.0), 0.0);
    assert_eq!(penalty("", 1, -1.0), 0.0);
    let refused = |n, max| repetition_penalty(&[1, 2], n, max).unwrap_err().to_string();
    assert_eq!(refused(0, -1.0), "`ngram_size` = 0: must be >= 1");
    assert_eq!(
        refused(1, 0.5),
        "`max_penalty` = 0.5: must be a finite number <= 0"
    );
    assert!(refused(1, f64::NAN).starts_with("`max_penalty` = NaN"));
}

proptest! {
    #[test]
    fn no_text_panics_and_rewards_keep_their_ranges(
        text in any::<String>(), tags in "(<think>|</think>|<answer>|</answer>|```|python|\n|Step |1|:|\\.|-){0,24}",
    ) {
        for text in [text, tags] {
            for end in [FormatEnd::Exact, FormatEnd::Line] {
                let (format, code) = (format_reward(&text, end), code_format_reward(&text, "python", end));
                prop_assert!([0.0, 1.0].contains(&format) && code <= format);
            }
            prop_assert!(format_reward(&text, FormatEnd::Exact) <= format_reward(&text, FormatEnd::Line));
            prop_assert!((0.0..=1.0).contains(&tag_count_reward(&text)));
            prop_assert!((0.0..=1.0).contains(&reasoning_steps_reward(&text)));
            prop_assert!([0.0, 1.0].contains(&think_format_reward(&text)));
            prop_assert!(text.contains(code_block(&text, "python")));
        }
    }

    #[test]
    fn steps_added_never_lower_the_reward(text in "(Step 1:|\n- |First,| a){0,5}", more in "(Step 2:|\nb|Next,){0,3}") {
        prop_assert!(reasoning_steps_reward(&(text.clone() + &more)) >= reasoning_steps_reward(&text));
    }

    #[test]
    fn repetition_ignores_names_and_direction(items in prop::collection::vec(0u8..4, 0..24), n in 1usize..5) {
        let penalty = |items: &[u8]| repetition_penalty(items, n, -1.0).unwrap();
        let renamed: Vec<u8> = items.iter().map(|i| 9 - i).collect();
        let reversed: Vec<u8> = items.iter().rev().copied().collect();
        prop_assert_eq!(penalty(&items), penalty(&renamed));
        prop_assert_eq!(penalty(&items), penalty(&reversed));
        prop_assert!((-1.0..=0.0).contains(&penalty(&items)));
    }
}
