//! Invariants of section 10, edge cases of section 5.

use proptest::prelude::*;

use super::*;

/// A group, owned.
#[derive(Clone, Debug)]
struct Group {
    members: usize,
    places: usize,
    vocabulary: usize,
    log_probs: Vec<f64>,
    mask: Vec<bool>,
}

impl Group {
    fn borrow(&self) -> GroupDistributions<'_> {
        GroupDistributions {
            n_members: self.members,
            n_positions: self.places,
            vocabulary: self.vocabulary,
            log_probs: &self.log_probs,
            mask: &self.mask,
        }
    }

    fn x(&self, i: usize, t: usize, v: usize) -> f64 {
        let at = i * self.places + t;
        if self.mask[at] {
            self.log_probs[at * self.vocabulary + v]
        } else {
            (1.0 / self.vocabulary as f64).ln()
        }
    }
}

fn groups() -> impl Strategy<Value = Group> {
    (1usize..5, 1usize..5, 1usize..5).prop_flat_map(|(members, places, vocabulary)| {
        let numbers = prop::collection::vec(-15.0..-0.01f64, members * places * vocabulary);
        let lengths = prop::collection::vec(0..=places, members);
        (numbers, lengths).prop_map(move |(log_probs, lengths)| Group {
            members,
            places,
            vocabulary,
            log_probs,
            mask: lengths
                .iter()
                .flat_map(|n| (0..places).map(move |t| t < *n))
                .collect(),
        })
    })
}

fn block(alpha: f64, divergence: Divergence) -> TokenDivergence {
    TokenDivergence::new(TokenDivergenceConfig { alpha, divergence }).expect("valid")
}

const BOTH: [Divergence; 2] = [Divergence::K3Sum, Divergence::Kl];

/// The definitions, literally.
fn literal(group: &Group, t: usize, divergence: Divergence) -> f64 {
    let (n, mut total) = (group.members as f64, 0.0);
    for i in 0..group.members {
        for v in 0..group.vocabulary {
            let column = (0..group.members).map(|j| group.x(j, t, v));
            let x = group.x(i, t, v);
            total += match divergence {
                Divergence::K3Sum => {
                    let d = (column.sum::<f64>() / n - x).clamp(-11.0, 11.0);
                    d.exp() - d - 1.0
                }
                Divergence::Kl => x.exp() * (x - (column.map(f64::exp).sum::<f64>() / n).ln()),
            };
        }
    }
    total / n
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn divergences_are_as_defined(group in groups()) {
        for divergence in BOTH {
            let found = block(1.7, divergence).weights(&group.borrow())?;
            for (t, d) in found.divergence.iter().enumerate() {
                let expected = literal(&group, t, divergence);
                prop_assert!((d - expected).abs() <= 1e-9 * (1.0 + expected.abs()), "{d} {expected}");
            }
            let peak = found.peak.expect("there is a place");
            prop_assert!(found.divergence.iter().all(|d| *d <= found.divergence[peak]));
        }
    }

    #[test]
    fn weights_lie_between_1_and_alpha_and_are_shared(group in groups(), alpha in 1.0..3.0f64) {
        for divergence in BOTH {
            let found = block(alpha, divergence).weights(&group.borrow())?;
            let of_place = block(alpha, divergence).of_divergences(&found.divergence);
            for (at, w) in found.weights.iter().enumerate() {
                if group.mask[at] {
                    prop_assert!((1.0..=alpha).contains(w));
                    prop_assert_eq!(*w, of_place[at % group.places]);
                } else {
                    prop_assert_eq!(*w, 0.0);
                }
            }
            // The bounds are reached over all places, padded ones included.
            let low = of_place.iter().copied().fold(f64::INFINITY, f64::min);
            let high = of_place.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let range = found.divergence[found.peak.unwrap()]
                - found.divergence.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert_eq!(low, 1.0);
            prop_assert!((high - (1.0 + (alpha - 1.0) * range / (range + 1e-8))).abs() < 1e-12);
        }
    }

    #[test]
    fn alpha_1_switches_the_weights_off(group in groups()) {
        for divergence in BOTH {
            let found = block(1.0, divergence).weights(&group.borrow())?;
            let ones: Vec<f64> = group.mask.iter().map(|m| f64::from(u8::from(*m))).collect();
            prop_assert_eq!(found.weights, ones);
        }
    }

    #[test]
    fn permuting_group_or_vocabulary_changes_nothing(group in groups()) {
        let (places, vocabulary) = (group.places, group.vocabulary);
        let mut reversed = group.clone();
        reversed.log_probs = group.log_probs.chunks(places * vocabulary).rev().flatten().copied().collect();
        reversed.mask = group.mask.chunks(places).rev().flatten().copied().collect();
        let mut renamed = group.clone();
        renamed.log_probs.chunks_mut(vocabulary).for_each(<[f64]>::reverse);
        for divergence in BOTH {
            let find = |g: &Group| block(1.7, divergence).weights(&g.borrow()).expect("data");
            let expected = find(&group);
            for (other, weights) in [
                (find(&reversed), expected.weights.chunks(places).rev().flatten().copied().collect()),
                (find(&renamed), expected.weights.clone()),
            ] {
                for (a, b) in other.divergence.iter().zip(&expected.divergence) {
                    prop_assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()));
                }
                let range = expected.divergence.iter().copied().fold(0.0, f64::max);
                for (a, b) in other.weights.iter().zip::<Vec<f64>>(weights) {
                    prop_assert!(range < 1e-6 || (a - b).abs() < 1e-5, "{a} {b}");
                }
            }
        }
    }
}

fn single(members: usize, places: usize, log_probs: &[f64]) -> Group {
    Group {
        members,
        places,
        vocabulary: log_probs.len() / (members * places),
        log_probs: log_probs.to_vec(),
        mask: vec![true; members * places],
    }
}

#[test]
fn equal_distributions_one_place_or_one_answer_weigh_1() {
    let row = [-1.0, -2.0, -0.7];
    for divergence in BOTH {
        let block = block(1.7, divergence);
        for group in [
            single(2, 2, &[row, row, row, row].concat()),
            single(2, 1, &[row, [-0.5, -2.5, -2.0]].concat()),
            single(1, 2, &[row, [-0.5, -2.5, -2.0]].concat()),
        ] {
            let found = block.weights(&group.borrow()).expect("data");
            for w in &found.weights {
                assert!((w - 1.0).abs() < 1e-6, "{divergence:?}: {w}");
            }
        }
        let empty = Group {
            members: 2,
            places: 0,
            vocabulary: 3,
            log_probs: vec![],
            mask: vec![],
        };
        let found = block.weights(&empty.borrow()).expect("data");
        assert_eq!(
            (found.weights, found.divergence, found.peak),
            (vec![], vec![], None)
        );
        assert_eq!(block.position(0, &[], 3, &mut Vec::new()), Ok(0.0));
        // Nobody has a token there: all are uniform.
        let nobody = block
            .position(0, &[None, None], 3, &mut Vec::new())
            .expect("data");
        assert!(nobody.abs() < 1e-15);
    }
}

#[test]
fn differences_are_clamped_and_vanished_probabilities_are_skipped() {
    // Mean -51, so d = +-50 is cut to +-11.
    let found =
        block(1.7, Divergence::K3Sum).position(0, &[Some(&[-1.0]), Some(&[-101.0])], 1, &mut Vec::new());
    let side = |d: f64| d.exp() - d - 1.0;
    assert!((found.expect("data") - (side(11.0) + side(-11.0)) / 2.0).abs() < 1e-9);
    // Mean -20: the two likely ones are cut at -11, the third at 11; their sum is no longer 0.
    let rows: [Option<&[f64]>; 3] = [Some(&[0.0]), Some(&[0.0]), Some(&[-60.0])];
    let found = block(1.7, Divergence::K3Sum).position(0, &rows, 1, &mut Vec::new());
    assert!((found.expect("data") - (side(11.0) + 2.0 * side(-11.0)) / 3.0).abs() < 1e-9);
    let rows: [Option<&[f64]>; 2] = [Some(&[0.0, -1000.0]), Some(&[0.0, -1000.0])];
    assert_eq!(
        block(1.7, Divergence::Kl).position(0, &rows, 2, &mut Vec::new()),
        Ok(0.0)
    );
}

#[test]
fn of_places_that_diverge_alike_the_first_is_the_peak() {
    let (near, far) = ([-1.0, -1.0], [-0.5, -2.0]);
    let group = single(2, 3, &[near, near, near, near, far, far].concat());
    let found = block(1.7, Divergence::K3Sum)
        .weights(&group.borrow())
        .expect("data");
    assert_eq!(found.divergence[1], found.divergence[2]);
    assert!(found.divergence[1] > found.divergence[0]);
    assert_eq!(found.peak, Some(1));
}

#[test]
fn kl_of_two_opposite_certainties_is_ln_2() {
    let rows: [Option<&[f64]>; 2] = [Some(&[0.0, -800.0]), Some(&[-800.0, 0.0])];
    let found = block(1.7, Divergence::Kl).position(0, &rows, 2, &mut Vec::new());
    assert!((found.expect("data") - 2.0_f64.ln()).abs() < 1e-12);
}

#[test]
fn data_that_do_not_fit_are_named() {
    let block = block(1.7, Divergence::K3Sum);
    let good = single(2, 2, &[-1.0; 8]);
    let refuse = |group: &Group| block.weights(&group.borrow()).expect_err("refused").to_string();
    let mut bad = good.clone();
    bad.mask.pop();
    assert_eq!(refuse(&bad), "`mask` has 3 entries, expected 4");
    let mut bad = good.clone();
    bad.log_probs.pop();
    assert_eq!(refuse(&bad), "`log_probs` has 7 entries, expected 8");
    let mut bad = good.clone();
    bad.log_probs[7] = f64::NEG_INFINITY;
    assert_eq!(
        refuse(&bad),
        "trajectory 1, token 1, entry 1: `log_probs` is -inf"
    );
    bad.mask[3] = false;
    assert!(block.weights(&bad.borrow()).is_ok());
    let bad = Group {
        vocabulary: 0,
        log_probs: vec![],
        ..good
    };
    assert_eq!(refuse(&bad), "token 0: the vocabulary is empty");
    let short = block.position(4, &[Some(&[-1.0])], 2, &mut Vec::new());
    assert_eq!(
        short.expect_err("refused").to_string(),
        "`log_probs of a place` has 1 entries, expected 2"
    );
}

#[test]
fn refused_parameters() {
    for bad in [0.99, -1.0, f64::NAN, f64::INFINITY] {
        let config = TokenDivergenceConfig {
            alpha: bad,
            ..TokenDivergenceConfig::default()
        };
        assert_eq!(
            TokenDivergence::new(config).expect_err("refused").to_string(),
            format!("`alpha` = {bad}: must be a finite number >= 1")
        );
    }
    let config: TokenDivergenceConfig =
        serde_json::from_str(r#"{"alpha": 1.0, "divergence": "k3-sum"}"#).expect("parses");
    assert!(TokenDivergence::new(config).is_ok());
    assert!(serde_json::from_str::<TokenDivergenceConfig>(r#"{"divergence": "js"}"#).is_err());
}

#[test]
fn the_place_of_the_largest_divergence_weighs_most() {
    let found = block(2.0, Divergence::Kl).of_divergences(&[1.0, 2.0, 5.0]);
    for (w, expected) in found.iter().zip([1.0, 1.25, 2.0]) {
        assert!((w - expected).abs() < 1e-8, "{found:?}");
    }
}
