use groupwise_core::Offsets;

use super::*;

fn token_values(config: &GaeConfig, batch: &RewardBatch<'_>) -> Vec<f64> {
    match config.build(&()).unwrap().estimate(batch).unwrap() {
        Advantages::Token(a) => a,
        Advantages::Trajectory(_) => panic!("per token"),
    }
}

fn plain() -> GaeConfig {
    GaeConfig {
        whiten: Whitening::None,
        ..Default::default()
    }
}

#[test]
fn the_outcome_stands_on_the_last_counted_token() {
    let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([3, 2]));
    let rewards = [Some(1.0), None];
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&[true, true, false, true, true]);
    batch.values = Some(&[0.5, 0.25, 9.0, 9.0, 9.0]);
    let a = token_values(&plain(), &batch);
    // delta_1 = 1 - 0.25; delta_0 = 0.25 - 0.5.
    assert_eq!(a, [-0.25 + 0.95 * 0.75, 0.75, 0.0, 0.0, 0.0]);
}

#[test]
fn steps_are_paid_out_on_their_own_last_token() {
    let (groups, tokens) = (Offsets::from_lengths([1]), Offsets::from_lengths([4]));
    let steps = Offsets::from_lengths([2]);
    let (spans, step_rewards) = ([0..2, 3..4], [0.5, 2.0]);
    let mut batch = RewardBatch::new(groups.spans(), &[Some(100.0)]);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&[true, true, false, true]);
    batch.values = Some(&[0.0; 4]);
    batch.steps = Some(steps.spans());
    batch.step_rewards = Some(&step_rewards);
    batch.step_tokens = Some(&spans);
    let config = GaeConfig {
        lam: 1.0,
        rewards: RewardSource::Steps,
        ..plain()
    };
    assert_eq!(token_values(&config, &batch), [2.5, 2.5, 0.0, 2.0]);
    batch.mask = Some(&[true, true, false, false]);
    let error = config.build(&()).unwrap().estimate(&batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "trajectory 0, step 1: reward 2 has no counted token to stand on"
    );
    // A step without counted tokens that was paid nothing has nothing to place.
    let unpaid = [0.5, 0.0];
    batch.step_rewards = Some(&unpaid);
    assert_eq!(token_values(&config, &batch), [0.5, 0.5, 0.0, 0.0]);
    let far = [0..2, 3..9];
    batch.step_tokens = Some(&far);
    let error = config.build(&()).unwrap().estimate(&batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "trajectory 0, step 1: tokens 3..9 leave the batch"
    );
}

#[test]
fn needs_follow_the_settings() {
    let needs = |config: GaeConfig| config.build(&()).unwrap().needs();
    assert_eq!(needs(plain()), Needs::TOKENS | Needs::VALUES);
    let config = GaeConfig {
        kl_coef: 0.1,
        rewards: RewardSource::Steps,
        ..plain()
    };
    let all = Needs::TOKENS | Needs::VALUES | Needs::LOGP_OLD | Needs::LOGP_REF | Needs::STEP_REWARDS;
    assert_eq!(needs(config), all);
}

#[test]
fn missing_values_are_named() {
    let (groups, tokens) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
    let mut batch = RewardBatch::new(groups.spans(), &[Some(1.0)]);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&[true; 2]);
    let error = plain().build(&()).unwrap().estimate(&batch).unwrap_err();
    assert_eq!(error.to_string(), "`values` is missing, and `gae` needs it");
    batch.values = Some(&[0.0; 2]);
    let config = GaeConfig {
        rewards: RewardSource::Steps,
        ..plain()
    };
    let error = config.build(&()).unwrap().estimate(&batch).unwrap_err();
    assert_eq!(error.to_string(), "`steps` is missing, and `gae` needs it");
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |config: GaeConfig| config.build(&()).unwrap_err().to_string();
    let gamma = GaeConfig {
        gamma: -0.1,
        ..Default::default()
    };
    assert_eq!(refused(gamma), "`gamma` = -0.1: must be a number in [0, 1]");
    let lam = GaeConfig {
        lam: f64::NAN,
        ..Default::default()
    };
    assert_eq!(refused(lam), "`lam` = NaN: must be a number in [0, 1]");
    let kl_coef = GaeConfig {
        kl_coef: f64::INFINITY,
        ..Default::default()
    };
    assert_eq!(refused(kl_coef), "`kl_coef` = inf: must be a finite number >= 0");
}

#[test]
fn the_formula_prints_the_numbers() {
    assert_eq!(
        GaeConfig::default().formula(),
        "A_t = delta_t + 1 * 0.95 A_t+1, delta_t = R_t + 1 V_t+1 - V_t, \
         R_t = -0 (logp_old - logp_ref) + [t last] r; then whiten(A) over the tokens of the batch (n - 1, 1e-8)"
    );
}
