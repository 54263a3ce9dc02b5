use groupwise_core::testing::{Sample, samples};
use proptest::prelude::*;

use super::*;

fn aepo(change: impl FnOnce(&mut AepoConfig)) -> Aepo {
    let mut config = AepoConfig::default();
    change(&mut config);
    Aepo::new(&config).expect("valid")
}

/// The four groups of four of the worked example, and their advantages (sample deviation).
fn worked() -> (Vec<f64>, Vec<Option<f64>>) {
    let rewards = [
        1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0,
    ];
    let (a, b) = (0.866_024, 0.5);
    let advantages = [
        a, -a, -a, a, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -b, 1.5, -b, -b,
    ];
    (advantages.to_vec(), rewards.map(Some).to_vec())
}

#[test]
fn the_worked_example_on_either_side_of_the_target() {
    let (advantages, rewards) = worked();
    let plan = |aepo: Aepo, entropy| aepo.plan(entropy, &advantages, &rewards, 16).expect("fits");
    for (entropy, temperature, selected) in [
        (Some(0.3), 1.2, vec![0, 3, 13]),
        (Some(0.5), 1.2, vec![0, 3, 13]),
        (None, 1.2, vec![0, 3, 13]),
        (Some(0.5 + 1e-9), 0.8, vec![0]),
        (Some(0.9), 0.8, vec![0]),
    ] {
        let found = plan(aepo(|_| ()), entropy);
        assert_eq!(
            (found.temperature, &found.selected),
            (temperature, &selected),
            "{entropy:?}"
        );
        assert_eq!(found.replaced, (0..selected.len()).collect::<Vec<_>>());
    }
    let two = plan(aepo(|c| c.reinforce_num = 2), Some(0.1));
    assert_eq!((two.selected, two.replaced), (vec![0, 3], vec![0, 1]));
    assert!(plan(aepo(|c| c.reinforce_num = 0), Some(0.1)).selected.is_empty());
    assert_eq!(plan(aepo(|c| c.threshold = 1.0), Some(0.1)).selected, [13]);
    assert!(plan(aepo(|c| c.threshold = 1.5), Some(0.1)).selected.is_empty());
    let reward = plan(aepo(|c| c.select = AuxiliarySelection::Reward), Some(0.1));
    assert_eq!(reward.selected, [0, 3, 4, 5, 6, 7, 13]);
}

#[test]
fn halving_comes_after_the_cap_and_before_the_size_of_the_batch() {
    let (advantages, rewards) = (vec![1.0; 9], vec![Some(1.0); 9]);
    for (number, batch_size, high, k) in [
        (7, 20, false, 7),
        (7, 20, true, 3),
        (20, 20, true, 4),
        (20, 5, true, 4),
        (20, 3, true, 3),
    ] {
        let entropy = if high { 1.0 } else { 0.1 };
        let plan = aepo(|c| c.reinforce_num = number).plan(Some(entropy), &advantages, &rewards, batch_size);
        assert_eq!(
            plan.expect("fits").selected,
            (0..k).collect::<Vec<_>>(),
            "{number} of {batch_size}"
        );
    }
}

#[test]
fn nothing_to_select_and_unscorable_samples() {
    let plan = |aepo: Aepo| {
        aepo.plan(None, &[0.5, 0.5, 0.0], &[None, Some(1.0), Some(0.0)], 4)
            .expect("fits")
    };
    assert_eq!(plan(aepo(|_| ())).selected, [1]);
    assert_eq!(
        plan(aepo(|c| c.select = AuxiliarySelection::Reward)).selected,
        [1]
    );
    let none = aepo(|_| ()).plan(None, &[], &[], 4).expect("fits");
    assert_eq!((none.selected, none.replaced), (vec![], vec![]));
}

#[test]
fn auxiliary_prompts_are_a_floor() {
    let quarter = aepo(|_| ());
    let counts: Vec<usize> = [0, 3, 4, 7, 8, 512]
        .iter()
        .map(|p| quarter.auxiliary_prompts(*p))
        .collect();
    assert_eq!(counts, [0, 0, 1, 1, 2, 128]);
    let third = aepo(|c| c.aux_fraction = 1.0 / 3.0);
    assert_eq!([2, 3, 6, 9].map(|p| third.auxiliary_prompts(p)), [0, 1, 2, 3]);
    assert_eq!(aepo(|c| c.aux_fraction = 1.0).auxiliary_prompts(5), 5);
}

#[test]
fn the_additive_term_by_hand() {
    let term = aepo(|c| (c.mode, c.alpha) = (AepoMode::Additive, Some(0.4)));
    let tokens = Offsets::from_lengths([2, 1, 1, 1]);
    let at = term
        .additive(
            tokens.spans(),
            &[-1.0, -3.0, f64::NAN, -2.0, -5.0],
            &[true; 5],
            &[Some(1.0), None, Some(0.5), Some(0.0)],
        )
        .expect("fits");
    // M = 3: the unscorable one does not count.
    assert!((at.loss - 0.4 / 3.0 * (2.0 + 0.5 * 2.0)).abs() < 1e-12);
    let each = 0.4 / 3.0;
    for (d, e) in at
        .d_logp
        .iter()
        .zip([-each / 2.0, -each / 2.0, 0.0, -each / 2.0, 0.0])
    {
        assert!((d - e).abs() < 1e-15);
    }
    let replace = aepo(|_| ()).additive(tokens.spans(), &[-1.0; 5], &[true; 5], &[Some(1.0); 4]);
    assert_eq!(replace.expect("fits").loss, 0.0);
}

#[test]
fn entropy_is_measured_on_policy_or_over_the_update() {
    let tokens = Offsets::from_lengths([1, 2, 1]);
    let (logp, mask) = ([-4.0, -1.0, f64::NAN, -2.0], [true, true, false, true]);
    let measure = |source, n| aepo(|c| c.entropy_source = source).measure(tokens.spans(), &logp, &mask, n);
    assert_eq!(measure(EntropySource::OnPolicy, 1), Ok(Some(1.5)));
    assert_eq!(measure(EntropySource::OnPolicy, 0), Ok(Some(7.0 / 3.0)));
    assert_eq!(measure(EntropySource::Update, 1), Ok(Some(7.0 / 3.0)));
    assert_eq!(measure(EntropySource::OnPolicy, 3), Ok(None));
    let plain = aepo(|_| ());
    let refuse = |logp: &[f64], mask: &[bool]| {
        plain
            .measure(tokens.spans(), logp, mask, 0)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(refuse(&logp, &[true; 4]), "trajectory 1, token 1: `logp` is NaN");
    assert_eq!(refuse(&[0.0], &mask), "`logp` has 1 entries, expected 4");
    assert_eq!(refuse(&logp, &[true]), "`mask` has 1 entries, expected 4");
}

#[test]
fn refused_parameters() {
    let refuse = |change: &dyn Fn(&mut AepoConfig)| {
        let mut config = AepoConfig::default();
        change(&mut config);
        Aepo::new(&config).expect_err("refused").to_string()
    };
    for (value, printed) in [(0.0, "0"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refuse(&|c| c.entropy_target = value),
            format!("`entropy_target` = {printed}: must be a finite number > 0")
        );
    }
    for (value, printed) in [(1.0, "1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refuse(&|c| c.t_high = value),
            format!("`t_high` = {printed}: must be a finite number > 1")
        );
    }
    for (value, printed) in [(0.0, "0"), (1.0, "1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refuse(&|c| c.t_low = value),
            format!("`t_low` = {printed}: must be a number > 0 and < 1")
        );
    }
    for (value, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refuse(&|c| c.threshold = value),
            format!("`threshold` = {printed}: must be a finite number >= 0")
        );
        assert_eq!(
            refuse(&|c| (c.mode, c.alpha) = (AepoMode::Additive, Some(value))),
            format!("`alpha` = {printed}: must be a finite number >= 0 where `mode` is additive")
        );
    }
    for (value, printed) in [(0.0, "0"), (1.1, "1.1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refuse(&|c| c.aux_fraction = value),
            format!("`aux_fraction` = {printed}: must be a number > 0 and <= 1")
        );
    }
    assert_eq!(
        refuse(&|c| c.mode = AepoMode::Additive),
        "`alpha` = none: must be a finite number >= 0 where `mode` is additive"
    );
    assert_eq!(
        refuse(&|c| c.alpha = Some(0.1)),
        "`alpha` = 0.1: must be absent where `mode` is replace"
    );
    let edges = |c: &mut AepoConfig| (c.threshold, c.aux_fraction, c.reinforce_num) = (0.0, 1.0, 0);
    let _ = aepo(edges);
    let _ = aepo(|c| (c.mode, c.alpha) = (AepoMode::Additive, Some(0.0)));
}

#[test]
fn bad_data_is_named() {
    let plain = aepo(|_| ());
    let refuse = |entropy, advantages: &[f64], rewards: &[Option<f64>]| {
        plain
            .plan(entropy, advantages, rewards, 4)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refuse(Some(f64::NAN), &[0.0], &[None]),
        "last update: `entropy` is NaN"
    );
    assert_eq!(
        refuse(None, &[0.0; 2], &[None]),
        "`advantages` has 2 entries, expected 1"
    );
    assert_eq!(refuse(None, &[f64::NAN], &[None]), "index 0: `advantages` is NaN");
    assert_eq!(
        refuse(None, &[0.0; 2], &[None, Some(f64::INFINITY)]),
        "auxiliary trajectory 1: `reward` is inf"
    );
    assert_eq!(
        plain
            .temperature(Some(f64::INFINITY))
            .expect_err("refused")
            .to_string(),
        "last update: `entropy` is inf"
    );
    let tokens = Offsets::from_lengths([1]);
    let term = |rewards: &[Option<f64>]| {
        plain
            .additive(tokens.spans(), &[-1.0], &[true], rewards)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(term(&[]), "`rewards` has 0 entries, expected 1");
    assert_eq!(term(&[Some(f64::NAN)]), "auxiliary trajectory 0: `reward` is NaN");
}

fn plan_of(selected: Vec<usize>) -> AepoPlan {
    AepoPlan {
        temperature: 1.2,
        replaced: (0..selected.len()).collect(),
        selected,
    }
}

#[test]
fn a_plan_must_fit_the_batches() {
    let batch = TokenBatch {
        segments: None,
        groups: Offsets::from_lengths([2]),
        tokens: Offsets::from_lengths([1, 2]),
        prompts: vec![Arc::from([]); 2],
        ids: vec![0; 3],
        mask: vec![true; 3],
        logp_sampler: vec![-1.0; 3],
        logp_old: None,
        logp_ref: None,
        advantages: Advantages::Trajectory(vec![1.0, -1.0]),
        temperature: 1.0,
    };
    let refuse = |plan: AepoPlan| {
        replace_head(&batch, &batch, &plan)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refuse(plan_of(vec![2])),
        "selected: trajectory 2 is not in a batch of 2"
    );
    assert_eq!(
        refuse(plan_of(vec![0; 3])),
        "replaced: trajectory 2 is not in a batch of 2"
    );
    let plan = AepoPlan {
        replaced: vec![0],
        ..plan_of(vec![])
    };
    assert_eq!(refuse(plan), "`replaced` has 1 entries, expected 0");
}

fn row<T: Clone>(batch: &TokenBatch, values: &[T], i: usize) -> Vec<T> {
    values[batch.tokens.range(i)].to_vec()
}

fn advantages_of(batch: &TokenBatch, i: usize) -> Vec<f64> {
    match &batch.advantages {
        Advantages::Trajectory(a) => vec![a[i]; batch.tokens.range(i).len()],
        Advantages::Token(a) => row(batch, a, i),
    }
}

fn check_mixed(
    mixed: &TokenBatch,
    batch: &TokenBatch,
    auxiliary: &TokenBatch,
    plan: &AepoPlan,
) -> Result<(), TestCaseError> {
    mixed.check()?;
    prop_assert_eq!(&mixed.groups, &batch.groups);
    prop_assert_eq!(&mixed.logp_old, &None);
    for i in 0..batch.n_trajectories() {
        let chosen = plan.selected.get(i);
        let (source, j) = chosen.map_or((batch, i), |j| (auxiliary, *j));
        prop_assert_eq!(row(mixed, &mixed.ids, i), row(source, &source.ids, j));
        prop_assert_eq!(row(mixed, &mixed.mask, i), row(source, &source.mask, j));
        prop_assert_eq!(
            row(mixed, &mixed.logp_sampler, i),
            row(source, &source.logp_sampler, j)
        );
        prop_assert!(Arc::ptr_eq(&mixed.prompts[i], &source.prompts[j]));
        let advantages = advantages_of(mixed, i);
        match chosen {
            Some(_) => prop_assert!(advantages.iter().all(|a| *a == 1.0)),
            None => prop_assert_eq!(advantages, advantages_of(batch, i)),
        }
        if let (Some(mixed_ref), Some(source_ref)) = (&mixed.logp_ref, &source.logp_ref) {
            prop_assert_eq!(row(mixed, mixed_ref, i), row(source, source_ref, j));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn k_is_bounded_and_cooling_uses_at_most_half(
        groups in prop::collection::vec((-2.0..2.0f64, prop::option::weighted(0.8, 0.0..1.0f64)), 0..20),
        entropy in prop::option::of(0.0..1.0f64), number in 0usize..12, batch_size in 0usize..12,
    ) {
        let (advantages, rewards): (Vec<f64>, Vec<Option<f64>>) = groups.into_iter().unzip();
        for select in [AuxiliarySelection::Advantage, AuxiliarySelection::Reward] {
            let all = aepo(|c| (c.select, c.reinforce_num) = (select, usize::MAX)).plan(None, &advantages, &rewards, usize::MAX)?;
            let plan = aepo(|c| (c.select, c.reinforce_num) = (select, number)).plan(entropy, &advantages, &rewards, batch_size)?;
            let (k, s) = (plan.selected.len(), all.selected.len());
            let high = entropy.is_some_and(|h| h > 0.5);
            let expected = if high { number.min(s) / 2 } else { number.min(s) }.min(batch_size);
            prop_assert_eq!(k, expected);
            prop_assert!(!high || 2 * k <= s);
            prop_assert_eq!(&plan.selected, &all.selected[..k]);
            prop_assert_eq!(plan.replaced, (0..k).collect::<Vec<_>>());
            prop_assert!(plan.selected.windows(2).all(|w| w[0] < w[1]));
        }
    }

    #[test]
    fn temperature_depends_only_on_the_side_of_the_target(entropy in 0.0..3.0f64, target in 0.1..3.0f64) {
        let aepo = aepo(|c| c.entropy_target = target);
        let expected = if entropy <= target { 1.2 } else { 0.8 };
        prop_assert_eq!(aepo.temperature(Some(entropy))?, expected);
        prop_assert_eq!(aepo.temperature(Some(target))?, 1.2);
        prop_assert_eq!(aepo.plan(Some(entropy), &[], &[], 1)?.temperature, expected);
    }

    #[test]
    fn no_wrong_auxiliary_sample_carries_weight(right in prop::collection::vec(any::<bool>(), 2..10)) {
        let rewards: Vec<Option<f64>> = right.iter().map(|r| Some(f64::from(u8::from(*r)))).collect();
        let scored: Vec<f64> = rewards.iter().flatten().copied().collect();
        let (m, s) = (groupwise_core::stats::mean(&scored), groupwise_core::stats::sample_std(&scored));
        let advantages: Vec<f64> = scored.iter().map(|r| (r - m) / (s + 1e-6)).collect();
        for select in [AuxiliarySelection::Advantage, AuxiliarySelection::Reward] {
            let plan = aepo(|c| c.select = select).plan(None, &advantages, &rewards, 99)?;
            prop_assert!(plan.selected.iter().all(|i| right[*i]));
        }
    }

    #[test]
    fn the_additive_term_raises_what_is_right_and_is_linear_in_alpha(
        sample in samples(), alpha in 0.0..1.0f64, right in prop::collection::vec(any::<bool>(), 25),
    ) {
        let batch = &sample.batch;
        let rewards: Vec<Option<f64>> = (0..batch.n_trajectories()).map(|i| Some(f64::from(u8::from(right[i])))).collect();
        let term = |alpha| aepo(|c| (c.mode, c.alpha) = (AepoMode::Additive, Some(alpha)))
            .additive(batch.tokens.spans(), &sample.logp, &batch.mask, &rewards);
        let (at, one) = (term(alpha)?, term(1.0)?);
        prop_assert!((at.loss - alpha * one.loss).abs() < 1e-12);
        for (t, (d, full)) in at.d_logp.iter().zip(&one.d_logp).enumerate() {
            prop_assert!(*d <= 0.0 && (d - alpha * full).abs() < 1e-12);
            prop_assert!(batch.mask[t] || *d == 0.0);
        }
        // Minus alpha times the mean, over all trajectories, of R times the mean log-probability.
        let m = batch.n_trajectories() as f64;
        let expected: f64 = (0..batch.n_trajectories())
            .filter(|i| right[*i])
            .map(|i| batch.tokens.range(i).filter(|t| batch.mask[*t]).collect::<Vec<_>>())
            .filter(|tokens| !tokens.is_empty())
            .map(|tokens| tokens.iter().map(|t| sample.logp[*t]).sum::<f64>() / tokens.len() as f64)
            .sum();
        prop_assert!((at.loss + alpha * expected / m).abs() < 1e-12);
    }

    #[test]
    fn replaced_trajectories_are_those_of_the_plan_and_no_plan_is_a_plain_step(
        first in samples(), second in samples(), chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        references in prop::array::uniform2(any::<bool>()),
    ) {
        let Sample { mut batch, .. } = first;
        let Sample { batch: mut auxiliary, .. } = second;
        if !references[0] { batch.logp_ref = None; }
        if !references[1] { auxiliary.logp_ref = None; }
        let k = chosen.len().min(batch.n_trajectories());
        let plan = plan_of(chosen[..k].iter().map(|i| i.index(auxiliary.n_trajectories())).collect());
        let mixed = replace_head(&batch, &auxiliary, &plan)?;
        if k == 0 {
            prop_assert_eq!(mixed, batch);
        } else {
            let whole = k == batch.n_trajectories();
            prop_assert_eq!(mixed.logp_ref.is_some(), references[1] && (references[0] || whole));
            check_mixed(&mixed, &batch, &auxiliary, &plan)?;
        }
    }
}
