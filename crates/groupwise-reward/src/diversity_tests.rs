//! Invariants of section 10, edge cases of section 5.

use proptest::prelude::*;

use super::*;

type Text = (Vec<Vec<u8>>, Vec<u8>);

fn texts() -> impl Strategy<Value = Text> {
    let sentence = prop::collection::vec(0u8..6, 0..7);
    prop::collection::vec((sentence, 0u8..4), 1..6)
        .prop_map(|text| text.into_iter().unzip())
        .prop_filter("a token", |(s, _): &Text| s.iter().any(|s| !s.is_empty()))
}

fn diversity() -> TextDiversity {
    TextDiversity::new(4, 100.0, 2).expect("valid")
}

fn scores(sentences: &[Vec<u8>], types: &[u8], function_words: &[u8]) -> DiversityScores {
    diversity()
        .scores(sentences, types, function_words)
        .expect("data")
}

fn parts(s: &DiversityScores) -> [f64; 8] {
    [s.lex, s.ent, s.len, s.pat, s.adj, s.yule, s.dist, s.func]
}

/// Entropy of a list over the logarithm of `kinds`, from its definition.
fn plain_evenness(items: &[u8], kinds: f64) -> f64 {
    let n = items.len() as f64;
    let share = |a: u8| items.iter().filter(|b| **b == a).count() as f64 / n;
    items.iter().map(|a| -share(*a).ln() / n).sum::<f64>() / kinds.ln()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_component_lies_in_the_unit_interval(
        (sentences, types) in texts(), function in prop::collection::vec(0u8..8, 0..5),
        num_types in 2usize..6, yule_scale in 0.01..500.0f64, ngram in 1usize..5,
    ) {
        let found = TextDiversity::new(num_types, yule_scale, ngram)?.scores(&sentences, &types, &function)?;
        prop_assert!(parts(&found).iter().all(|x| (0.0..=1.0).contains(x)), "{found:?}");
        prop_assert!((found.mean() - parts(&found).iter().sum::<f64>() / 8.0).abs() < 1e-12);
    }

    #[test]
    fn the_names_of_tokens_do_not_matter((sentences, types) in texts()) {
        // Reverses the order of names too.
        let rename = |t: &u8| format!("w{}", 9 - t);
        let renamed: Vec<Vec<String>> = sentences.iter().map(|s| s.iter().map(rename).collect()).collect();
        let here = scores(&sentences, &types, &[1, 2, 3]);
        let there = diversity().scores(&renamed, &types, &[1, 2, 3].map(|t| rename(&t)))?;
        for (a, b) in parts(&here).iter().zip(parts(&there)) {
            prop_assert!((a - b).abs() < 1e-12);
        }
        prop_assert_eq!(here.yule_k, there.yule_k);
    }

    #[test]
    fn components_are_what_their_definitions_say((sentences, types) in texts(), ngram in 1usize..4) {
        let found = TextDiversity::new(4, 50.0, ngram)?.scores(&sentences, &types, &[0, 1, 1, 9])?;
        let tokens = sentences.concat();
        let n = tokens.len() as f64;
        let mut kinds = tokens.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let near = |a: f64, b: f64| (a - b.min(1.0)).abs() < 1e-10;
        prop_assert!(near(found.lex, kinds.len() as f64 / n));
        let ent = if kinds.len() < 2 { 0.0 } else { plain_evenness(&tokens, kinds.len() as f64) };
        prop_assert!(near(found.ent, ent));
        prop_assert!(near(found.pat, plain_evenness(&types, 4.0)));
        let function: Vec<u8> = tokens.iter().copied().filter(|t| [0, 1, 9].contains(t)).collect();
        prop_assert!(near(found.func, plain_evenness(&function, 3.0)));
        let mean = n / sentences.len() as f64;
        let squares: f64 = sentences.iter().map(|s| (s.len() as f64 - mean).powi(2)).sum();
        prop_assert!(near(found.len, (squares / sentences.len() as f64).sqrt() / mean));
        // Yule's sum over ordered pairs of different places.
        let places = 0..tokens.len();
        let pairs = places.clone().flat_map(|i| places.clone().map(move |j| (i, j)));
        let equal = pairs.filter(|(i, j)| i != j && tokens[*i] == tokens[*j]).count() as f64;
        prop_assert!((found.yule_k - 1e4 * equal / (n * n)).abs() < 1e-8);
        prop_assert!(near(found.yule, 50.0 / (50.0 + found.yule_k)));
        let mut grams: Vec<&[u8]> = tokens.windows(ngram).collect();
        let all = grams.len().max(1) as f64;
        grams.sort_unstable();
        grams.dedup();
        prop_assert!(near(found.dist, grams.len() as f64 / all));
        let distance = |a: &[u8], b: &[u8]| {
            let either: Vec<u8> = (0..6).filter(|t| a.contains(t) || b.contains(t)).collect();
            let apart = either.iter().filter(|t| a.contains(t) != b.contains(t)).count();
            apart as f64 / either.len().max(1) as f64
        };
        let sum: f64 = sentences.windows(2).map(|w| distance(&w[0], &w[1])).sum();
        prop_assert!(near(found.adj, sum / (sentences.len() as f64 - 1.0).max(1.0)));
    }

    #[test]
    fn a_larger_scale_forgives_repetition((sentences, types) in texts(), scale in 0.1..500.0f64) {
        let yule = |s| TextDiversity::new(4, s, 2).map(|d| d.scores(&sentences, &types, &[]).map(|f| f.yule));
        let (small, large) = (yule(scale)??, yule(2.0 * scale)??);
        let repeats = scores(&sentences, &types, &[]).yule_k > 0.0;
        prop_assert!(!repeats || small < large);
        prop_assert!(repeats || (small == 1.0 && large == 1.0));
    }

    #[test]
    fn splitting_loses_no_word(words in prop::collection::vec("[a-z]{1,4}[.?!,]{0,2}", 0..12)) {
        let (sentences, types) = split_sentences(&words.join(" "));
        prop_assert_eq!(sentences.len(), types.len());
        prop_assert!(sentences.iter().all(|s| !s.is_empty()));
        let bare: Vec<&str> = words.iter().map(|w| w.trim_end_matches(['.', '?', '!', ','])).collect();
        prop_assert_eq!(sentences.concat(), bare);
        let ends = words.iter().filter(|w| w.ends_with(['.', '?', '!'])).count();
        let open = words.last().is_some_and(|w| !w.ends_with(['.', '?', '!']));
        prop_assert_eq!(sentences.len(), ends + usize::from(open));
        prop_assert_eq!(types.last() == Some(&SentenceType::Fragment), open);
    }
}

#[test]
fn lengths_that_vary_more_than_their_mean_are_clipped() {
    let found = scores(&[vec![1; 9], vec![], vec![], vec![]], &[0, 0, 0, 0], &[]);
    assert_eq!(found.len, 1.0);
    // Two sentences without tokens are alike; the first and the second share nothing.
    assert!((found.adj - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn more_types_than_the_inventory_are_clipped() {
    let rows = vec![vec![1u8]; 4];
    let of = |n| {
        TextDiversity::new(n, 1.0, 1)
            .unwrap()
            .scores(&rows, &[0, 1, 2, 3], &[])
            .unwrap()
            .pat
    };
    assert_eq!(of(2), 1.0);
    assert!((of(4) - 1.0).abs() < 1e-12);
    assert!((of(16) - 0.5).abs() < 1e-12);
}

#[test]
fn small_texts_and_inventories() {
    let one = scores(&[vec![3]], &[0], &[3]);
    assert_eq!(
        parts(&one),
        [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        "one function word has no entropy"
    );
    assert_eq!(one.yule_k, 0.0);
    let two = scores(&[vec![3, 4]], &[0], &[3, 4]);
    assert_eq!((two.dist, two.adj), (1.0, 0.0));
    assert!((two.func - 1.0).abs() < 1e-12 && (two.ent - 1.0).abs() < 1e-12);
    assert_eq!(scores(&[vec![3, 4]], &[0], &[]).func, 0.0);
    assert_eq!(scores(&[vec![3, 4]], &[0], &[5, 6]).func, 0.0);
}

#[test]
fn bad_parameters_and_texts_are_refused() {
    let new = |types, scale, ngram| TextDiversity::new(types, scale, ngram).unwrap_err().to_string();
    assert_eq!(new(1, 100.0, 2), "`num_types` = 1: must be >= 2");
    assert_eq!(new(2, 0.0, 2), "`yule_scale` = 0: must be a finite number > 0");
    assert_eq!(
        new(2, f64::INFINITY, 2),
        "`yule_scale` = inf: must be a finite number > 0"
    );
    assert_eq!(new(2, 1.0, 0), "`ngram` = 0: must be >= 1");
    assert!(TextDiversity::new(2, 1e-9, 1).is_ok());
    let refused = |sentences: &[Vec<u8>], types: &[u8]| {
        diversity().scores(sentences, types, &[]).unwrap_err().to_string()
    };
    assert_eq!(refused(&[], &[]), "text: is empty");
    assert_eq!(refused(&[vec![], vec![]], &[0, 1]), "text: is empty");
    assert_eq!(
        refused(&[vec![1]], &[]),
        "`types of sentences` has 0 entries, expected 1"
    );
}

#[test]
fn sentences_end_at_marks_and_lines() {
    use SentenceType::{Exclamation, Fragment, Question, Statement};
    let (sentences, types) = split_sentences("He said \"Stop!\" Why?! v1.2 ...\n\nThe end.) [ok]\n?");
    assert_eq!(
        sentences,
        [
            vec!["he", "said", "stop"],
            vec!["why"],
            vec!["v1.2"],
            vec!["the", "end"],
            vec!["ok"]
        ]
    );
    assert_eq!(types, [Exclamation, Exclamation, Statement, Statement, Fragment]);
    assert_eq!(split_sentences("a?").1, [Question]);
    assert_eq!(split_sentences(" \n . "), (vec![], vec![]));
}
