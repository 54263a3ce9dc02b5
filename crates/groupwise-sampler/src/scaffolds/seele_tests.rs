use proptest::prelude::*;

use super::*;
use crate::hint_length::hint_length;
use crate::item_response::{CurveBounds, Measured, fit_curve};
use crate::scaffolds::ScaffoldSpec;

fn build(config: SeeleConfig) -> Box<dyn Scaffold> {
    ScaffoldSpec::Seele(config).build(&()).unwrap()
}

fn default() -> Box<dyn Scaffold> {
    build(SeeleConfig::default())
}

fn task(reference: &str) -> Task {
    Task::new("t7", "1+1=", reference)
}

fn members(n: usize) -> Vec<Trajectory> {
    let one = Trajectory {
        turns: Vec::new(),
        ..Trajectory::of_reply("", 0)
    };
    vec![one; n]
}

fn first(scaffold: &dyn Scaffold, reference: &str) -> Rendered {
    scaffold
        .render(&task(reference), &PromptMemory::new(1, 4))
        .unwrap()
}

fn next(
    scaffold: &dyn Scaffold,
    reference: &str,
    rewards: &[Option<f64>],
    round: u32,
) -> Result<Option<Rendered>, DataError> {
    let outcome = GroupOutcome {
        task: 0,
        rewards: rewards.to_vec(),
        lengths: vec![1; rewards.len()],
    };
    scaffold.next_round(&task(reference), &members(rewards.len()), &outcome, round)
}

fn forced(text: &str) -> Rendered {
    Rendered {
        prefix: String::new(),
        forced_answer: text.to_owned(),
        hinted: !text.is_empty(),
        shared: None,
    }
}

#[test]
fn the_first_round_shows_all_but_the_last_unit() {
    assert_eq!(first(default().as_ref(), "a12b34"), forced("a12b3"));
    let by = |unit, first_rate| {
        build(SeeleConfig {
            unit,
            first_rate,
            ..SeeleConfig::default()
        })
    };
    let words = by(HintUnit::Word, None);
    assert_eq!(
        first(words.as_ref(), "add two  then three"),
        forced("add two  then ")
    );
    let lines = by(HintUnit::Line, Some(0.5));
    assert_eq!(first(lines.as_ref(), "x\ny\nz\nw"), forced("x\ny\n"));
}

#[test]
fn nothing_to_show_is_put_plainly_in_every_round() {
    for reference in ["", "7"] {
        assert_eq!(first(default().as_ref(), reference), Rendered::plain());
        for round in 1..4 {
            let rewards = vec![Some(0.0); 2 * round as usize];
            assert_eq!(
                next(default().as_ref(), reference, &rewards, round),
                Ok(Some(Rendered::plain()))
            );
        }
        assert_eq!(next(default().as_ref(), reference, &[Some(0.0); 8], 4), Ok(None));
    }
}

#[test]
fn rounds_end_after_their_number() {
    for rounds in 1..5 {
        let scaffold = build(SeeleConfig {
            rounds,
            ..SeeleConfig::default()
        });
        for round in 1..6 {
            let found = next(
                scaffold.as_ref(),
                "abcdef",
                &vec![Some(0.5); 2 * round as usize],
                round,
            );
            assert_eq!(found.unwrap().is_some(), round < rounds, "{round} of {rounds}");
        }
    }
}

#[test]
fn a_later_round_shows_what_the_fit_of_the_earlier_ones_says() {
    let reference = "abcdefghij";
    // Round 1 at 9 of 10: half right; unscorable members are left out.
    let rewards = [
        Some(1.0),
        Some(1.0),
        None,
        Some(1.0),
        Some(0.0),
        Some(0.0),
        None,
        Some(0.0),
    ];
    let at = |rate, accuracy| Measured { rate, accuracy };
    let length = |measured: &[Measured]| {
        let fit = fit_curve(measured, &CurveBounds::default()).unwrap();
        hint_length(fit.curve.hint_rate(0.5), 10).unwrap()
    };
    let second = length(&[at(0.9, 1.0)]);
    let found = next(default().as_ref(), reference, &rewards[..4], 1)
        .unwrap()
        .unwrap();
    assert_eq!(found, forced(&reference[..second]));
    assert!((1..9).contains(&second));
    let third = length(&[at(0.9, 1.0), at(second as f64 / 10.0, 0.0)]);
    let found = next(default().as_ref(), reference, &rewards, 2).unwrap().unwrap();
    assert_eq!(found, forced(&reference[..third]));
    assert!(third > second);
}

#[test]
fn the_target_moves_the_hint() {
    let length = |target| {
        let scaffold = build(SeeleConfig {
            target,
            first_rate: Some(0.5),
            ..SeeleConfig::default()
        });
        let rewards = [Some(1.0), Some(0.0)];
        let found = next(scaffold.as_ref(), "abcdefghijklmnopqrst", &rewards, 1);
        found.unwrap().unwrap().forced_answer.len()
    };
    assert!(length(0.1) < length(0.5) && length(0.5) < length(0.9));
}

#[test]
fn bad_data_is_named() {
    let refuse = |rewards: &[Option<f64>], round| {
        next(default().as_ref(), "abcdef", rewards, round)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse(&[Some(1.0); 3], 2),
        "task t7: 3 members are not 2 rounds of equal size"
    );
    assert_eq!(
        refuse(&[], 1),
        "task t7: 0 members are not 1 rounds of equal size"
    );
    assert_eq!(
        refuse(&[Some(1.0)], 0),
        "task t7: 1 members are not 0 rounds of equal size"
    );
    assert_eq!(
        refuse(&[Some(1.0), Some(1.0), Some(0.0), Some(-1.0)], 2),
        "task t7: round 2, rollout 1: reward -1 is outside [0, 1]"
    );
    let outcome = GroupOutcome {
        task: 0,
        rewards: vec![Some(1.0)],
        lengths: vec![1],
    };
    assert_eq!(
        default()
            .next_round(&task("abc"), &members(2), &outcome, 1)
            .unwrap_err()
            .to_string(),
        "`rewards` has 1 entries, expected 2"
    );
}

#[test]
fn refused_parameters_are_named() {
    let refuse = |config: SeeleConfig| ScaffoldSpec::Seele(config).build(&()).unwrap_err().to_string();
    let config = SeeleConfig::default;
    assert_eq!(
        refuse(SeeleConfig {
            rounds: 0,
            ..config()
        }),
        "`rounds` = 0: must be >= 1"
    );
    for (target, printed) in [(0.0, "0"), (1.0, "1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refuse(SeeleConfig { target, ..config() }),
            format!("`target` = {printed}: must be a number > 0 and < 1")
        );
    }
    for (rate, printed) in [(-0.1, "-0.1"), (1.1, "1.1"), (f64::NAN, "NaN")] {
        let first_rate = Some(rate);
        assert_eq!(
            refuse(SeeleConfig {
                first_rate,
                ..config()
            }),
            format!("`first_rate` = {printed}: must be in [0, 1]")
        );
    }
}

#[test]
fn the_formula_shows_its_numbers() {
    assert_eq!(
        SeeleConfig::default().formula(),
        "4 rounds; hint = first round(p n) of the n characters of the reference, at most n - 1; round 1: p = (n - 1) / n, \
         then p = f^-1(0.5), f(p) = b + (1 - b) / (1 + exp(-k (p + mu))) fitted to the rounds of this step"
    );
    let config = SeeleConfig {
        first_rate: Some(0.25),
        unit: HintUnit::Line,
        ..SeeleConfig::default()
    };
    assert!(config.formula().contains("n lines") && config.formula().contains("round 1: p = 0.25,"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_hint_is_a_proper_prefix_of_the_reference(
        reference in "[a-e ]{1,20}", wins in prop::collection::vec(any::<bool>(), 1..4), n in 1..4usize,
    ) {
        let rewards: Vec<Option<f64>> =
            wins.iter().flat_map(|w| vec![Some(f64::from(u8::from(*w))); n]).collect();
        let shown = next(default().as_ref(), &reference, &rewards, wins.len() as u32).unwrap().unwrap();
        prop_assert!(reference.starts_with(&shown.forced_answer));
        prop_assert!(shown.forced_answer.len() < reference.len());
        prop_assert_eq!(shown.hinted, !shown.forced_answer.is_empty());
        prop_assert_eq!(&shown.prefix, "");
    }
}
