use groupwise_core::testing::{
    CheckFailure, Sample, check_gradient_away_from, check_invariance, evaluate_whole, samples,
};
use groupwise_core::{Advantages, Offsets};
use proptest::prelude::*;

use super::*;
use crate::objectives::{CispoConfig, GspoConfig, RlooConfig};

const GATES: [LldsGate; 3] = [LldsGate::Action, LldsGate::Response, LldsGate::Token];
const NORMS: [LldsNorm; 2] = [LldsNorm::Sequence, LldsNorm::Token];

fn penalty(lambda: f64, gate: LldsGate, answer_weight: f64, norm: LldsNorm) -> Llds {
    Llds::new(lambda, gate, answer_weight, norm).expect("valid")
}

/// The three responses of the worked example; the third token of the first is a tool's.
fn worked(
    evaluate: impl FnOnce(&LldsBatch<'_>) -> LldsEvaluation,
    change: impl Fn(&mut LldsBatch<'_>),
) -> LldsEvaluation {
    let tokens = Offsets::from_lengths([5, 2, 2]);
    let mask = [true, true, false, true, true, true, true, true, true];
    let answer = [false, false, false, false, true, false, true, false, true];
    let mut batch = LldsBatch {
        tokens: tokens.spans(),
        mask: &mask,
        logp: &[-1.0, -0.5, -2.0, -0.7, -0.2, -0.3, -0.4, -3.0, -3.0],
        logp_old: &[-0.8, -0.6, -2.0, -0.9, -0.1, -0.5, -0.1, -1.0, -1.0],
        advantages: &[1.0, 0.0, -1.0],
        answer: Some(&answer),
    };
    change(&mut batch);
    evaluate(&batch)
}

fn on(tokens: &[usize]) -> Vec<bool> {
    (0..9).map(|t| tokens.contains(&t)).collect()
}

#[test]
fn the_worked_example_under_every_gate_norm_and_answer_weight() {
    for (gate, answer_weight, norm, loss, active) in [
        (LldsGate::Action, 1.0, LldsNorm::Sequence, 0.02, on(&[0, 6])),
        (LldsGate::Response, 1.0, LldsNorm::Sequence, 0.015, on(&[6])),
        (LldsGate::Token, 1.0, LldsNorm::Sequence, 0.0225, on(&[0, 4, 6])),
        (LldsGate::Action, 1.0, LldsNorm::Token, 0.0125, on(&[0, 6])),
        (LldsGate::Action, 0.2, LldsNorm::Sequence, 0.008, on(&[0, 6])),
        (LldsGate::Token, 0.0, LldsNorm::Token, 0.005, on(&[0, 4, 6])),
    ] {
        let penalty = penalty(0.2, gate, answer_weight, norm);
        let at = worked(|batch| penalty.evaluate(batch).expect("fits"), |_| ());
        assert!((at.loss - loss).abs() < 1e-12, "{gate:?} {norm:?}: {}", at.loss);
        assert_eq!(at.active, active, "{gate:?}");
    }
}

#[test]
fn an_unknown_answer_span_weighs_nothing_down() {
    let light = penalty(0.2, LldsGate::Action, 0.2, LldsNorm::Sequence);
    let at = worked(
        |batch| light.evaluate(batch).expect("fits"),
        |batch| batch.answer = None,
    );
    assert!((at.loss - 0.02).abs() < 1e-12);
}

#[test]
fn nothing_to_preserve_costs_nothing() {
    for (norm, gate) in NORMS.into_iter().flat_map(|norm| GATES.map(|gate| (norm, gate))) {
        let penalty = penalty(0.2, gate, 1.0, norm);
        let none = worked(
            |batch| penalty.evaluate(batch).expect("fits"),
            |batch| batch.advantages = &[-0.1, -1.0, -2.0],
        );
        assert_eq!(
            (none.loss, none.d_logp, none.active),
            (0.0, vec![0.0; 9], vec![false; 9])
        );
        let silent = worked(
            |batch| penalty.evaluate(batch).expect("fits"),
            |batch| batch.mask = &[false; 9],
        );
        assert_eq!((silent.loss, silent.d_logp), (0.0, vec![0.0; 9]));
    }
}

#[test]
fn a_silent_response_is_not_preserved_and_dilutes_nothing() {
    let penalty = penalty(1.0, LldsGate::Token, 1.0, LldsNorm::Sequence);
    let tokens = Offsets::from_lengths([1, 2]);
    let at = penalty.evaluate(&LldsBatch {
        tokens: tokens.spans(),
        mask: &[true, false, false],
        logp: &[-1.0, f64::NAN, 0.0],
        logp_old: &[-0.5, 0.0, f64::INFINITY],
        advantages: &[0.0, 1.0],
        answer: None,
    });
    let at = at.expect("masked tokens are not read");
    assert_eq!((at.loss, at.d_logp), (0.5, vec![-1.0, 0.0, 0.0]));
}

#[test]
fn a_unit_that_keeps_its_likelihood_in_total_is_off_though_a_token_lost() {
    let tokens = Offsets::from_lengths([2]);
    let batch = LldsBatch {
        tokens: tokens.spans(),
        mask: &[true, true],
        logp: &[-1.5, -0.5],
        logp_old: &[-1.0, -1.0],
        advantages: &[1.0],
        answer: None,
    };
    for (gate, loss) in [
        (LldsGate::Action, 0.0),
        (LldsGate::Response, 0.0),
        (LldsGate::Token, 0.25),
    ] {
        let at = penalty(1.0, gate, 1.0, LldsNorm::Sequence)
            .evaluate(&batch)
            .expect("fits");
        assert_eq!(at.loss, loss, "{gate:?}");
    }
}

#[test]
fn actions_are_runs_of_the_mask() {
    let runs = |mask: &[bool]| actions(mask).collect::<Vec<_>>();
    assert_eq!(runs(&[]), []);
    assert_eq!(runs(&[false, false]), []);
    assert_eq!(runs(&[true]), [0..1]);
    assert_eq!(runs(&[false, true, true, false, false, true]), [1..3, 5..6]);
}

#[test]
fn refused_parameters() {
    let refuse = |config: LldsConfig| config.build(&()).expect_err("refused").to_string();
    for (lambda, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let config = LldsConfig {
            lambda,
            ..LldsConfig::default()
        };
        assert_eq!(
            refuse(config),
            format!("`lambda` = {printed}: must be a finite number >= 0")
        );
    }
    for (answer_weight, printed) in [(-0.1, "-0.1"), (1.1, "1.1"), (f64::NAN, "NaN")] {
        let config = LldsConfig {
            answer_weight,
            ..LldsConfig::default()
        };
        assert_eq!(
            refuse(config),
            format!("`answer_weight` = {printed}: must be a number in [0, 1]")
        );
    }
    assert_eq!(
        refuse(LldsConfig {
            answer_weight: 0.5,
            ..LldsConfig::default()
        }),
        "`answer_weight` = 0.5: must be 1 where `answer_span` is unknown: no token could be weighed"
    );
    let base = GspoConfig {
        epsilon: -1.0,
        ..GspoConfig::default()
    };
    assert_eq!(
        refuse(LldsConfig {
            base: Box::new(ObjectiveSpec::Gspo(base)),
            ..LldsConfig::default()
        }),
        "`base.gspo.epsilon` = -1: must be a number > 0 and < 1"
    );
    let zero = LldsConfig {
        lambda: 0.0,
        answer_weight: 0.0,
        answer_span: AnswerSpan::LastAction,
        ..LldsConfig::default()
    };
    assert!(zero.build(&()).is_ok());
}

#[test]
fn the_formula_names_what_is_active() {
    let base = LldsConfig::default().base.formula();
    assert_eq!(
        LldsConfig::default().formula(),
        format!(
            "{base} + 0.2 mean_{{i: A_i >= 0}} 1/n_i sum_t w_t max(0, D_t) over actions with sum D > 0; \
             D_t = logp_old - logp, w_t = 1"
        )
    );
    let other = LldsConfig {
        gate: LldsGate::Response,
        answer_weight: 0.5,
        answer_span: AnswerSpan::LastAction,
        norm: LldsNorm::Token,
        ..LldsConfig::default()
    };
    assert!(other.formula().ends_with(
        "+ 0.2 1 / (sum_j n_j) sum_{i: A_i >= 0} sum_t w_t max(0, D_t) over responses with sum D > 0; \
         D_t = logp_old - logp, w_t = 0.5 in the last action, else 1"
    ));
    let token = LldsConfig {
        gate: LldsGate::Token,
        ..LldsConfig::default()
    };
    assert!(token.formula().contains("over tokens with D > 0;"));
}

#[test]
fn the_base_keeps_its_say() {
    let spec = |base| {
        ObjectiveSpec::Llds(LldsConfig {
            base: Box::new(base),
            ..LldsConfig::default()
        })
    };
    let rloo = spec(ObjectiveSpec::Rloo(RlooConfig::default()));
    assert_eq!(
        rloo.kl_penalty(),
        ObjectiveSpec::Rloo(RlooConfig::default()).kl_penalty()
    );
    assert!(rloo.kl_penalty().expect("valid").is_some());
    assert_eq!(
        spec(ObjectiveSpec::Cispo(CispoConfig::default())).kl_penalty(),
        Ok(None)
    );
    let built = rloo.build(&()).expect("valid");
    assert_eq!(built.needs(), Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF);
    assert_eq!(built.scope(), Scope::Trajectory);
    let supervised = spec(ObjectiveSpec::Supervised(Default::default()))
        .build(&())
        .expect("valid");
    assert_eq!(supervised.needs(), Needs::TOKENS | Needs::LOGP_OLD);
    assert_eq!(supervised.scope(), Scope::Trajectory);
}

fn tiny() -> Sample {
    Sample {
        batch: TokenBatch {
            segments: None,
            groups: Offsets::from_lengths([2]),
            tokens: Offsets::from_lengths([1, 2]),
            prompts: vec![std::sync::Arc::from([]); 2],
            ids: vec![0; 3],
            mask: vec![true; 3],
            logp_sampler: vec![-1.0; 3],
            logp_old: Some(vec![-1.0; 3]),
            logp_ref: None,
            advantages: Advantages::Trajectory(vec![1.0, -1.0]),
            temperature: 1.0,
        },
        logp: vec![-1.25, -1.0, -1.0],
        entropy: vec![0.0; 3],
        value: vec![0.0; 3],
    }
}

#[test]
fn bad_numbers_are_named() {
    let objective = build(&LldsConfig::default());
    let sample = tiny();
    let with = |change: &dyn Fn(&mut Sample)| {
        let mut sample = sample.clone();
        change(&mut sample);
        evaluate_whole(objective.as_ref(), &sample.batch, &sample.inputs())
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        with(&|s| s.logp[0] = f64::NAN),
        "the objective refused the batch: trajectory 0, token 0: `logp` is NaN"
    );
    assert_eq!(
        with(&|s| s.batch.logp_old = Some(vec![f64::INFINITY; 3])),
        "the objective refused the batch: trajectory 0, token 0: `logp_old` is inf"
    );
    assert_eq!(
        with(&|s| s.batch.advantages = Advantages::Token(vec![0.0, f64::NAN, 0.0])),
        "the objective refused the batch: trajectory 1: `advantage` is NaN"
    );
}

#[test]
fn slices_that_do_not_fit_are_refused() {
    let (objective, sample) = (build(&LldsConfig::default()), tiny());
    let view = sample.batch.view(0..2, &sample.logp, None).expect("fits");
    let refuse = |frozen: &Frozen| {
        objective
            .evaluate(frozen, &view)
            .expect_err("refused")
            .to_string()
    };
    let none = Denominators::default();
    assert_eq!(
        objective.freeze(&none, &view).expect_err("refused").to_string(),
        "`denominators` has 0 entries, expected 2"
    );
    assert_eq!(
        refuse(&Frozen::default()),
        "`frozen tokens` has 0 entries, expected 3"
    );
    let token = vec![0.0; 3];
    assert_eq!(
        refuse(&Frozen {
            token,
            ..Frozen::default()
        }),
        "`frozen scalars` has 0 entries, expected 1"
    );
    let short = TokenView {
        logp_old: &view.logp_old[..2],
        ..view.clone()
    };
    let message = "`logp_old` has 2 entries, expected 3";
    let whole = objective.denominators(&sample.batch).expect("fits");
    assert_eq!(
        objective.freeze(&whole, &short).expect_err("refused").to_string(),
        message
    );
    let frozen = objective.freeze(&whole, &view).expect("fits");
    assert_eq!(
        objective
            .evaluate(&frozen, &short)
            .expect_err("refused")
            .to_string(),
        message
    );
}

#[test]
fn lengths_of_the_pure_function_must_agree() {
    let penalty = penalty(0.2, LldsGate::Action, 1.0, LldsNorm::Sequence);
    let refuse = |change: fn(&mut LldsBatch<'_>)| {
        let tokens = Offsets::from_lengths([2]);
        let mut batch = LldsBatch {
            tokens: tokens.spans(),
            mask: &[true; 2],
            logp: &[-1.0; 2],
            logp_old: &[-1.0; 2],
            advantages: &[1.0],
            answer: None,
        };
        change(&mut batch);
        penalty.evaluate(&batch).expect_err("refused").to_string()
    };
    assert_eq!(refuse(|b| b.mask = &[true]), "`mask` has 1 entries, expected 2");
    assert_eq!(refuse(|b| b.logp = &[0.0]), "`logp` has 1 entries, expected 2");
    assert_eq!(
        refuse(|b| b.logp_old = &[0.0]),
        "`logp_old` has 1 entries, expected 2"
    );
    assert_eq!(
        refuse(|b| b.advantages = &[]),
        "`advantages` has 0 entries, expected 1"
    );
    assert_eq!(
        refuse(|b| b.answer = Some(&[true])),
        "`answer` has 1 entries, expected 2"
    );
    assert_eq!(
        refuse(|b| b.logp = &[-1.0, f64::NAN]),
        "trajectory 0, token 1: `logp` is NaN"
    );
    assert_eq!(
        refuse(|b| b.advantages = &[f64::NAN]),
        "trajectory 0: `advantage` is NaN"
    );
}

#[test]
fn the_terms_count_what_the_penalty_lifts() {
    let at = {
        let sample = tiny();
        evaluate_whole(
            build(&LldsConfig::default()).as_ref(),
            &sample.batch,
            &sample.inputs(),
        )
        .expect("fits")
    };
    let term = |name: &str| at.term(name);
    assert_eq!(term("llds_loss"), Some(0.2 * 0.25));
    assert_eq!(term("llds/active_mean"), Some(1.0 / 3.0));
}

#[test]
fn the_gate_is_that_of_the_log_probabilities_the_update_began_with() {
    let mut sample = tiny();
    let fallen = std::mem::replace(&mut sample.logp, vec![-1.0; 3]);
    for gate in GATES {
        let objective = build(&LldsConfig {
            gate,
            ..LldsConfig::default()
        });
        let view = |logp| sample.batch.view(0..2, logp, None).expect("fits");
        let denominators = objective.denominators(&sample.batch).expect("fits");
        // Nothing had fallen yet, so every gate is shut, and stays shut.
        let frozen = objective
            .freeze(&denominators, &view(&sample.logp))
            .expect("fits");
        let at = objective.evaluate(&frozen, &view(&fallen)).expect("fits");
        assert_eq!(at.term("llds_loss"), Some(0.0), "{gate:?}");
        let frozen = objective.freeze(&denominators, &view(&fallen)).expect("fits");
        let at = objective.evaluate(&frozen, &view(&fallen)).expect("fits");
        assert_eq!(at.term("llds_loss"), Some(0.2 * 0.25), "{gate:?}");
    }
}

/// Objective and pure function on three answers: in the first a token fell and one stayed, in the second one fell
/// and one rose as far, the third fell and is not preserved.
#[test]
fn a_token_that_stayed_and_a_token_behind_a_shut_gate_are_not_active() {
    let mut sample = tiny();
    sample.batch.groups = Offsets::from_lengths([3]);
    sample.batch.tokens = Offsets::from_lengths([2, 2, 1]);
    sample.batch.prompts = vec![std::sync::Arc::from([]); 3];
    (sample.batch.ids, sample.batch.mask) = (vec![0; 5], vec![true; 5]);
    sample.batch.logp_sampler = vec![-1.0; 5];
    sample.batch.logp_old = Some(vec![-1.0; 5]);
    sample.batch.advantages = Advantages::Trajectory(vec![1.0, 1.0, -1.0]);
    sample.logp = vec![-1.5, -1.0, -1.5, -0.5, -2.0];
    (sample.entropy, sample.value) = (vec![0.0; 5], vec![0.0; 5]);
    let run = |sample: &Sample, lambda: f64| {
        let config = LldsConfig {
            lambda,
            gate: LldsGate::Action,
            norm: LldsNorm::Token,
            ..LldsConfig::default()
        };
        evaluate_whole(build(&config).as_ref(), &sample.batch, &sample.inputs()).expect("fits")
    };
    let (with, without) = (run(&sample, 1.0), run(&sample, 0.0));
    assert_eq!(with.term("llds/active_mean"), Some(0.2));
    let own: Vec<f64> = (with.grads.d_logp.iter().zip(&without.grads.d_logp))
        .map(|(a, b)| a - b)
        .collect();
    // One of five counted tokens.
    for (found, expected) in own.iter().zip([-0.2, 0.0, 0.0, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-15, "{own:?}");
    }
    let tokens = Offsets::from_lengths([2]);
    let pure = penalty(1.0, LldsGate::Action, 1.0, LldsNorm::Token).evaluate(&LldsBatch {
        tokens: tokens.spans(),
        mask: &[true; 2],
        logp: &[-1.5, -1.0],
        logp_old: &[-1.0; 2],
        advantages: &[1.0],
        answer: None,
    });
    let pure = pure.expect("fits");
    assert_eq!((pure.d_logp, pure.active), (vec![-0.5, 0.0], vec![true, false]));
}

fn build(config: &LldsConfig) -> Box<dyn Objective> {
    config.build(&()).expect("valid")
}

fn configs() -> impl Strategy<Value = LldsConfig> {
    let bases = vec![
        ObjectiveSpec::Grpo(Default::default()),
        ObjectiveSpec::Gspo(Default::default()),
        ObjectiveSpec::Cispo(Default::default()),
        ObjectiveSpec::Reinforce(Default::default()),
    ];
    let answer = prop_oneof![
        1 => Just((1.0, AnswerSpan::Unknown)),
        2 => (0.0..=1.0f64).prop_map(|w| (w, AnswerSpan::LastAction)),
    ];
    (
        0.01..2.0f64,
        prop::sample::select(GATES.to_vec()),
        prop::sample::select(NORMS.to_vec()),
        answer,
        prop::sample::select(bases),
    )
        .prop_map(
            |(lambda, gate, norm, (answer_weight, answer_span), base)| LldsConfig {
                lambda,
                gate,
                answer_weight,
                answer_span,
                norm,
                base: Box::new(base),
            },
        )
}

/// One advantage per response, as the pure function takes them.
fn per_response(sample: &Sample) -> Vec<f64> {
    match &sample.batch.advantages {
        Advantages::Trajectory(a) => a.clone(),
        Advantages::Token(a) => (0..sample.batch.n_trajectories())
            .map(|i| {
                sample
                    .batch
                    .tokens
                    .range(i)
                    .filter(|t| sample.batch.mask[*t])
                    .map(|t| a[t])
                    .sum()
            })
            .collect(),
    }
}

fn old(sample: &Sample) -> &[f64] {
    sample.batch.logp_old.as_deref().unwrap_or(&sample.logp)
}

fn pure(sample: &Sample, penalty: Llds, answer: Option<&[bool]>) -> Result<LldsEvaluation, CheckFailure> {
    let advantages = per_response(sample);
    Ok(penalty.evaluate(&LldsBatch {
        tokens: sample.batch.tokens.spans(),
        mask: &sample.batch.mask,
        logp: &sample.logp,
        logp_old: old(sample),
        advantages: &advantages,
        answer,
    })?)
}

fn last_actions(batch: &TokenBatch) -> Vec<bool> {
    let mut answer = vec![false; batch.n_tokens()];
    for i in 0..batch.n_trajectories() {
        let tokens = batch.tokens.range(i);
        if let Some(last) = actions(&batch.mask[tokens.clone()]).last() {
            answer[tokens.start + last.start..tokens.start + last.end].fill(true);
        }
    }
    answer
}

/// A base without kinks, so that only those of the penalty matter.
fn smooth(config: LldsConfig) -> LldsConfig {
    LldsConfig {
        base: Box::new(ObjectiveSpec::Reinforce(Default::default())),
        ..config
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn derivatives_are_central_differences(sample in samples(), config in configs()) {
        let hinge = |view: &TokenView<'_>, t: usize| (view.logp_old[t] - view.logp[t]).abs();
        check_gradient_away_from(build(&smooth(config)).as_ref(), &sample.batch, &sample.inputs(), &hinge)?;
    }

    #[test]
    fn micro_batches_order_and_padding(sample in samples(), config in configs()) {
        let objective = build(&config);
        check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn the_objective_is_its_base_plus_the_penalty(sample in samples(), config in configs()) {
        let at = evaluate_whole(build(&config).as_ref(), &sample.batch, &sample.inputs())?;
        let base = evaluate_whole(config.base.build(&())?.as_ref(), &sample.batch, &sample.inputs())?;
        let answer = last_actions(&sample.batch);
        let answer = (config.answer_span == AnswerSpan::LastAction).then_some(answer.as_slice());
        let penalty = pure(&sample, Llds::new(config.lambda, config.gate, config.answer_weight, config.norm)?, answer)?;
        prop_assert!((at.loss - base.loss - penalty.loss).abs() < 1e-12);
        for t in 0..sample.logp.len() {
            let expected = base.grads.d_logp[t] + penalty.d_logp[t];
            prop_assert!((at.grads.d_logp[t] - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn it_never_costs_less_than_nothing_and_only_raises_likelihood(
        sample in samples(), gate in prop::sample::select(GATES.to_vec()), norm in prop::sample::select(NORMS.to_vec()),
    ) {
        let at = pure(&sample, penalty(0.3, gate, 1.0, norm), None)?;
        prop_assert!(at.loss >= 0.0);
        prop_assert_eq!(at.loss > 0.0, at.active.contains(&true));
        for (d, active) in at.d_logp.iter().zip(&at.active) {
            prop_assert_eq!((*d < 0.0, *d == 0.0), (*active, !*active));
        }
    }

    #[test]
    fn it_is_zero_on_the_first_update_where_nothing_fell_and_without_strength(
        sample in samples(), gate in prop::sample::select(GATES.to_vec()), norm in prop::sample::select(NORMS.to_vec()),
    ) {
        let weak = pure(&sample, penalty(0.0, gate, 1.0, norm), None)?;
        prop_assert_eq!(weak.loss, 0.0);
        let mut risen = sample.clone();
        risen.logp = old(&sample).iter().zip(&sample.logp).map(|(old, now)| old.max(*now)).collect();
        prop_assert_eq!(pure(&risen, penalty(1.0, gate, 1.0, norm), None)?.loss, 0.0);
        let mut first = sample.clone();
        first.batch.logp_old = None;
        prop_assert_eq!(pure(&first, penalty(1.0, gate, 1.0, norm), None)?.loss, 0.0);
    }

    #[test]
    fn the_action_gate_opens_no_token_that_the_token_gate_shuts(sample in samples()) {
        let token = pure(&sample, penalty(1.0, LldsGate::Token, 1.0, LldsNorm::Sequence), None)?;
        for gate in GATES {
            let at = pure(&sample, penalty(1.0, gate, 1.0, LldsNorm::Sequence), None)?;
            prop_assert!(at.active.iter().zip(&token.active).all(|(a, t)| *t || !*a));
        }
    }

    #[test]
    fn a_response_costs_at_most_its_largest_drop(sample in samples(), gate in prop::sample::select(GATES.to_vec())) {
        for i in 0..sample.batch.n_trajectories() {
            let tokens = sample.batch.tokens.range(i);
            let (mask, logp, old) = (
                &sample.batch.mask[tokens.clone()], &sample.logp[tokens.clone()], &old(&sample)[tokens.clone()],
            );
            let at = penalty(0.7, gate, 1.0, LldsNorm::Sequence).evaluate(&LldsBatch {
                tokens: Offsets::from_lengths([tokens.len()]).spans(), mask, logp, logp_old: old,
                advantages: &[0.0], answer: None,
            })?;
            let largest = (0..mask.len()).filter(|t| mask[*t]).map(|t| old[t] - logp[t]).fold(0.0, f64::max);
            prop_assert!(at.loss <= 0.7 * largest + 1e-12);
        }
    }

    #[test]
    fn negative_responses_and_masked_tokens_may_hold_anything(
        sample in samples(), gate in prop::sample::select(GATES.to_vec()), norm in prop::sample::select(NORMS.to_vec()),
    ) {
        let expected = pure(&sample, penalty(1.0, gate, 1.0, norm), None)?;
        let (advantages, mut spoiled) = (per_response(&sample), sample.clone());
        for (i, advantage) in advantages.iter().enumerate() {
            for t in sample.batch.tokens.range(i) {
                if *advantage < 0.0 || !sample.batch.mask[t] {
                    spoiled.logp[t] = f64::NAN;
                }
            }
        }
        spoiled.batch.logp_old = Some(old(&sample).to_vec());
        prop_assert_eq!(pure(&spoiled, penalty(1.0, gate, 1.0, norm), None)?, expected);
    }

    #[test]
    fn norms_agree_up_to_the_share_of_tokens_at_equal_lengths(
        drops in prop::collection::vec(-1.0..1.0f64, 6), signs in prop::collection::vec(any::<bool>(), 3),
    ) {
        // Three responses of two tokens: |Y| n_i against all tokens.
        let tokens = Offsets::from_lengths([2, 2, 2]);
        let advantages: Vec<f64> = signs.iter().map(|s| if *s { 0.5 } else { -0.5 }).collect();
        let logp: Vec<f64> = drops.iter().map(|d| -2.0 - d).collect();
        let batch = LldsBatch {
            tokens: tokens.spans(), mask: &[true; 6], logp: &logp, logp_old: &[-2.0; 6],
            advantages: &advantages, answer: None,
        };
        let loss = |norm| penalty(1.0, LldsGate::Action, 1.0, norm).evaluate(&batch).map(|at| at.loss);
        let n_preserved = signs.iter().filter(|s| **s).count() as f64;
        prop_assert!((loss(LldsNorm::Token)? - loss(LldsNorm::Sequence)? * n_preserved / 3.0).abs() < 1e-12);
    }
}
