use proptest::prelude::*;

use super::*;

fn scaf() -> ScafGrpo {
    ScafGrpo::new(&ScafGrpoConfig::default()).unwrap()
}

fn zeros(n: usize) -> Vec<Option<f64>> {
    vec![Some(0.0); n]
}

#[test]
fn the_third_level_solves_the_worked_example() {
    let mut outcomes = zeros(12);
    outcomes[2] = Some(1.0);
    outcomes[5] = Some(1.0);
    let group = scaf().step(101, 100, &zeros(8), &outcomes, 0.9).unwrap();
    let mut rewards = zeros(8);
    rewards[0] = Some(1.0);
    assert_eq!(
        group,
        ScafGroup {
            triggered: true,
            hint_level: Some(3),
            replaced: Some(0),
            rewards,
            extra_rollouts: 3
        }
    );
    let random = ScafGrpo::new(&ScafGrpoConfig {
        replace_index: ReplaceIndex::Random,
        ..ScafGrpoConfig::default()
    })
    .unwrap();
    let group = random.step(101, 100, &zeros(8), &outcomes, 0.9).unwrap();
    assert_eq!((group.replaced, group.rewards[7]), (Some(7), Some(1.0)));
}

#[test]
fn nothing_happens_in_the_exemption_or_to_a_group_with_a_success() {
    let solved = vec![Some(1.0); 12];
    let one = vec![Some(0.0), Some(0.25), None];
    for (step, rewards) in [(1, zeros(4)), (100, zeros(4)), (500, one), (500, vec![None; 2])] {
        let group = scaf().step(step, 100, &rewards, &solved, 0.0).unwrap();
        assert_eq!(
            group,
            ScafGroup {
                triggered: false,
                hint_level: None,
                replaced: None,
                rewards,
                extra_rollouts: 0
            }
        );
    }
}

#[test]
fn a_group_that_no_level_solves_stays_and_is_billed() {
    let mut outcomes = zeros(12);
    outcomes[3] = None;
    outcomes[7] = Some(-1.0);
    let group = scaf().step(1, 0, &zeros(4), &outcomes, 0.0).unwrap();
    assert_eq!(
        (group.triggered, group.hint_level, group.replaced),
        (true, None, None)
    );
    assert_eq!((group.rewards, group.extra_rollouts), (zeros(4), 12));
}

#[test]
fn exempt_steps_are_rounded_down() {
    let steps = |exemption, total| {
        let config = ScafGrpoConfig {
            exemption,
            ..ScafGrpoConfig::default()
        };
        ScafGrpo::new(&config).unwrap().exemption_steps(total)
    };
    assert_eq!(
        [(0.15, 100), (0.15, 7), (0.0, 500), (0.999, 1000), (0.25, 0)].map(|(e, t)| steps(e, t)),
        [15, 1, 0, 999, 0]
    );
}

#[test]
fn levels_keep_nothing_of_earlier_tiers() {
    let config = ScafGrpoConfig {
        tiers: 2,
        chunks: 2,
        ..ScafGrpoConfig::default()
    };
    let scaf = ScafGrpo::new(&config).unwrap();
    let tiers = [vec!["k1", "k2"], vec!["s1", "s2"]];
    let found: Vec<(usize, usize, &[&str])> = scaf
        .levels(&tiers)
        .unwrap()
        .iter()
        .map(|l| (l.level, l.tier, l.shown))
        .collect();
    assert_eq!(
        found,
        [
            (1, 0, &["k1"][..]),
            (2, 0, &["k1", "k2"][..]),
            (3, 1, &["s1"][..]),
            (4, 1, &["s1", "s2"][..]),
        ]
    );
    assert_eq!((scaf.n_levels(), self::scaf().n_levels()), (4, 12));
    let message = |tiers: &[Vec<&str>]| scaf.levels(tiers).unwrap_err().to_string();
    assert_eq!(message(&tiers[..1]), "`tiers` has 1 entries, expected 2");
    assert_eq!(
        message(&[vec!["a", "b"], vec!["c"]]),
        "`chunks of tier 1` has 1 entries, expected 2"
    );
}

#[test]
fn bad_parameters_and_data_are_named() {
    let refuse = |config: ScafGrpoConfig| ScafGrpo::new(&config).unwrap_err().to_string();
    let config = ScafGrpoConfig::default;
    for (exemption, printed) in [(1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refuse(ScafGrpoConfig {
                exemption,
                ..config()
            }),
            format!("`exemption` = {printed}: must be in [0, 1)")
        );
    }
    assert_eq!(
        refuse(ScafGrpoConfig { tiers: 0, ..config() }),
        "`tiers` = 0: must be >= 1"
    );
    assert_eq!(
        refuse(ScafGrpoConfig {
            chunks: 0,
            ..config()
        }),
        "`chunks` = 0: must be >= 1"
    );
    let message = |rewards: &[Option<f64>], outcomes: &[Option<f64>]| {
        scaf().step(5, 0, rewards, outcomes, 0.0).unwrap_err().to_string()
    };
    assert_eq!(message(&[], &zeros(12)), "group: is empty");
    assert_eq!(message(&zeros(2), &[]), "hints: have no levels");
    assert_eq!(
        message(&zeros(2), &[Some(f64::NAN)]),
        "success: reward NaN is not a finite number > 0"
    );
    assert_eq!(
        message(&[Some(f64::INFINITY)], &zeros(1)),
        "trajectory 0: `reward` is inf"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn invariants_of_a_step(
        rewards in prop::collection::vec(0..3u8, 1..9), outcomes in prop::collection::vec(0..2u8, 12),
        step in 1..40u64, exempt in 0..40u64, uniform in 0.0..1.0f64, random in any::<bool>(),
    ) {
        let config = ScafGrpoConfig {
            replace_index: if random { ReplaceIndex::Random } else { ReplaceIndex::First },
            ..ScafGrpoConfig::default()
        };
        let scaf = ScafGrpo::new(&config).unwrap();
        // Two of three rewards are failures, so that many groups fail throughout.
        let rewards: Vec<Option<f64>> = rewards.iter().map(|r| Some(f64::from(*r / 2))).collect();
        let outcomes: Vec<Option<f64>> = outcomes.iter().map(|r| Some(f64::from(*r))).collect();
        let group = scaf.step(step, exempt, &rewards, &outcomes, uniform).unwrap();
        let failed = rewards.iter().all(|r| *r == Some(0.0));
        prop_assert_eq!(group.triggered, failed && step > exempt);
        prop_assert_eq!(group.rewards.len(), rewards.len());
        prop_assert!(group.extra_rollouts <= scaf.n_levels());
        if !group.triggered {
            prop_assert_eq!(&group.rewards, &rewards);
            prop_assert_eq!(group.extra_rollouts, 0);
        }
        let changed: Vec<usize> = (0..rewards.len()).filter(|i| group.rewards[*i] != rewards[*i]).collect();
        prop_assert_eq!(changed, group.replaced.into_iter().collect::<Vec<_>>());
        if let Some(replaced) = group.replaced {
            prop_assert_eq!(rewards[replaced], Some(0.0));
            prop_assert!(group.rewards[replaced] > Some(0.0));
            let level = group.hint_level.unwrap();
            prop_assert_eq!(level, group.extra_rollouts);
            prop_assert!(outcomes[level - 1] == Some(1.0) && outcomes[..level - 1].iter().all(|r| *r == Some(0.0)));
        } else {
            prop_assert_eq!(group.hint_level, None);
            prop_assert!(!group.triggered || outcomes.iter().all(|r| *r == Some(0.0)));
        }
    }
}
