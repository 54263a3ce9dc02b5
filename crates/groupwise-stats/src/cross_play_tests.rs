use proptest::prelude::*;

use super::*;

fn table(rates: &[f64]) -> WinRates {
    // Rows below the diagonal, one after the other.
    let n = (1..).find(|n| n * (n - 1) / 2 >= rates.len()).unwrap();
    let mut one = WinRates::of_one().rows().to_vec();
    let mut next = rates.iter();
    for newest in 1..n {
        let rates: Vec<f64> = (0..newest).map(|_| *next.next().unwrap_or(&0.5)).collect();
        one = WinRates::new(one).unwrap().grown(&rates).unwrap().rows().to_vec();
    }
    let rows = one;
    WinRates::new(rows).unwrap()
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < tolerance, "{found:?} {expected:?}");
    }
}

#[test]
fn bad_tables_are_refused_by_place() {
    let refused = |rows: &[&[f64]]| {
        let rows = rows.iter().map(|row| row.to_vec()).collect();
        WinRates::new(rows).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "`payoff` has 0 values, needs at least 1");
    assert_eq!(
        refused(&[&[0.5, 0.5], &[0.5]]),
        "`row of payoff` has 1 values, expected 2"
    );
    assert_eq!(
        refused(&[&[0.5, 0.6], &[0.5, 0.5]]),
        "`payoff`, entry 1: 0.6 is not 1 minus the rate of the opponent"
    );
    assert_eq!(
        refused(&[&[0.4]]),
        "`payoff`, entry 0: 0.4 is not 1 minus the rate of the opponent"
    );
    assert!(refused(&[&[f64::NAN]]).contains("NaN is not in [0, 1]"));
    let one = WinRates::of_one();
    assert!(one.grown(&[]).is_err() && one.grown(&[1.1]).is_err());
    assert!(one.alpha_rank(0.5).is_err() && one.alpha_rank(0.0).is_err());
}

#[test]
fn one_policy_plays_itself() {
    let one = WinRates::of_one();
    assert_eq!(one.equilibrium().probabilities, [1.0]);
    assert_eq!(one.alpha_rank(0.01).unwrap(), [1.0]);
    for rule in [
        Opponents::SelfPlay,
        Opponents::FictitiousPlay,
        Opponents::DoubleOracle,
    ] {
        assert_eq!(one.opponents(rule), [1.0]);
    }
}

#[test]
fn opponents_are_weighted_by_the_rule() {
    let cycle = table(&[0.0, 1.0, 0.0]);
    assert_eq!(cycle.opponents(Opponents::SelfPlay), [0.0, 0.0, 1.0]);
    assert_near(
        &cycle.opponents(Opponents::FictitiousPlay),
        &[1.0 / 3.0; 3],
        1e-15,
    );
    assert_near(&cycle.opponents(Opponents::DoubleOracle), &[1.0 / 3.0; 3], 1e-12);
    let tied = WinRates::new(vec![vec![0.5; 4]; 4]).unwrap();
    assert_near(&tied.alpha_rank(0.1).unwrap(), &[0.25; 4], 1e-15);
    assert!((tied.equilibrium().value - 0.5).abs() < 1e-12);
}

proptest! {
    #[test]
    fn nobody_beats_the_equilibrium(rates in prop::collection::vec(0.0..=1.0f64, 1..45)) {
        let table = table(&rates);
        let equilibrium = table.equilibrium();
        prop_assert!((equilibrium.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(equilibrium.probabilities.iter().all(|p| *p >= 0.0));
        prop_assert!((equilibrium.value - 0.5).abs() < 1e-9, "{:?}", equilibrium);
        prop_assert!(equilibrium.exploitability < 1e-9);
        // Every policy that is played wins its half.
        for (row, p) in table.rows().iter().zip(&equilibrium.probabilities) {
            let wins: f64 = row.iter().zip(&equilibrium.probabilities).map(|(m, q)| m * q).sum();
            prop_assert!(*p < 1e-9 || (wins - 0.5).abs() < 1e-9);
        }
    }

    #[test]
    fn ties_and_steps_do_not_stop_the_solver(steps in prop::collection::vec(0..=2u8, 1..66)) {
        let rates: Vec<f64> = steps.iter().map(|s| f64::from(*s) / 2.0).collect();
        let equilibrium = table(&rates).equilibrium();
        prop_assert!((equilibrium.value - 0.5).abs() < 1e-9);
    }

    #[test]
    fn growth_keeps_the_halves_and_a_copy_the_value(rates in prop::collection::vec(0.0..=1.0f64, 1..10)) {
        let before = table(&rates);
        let copied = before.rows()[0].clone();
        let after = before.grown(&copied).unwrap();
        prop_assert!(WinRates::new(after.rows().to_vec()).is_ok());
        prop_assert!((after.equilibrium().value - 0.5).abs() < 1e-9);
    }

    #[test]
    fn ranks_are_stationary_and_read_signs_only(rates in prop::collection::vec(0.0..=1.0f64, 1..28), eps in 0.001..0.49f64) {
        let table = table(&rates);
        let ranks = table.alpha_rank(eps).unwrap();
        prop_assert!((ranks.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let n = ranks.len();
        let eta = 1.0 / (n - 1) as f64;
        for r in 0..n {
            // What flows in equals what flows out.
            let step = |s: usize, r: usize| match table.rows()[r][s].partial_cmp(&table.rows()[s][r]) {
                Some(std::cmp::Ordering::Greater) => eta * (1.0 - eps),
                Some(std::cmp::Ordering::Less) => eta * eps,
                _ => eta / 2.0,
            };
            let others = (0..n).filter(|s| *s != r);
            let balance: f64 = others.map(|s| ranks[s] * step(s, r) - ranks[r] * step(r, s)).sum();
            prop_assert!(balance.abs() < 1e-12);
        }
        let signs: Vec<f64> = rates.iter().map(|m| 0.5 + (m - 0.5).powi(3)).collect();
        let cubed = super::tests::table(&signs).alpha_rank(eps).unwrap();
        prop_assert!(ranks.iter().zip(&cubed).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
