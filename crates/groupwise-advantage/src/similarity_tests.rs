use proptest::prelude::*;

use super::*;

/// The definition, word by word: quadratic search, no bound, no memory.
fn plain_matched(a: &[char], b: &[char]) -> usize {
    let (mut at, mut longest) = ((0, 0), 0);
    for i in 0..a.len() {
        for j in 0..b.len() {
            let k = a[i..].iter().zip(&b[j..]).take_while(|(x, y)| x == y).count();
            if k > longest {
                (at, longest) = ((i, j), k);
            }
        }
    }
    if longest == 0 {
        return 0;
    }
    let (i, j) = at;
    longest + plain_matched(&a[..i], &b[..j]) + plain_matched(&a[i + longest..], &b[j + longest..])
}

fn plain_ratio(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    match a.len() + b.len() {
        0 => 1.0,
        total => 2.0 * plain_matched(&a, &b) as f64 / total as f64,
    }
}

fn plain_groups(texts: &[String], threshold: f64) -> Vec<usize> {
    let mut leaders: Vec<&str> = Vec::new();
    let place = |text| {
        leaders
            .iter()
            .position(|b| plain_ratio(text, b) >= threshold)
            .unwrap_or_else(|| {
                leaders.push(text);
                leaders.len() - 1
            })
    };
    texts.iter().map(String::as_str).map(place).collect()
}

fn groups(texts: &[String], threshold: f64) -> Vec<usize> {
    let similarity = Similarity::new(threshold).expect("valid");
    similarity.groups(texts.iter().map(String::as_str))
}

/// Texts of few characters, so that ties, periods and rearrangements are common.
fn tight() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab]{0,14}|[abcé]{0,10}|(ab|ba|c){0,6}", 0..12)
}

/// A text and copies of it with characters replaced, put in and taken out.
fn edited() -> impl Strategy<Value = Vec<String>> {
    let edit = (0usize..3, 0usize..200, prop::char::range('a', 'f'));
    let copies = prop::collection::vec(prop::collection::vec(edit, 0..14), 0..8);
    ("[a-f ]{0,160}", copies).prop_map(|(text, copies)| {
        let edited = copies.iter().map(|edits| {
            let mut chars: Vec<char> = text.chars().collect();
            for (kind, at, c) in edits {
                let at = at % (chars.len() + 1);
                match kind {
                    0 => chars.insert(at, *c),
                    1 if at < chars.len() => chars[at] = *c,
                    _ if at < chars.len() => {
                        chars.remove(at);
                    }
                    _ => chars.push(*c),
                }
            }
            chars.into_iter().collect()
        });
        std::iter::once(text.clone()).chain(edited).collect()
    })
}

#[test]
fn ratios_agree_with_cpython() {
    // Computed with difflib.SequenceMatcher(None, a, b, autojunk=False) of CPython 3.
    for (a, b, expected) in [
        ("", "a", 0.0),
        ("abcd", "dcba", 0.25),
        ("private", "primate", 6.0 / 7.0),
        ("tide", "diet", 0.25),
        ("diet", "tide", 0.5),
        ("abxabyab", "yabxab", 5.0 / 7.0),
        ("xaxbxc", "abc", 2.0 / 3.0),
        ("The quick brown fox", "A quick brown dog", 7.0 / 9.0),
        ("größe", "grosse", 6.0 / 11.0),
        ("日本語の本", "本の日本語", 0.6),
        ("aaaaabaaaa", "aaaabaaaaa", 0.9),
        ("abcabcabc", "bcabcabca", 8.0 / 9.0),
        ("ababababab", "bababa", 0.75),
    ] {
        assert_eq!(ratio(a, b), expected, "{a} and {b}");
    }
}

#[test]
fn a_ratio_exactly_at_the_threshold_is_enough() {
    // 2 * 9 / 20 = 0.9 and 2 * 8 / 18 = 0.888...
    let texts = ["aaaabaaaaa", "aaaaabaaaa"].map(String::from);
    assert_eq!(groups(&texts, 0.9), [0, 0]);
    assert_eq!(groups(&texts, 0.9_f64.next_up()), [0, 1]);
    let texts = ["bcabcabca", "abcabcabc"].map(String::from);
    assert_eq!(groups(&texts, 8.0 / 9.0), [0, 0]);
    assert_eq!(groups(&texts, (8.0_f64 / 9.0).next_up()), [0, 1]);
}

#[test]
fn the_fewest_characters_that_reach_a_threshold_are_exact() {
    // 0.14 * 100 / 2 rounds to just above 7, and 2 * 7 / 100 is 0.14 all the same.
    let needed = |threshold: f64, a: usize, b: usize| {
        let leader = Leader {
            text: vec![0; b],
            counts: vec![],
        };
        Similarity::new(threshold).expect("valid").needed(a, &leader)
    };
    assert_eq!(needed(0.14, 40, 60), 7);
    for total in 1..200 {
        for matched in 1..=total / 2 {
            let threshold = ratio_of(matched, total);
            if threshold < 1.0 {
                assert_eq!(needed(threshold, 1, total - 1), matched);
                assert_eq!(needed(threshold.next_up(), 1, total - 1), matched + 1);
                assert_eq!(needed(threshold.next_down(), 1, total - 1), matched);
            }
        }
    }
}

#[test]
fn no_more_of_a_segment_can_be_matched_than_its_shorter_side_holds() {
    let of = |a, a_end, b, b_end| Segment { a, a_end, b, b_end }.bound();
    assert_eq!((of(2, 5, 1, 9), of(2, 9, 1, 5), of(3, 3, 0, 4)), (3, 4, 0));
}

#[test]
fn the_first_group_that_is_near_enough_is_taken_not_the_nearest() {
    // "abcdef" is nearer to "abcdeg" (5 of 6) than to "abcxyf" (4 of 6); both pass 0.6.
    let texts = ["abcxyf", "abcdeg", "abcdef"].map(String::from);
    assert_eq!(groups(&texts, 0.7), [0, 1, 1]);
    assert_eq!(groups(&texts, 0.6), [0, 1, 0]);
}

#[test]
fn members_are_compared_with_the_first_of_their_group_only() {
    // Each is near its neighbor, the last is not near the first.
    let texts = ["aaaaaaaa", "aaaaaabb", "aaaabbbb"].map(String::from);
    assert_eq!(groups(&texts, 0.7), [0, 0, 1]);
}

#[test]
fn the_text_that_comes_later_is_the_first_argument() {
    // ratio("diet", "tide") = 0.5, ratio("tide", "diet") = 0.25.
    assert_eq!(groups(&["tide", "diet"].map(String::from), 0.4), [0, 0]);
    assert_eq!(groups(&["diet", "tide"].map(String::from), 0.4), [0, 1]);
}

#[test]
fn empty_texts_are_equal_to_one_another_and_to_nothing_else() {
    assert_eq!(groups(&["", "a", "", "a"].map(String::from), 0.01), [0, 1, 0, 1]);
    assert_eq!(groups(&[], 0.5), Vec::<usize>::new());
}

#[test]
fn long_texts_have_no_popular_characters() {
    // CPython's heuristic would ignore every character of these 300 and give 0.
    let (a, b) = ("ab".repeat(150), "ba".repeat(150));
    assert_eq!(ratio(&a, &b), 299.0 / 300.0);
    let spaced = format!("{} tail", "x y ".repeat(80));
    assert_eq!(
        ratio(&spaced, &spaced.replace("tail", "tale")),
        plain_ratio(&spaced, &spaced.replace("tail", "tale"))
    );
}

#[test]
fn thresholds_outside_the_range_are_refused() {
    for (threshold, shown) in [(0.0, "0"), (1.0, "1"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
        assert_eq!(
            Similarity::new(threshold).expect_err("refused").to_string(),
            format!("`similarity` = {shown}: must be a number in (0, 1)")
        );
    }
}

#[test]
fn the_subsequence_bound_is_the_longest_common_subsequence() {
    // Across the borders of 64-bit words, where the carry must travel.
    for (a, b, lcs) in [
        ("ab".repeat(100), "ba".repeat(100), 199),
        ("a".repeat(130), "a".repeat(70), 70),
        ("a".repeat(64) + "b", "b".to_owned() + &"a".repeat(64), 64),
        ("xyz".repeat(50), "q".repeat(40), 0),
        ("".to_owned(), "abc".to_owned(), 0),
    ] {
        let mut search = Search::default();
        search.place(&a);
        let b = search.alphabet.encode(&b);
        search.index();
        assert!(search.shares_subsequence(&b, lcs), "{a}");
        assert!(!search.shares_subsequence(&b, lcs + 1), "{a}");
    }
}

fn plain_lcs(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for j in 0..b.len() {
            let kept = row[j + 1];
            row[j + 1] = if *x == b[j] {
                diagonal + 1
            } else {
                kept.max(row[j])
            };
            diagonal = kept;
        }
    }
    row[b.len()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn pruning_never_changes_a_group_of_tight_texts(texts in tight(), threshold in 0.05..0.99f64) {
        prop_assert_eq!(groups(&texts, threshold), plain_groups(&texts, threshold));
    }

    #[test]
    fn pruning_never_changes_a_group_of_near_equal_texts(texts in edited(), threshold in 0.6..0.99f64) {
        prop_assert_eq!(groups(&texts, threshold), plain_groups(&texts, threshold));
    }

    #[test]
    fn thresholds_that_ratios_hit_exactly_are_decided_alike(texts in tight(), n in 1usize..28) {
        let exact = (1..n).map(|k| k as f64 / n as f64).collect::<Vec<_>>();
        for threshold in exact {
            prop_assert_eq!(groups(&texts, threshold), plain_groups(&texts, threshold));
        }
    }

    #[test]
    fn the_ratio_is_that_of_the_definition(a in "[ab]{0,30}|[a-d]{0,30}", b in "[ab]{0,30}|[a-d]{0,30}") {
        prop_assert_eq!(ratio(&a, &b), plain_ratio(&a, &b));
        prop_assert!((0.0..=1.0).contains(&ratio(&a, &b)));
        prop_assert_eq!(ratio(&a, &a), 1.0);
    }

    #[test]
    fn every_bound_is_at_least_what_is_matched(texts in edited()) {
        let mut search = Search::default();
        for b in &texts {
            search.place(b);
            let leader = search.leader();
            for a in &texts {
                search.place(a);
                search.index();
                let matched = search.walk(&leader.text, |_, _| false);
                let lcs = plain_lcs(&search.text.clone(), &leader.text);
                prop_assert!(matched <= lcs);
                prop_assert!(search.shares_subsequence(&leader.text, lcs));
                prop_assert!(!search.shares_subsequence(&leader.text, lcs + 1));
                for needed in matched.saturating_sub(2)..matched + 2 {
                    prop_assert_eq!(search.reaches(&leader, needed), matched >= needed);
                }
            }
        }
    }
}
