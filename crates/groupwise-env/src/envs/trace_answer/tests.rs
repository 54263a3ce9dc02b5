use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: TraceAnswerConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

fn cued(n_prompts: usize, share: f64) -> Box<dyn World> {
    let config = TraceAnswerConfig {
        n_prompts,
        cue: Some(share),
        ..Default::default()
    };
    build(config).unwrap()
}

#[test]
fn bad_parameters_are_refused_by_name() {
    let refused = |change: fn(&mut TraceAnswerConfig)| {
        let mut config = TraceAnswerConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|c| c.n_prompts = 0),
        "`n_prompts` = 0: must be in 1..=65535"
    );
    assert_eq!(
        refused(|c| c.listener_accuracy = 0.4),
        "`listener_accuracy` = 0.4: must be in [0.5, 1]"
    );
    assert_eq!(refused(|c| c.cue = Some(-0.1)), "`cue` = -0.1: must be in [0, 1]");
    assert_eq!(
        refused(|c| c.logit_noise = f64::INFINITY),
        "`logit_noise` = inf: must be a finite number >= 0"
    );
}

#[test]
fn the_better_string_is_the_one_most_criteria_favor() {
    let of = |pattern| criteria(pattern);
    assert_eq!(of(0), ("AAA".to_owned(), 0));
    assert_eq!(of(1), ("BAA".to_owned(), 0));
    assert_eq!(of(6), ("ABB".to_owned(), 1));
    let better: usize = (0..PATTERNS).map(|p| criteria(p).1).sum();
    assert_eq!(better, 4);
}

#[test]
fn a_listener_believes_the_trace_and_not_the_answer() {
    for world in [build(TraceAnswerConfig::default()).unwrap(), cued(64, 0.9)] {
        for task in world.train_tasks(Key::new(1, Stream::Tasks)).unwrap() {
            for trace in STRINGS {
                let mut episode = world.start(&task, Key::new(0, Stream::Environment)).unwrap();
                assert_eq!(episode.observe().text, task.prompt);
                let turn = episode.step(trace).unwrap();
                let p = if trace == task.reference { 0.9 } else { 1.0 - 0.9 };
                assert_eq!((turn.reward, turn.stop, turn.valid), (p, None, true));
                assert!(episode.observe().text.ends_with(&format!("trace={trace}")));
                let last = episode.step("A").unwrap();
                assert_eq!((last.reward, last.stop), (0.0, Some(StopReason::Terminal)));
                assert_eq!(episode.step("A").unwrap_err().0, "the episode is over");
            }
            let mut episode = world.start(&task, Key::new(0, Stream::Environment)).unwrap();
            let garbled = episode.step("C").unwrap();
            assert_eq!((garbled.valid, garbled.reward), (false, 0.0));
            assert_eq!(garbled.stop, Some(StopReason::Terminal));
        }
    }
}

#[test]
fn cues_are_right_in_their_share_and_every_observation_is_a_state() {
    let world = cued(4000, 0.9);
    let Symbols::Words { states, .. } = world.symbols() else {
        panic!("a table")
    };
    assert_eq!(states.len(), 20);
    let mut agree = 0.0;
    for task in world.train_tasks(Key::new(0, Stream::Tasks)).unwrap() {
        assert!(states.contains(&task.prompt));
        agree += f64::from(u8::from(
            task.prompt.ends_with(&format!("cue={}", task.reference)),
        ));
    }
    // A share of 0.9 of 4000 within 3.29 standard deviations at alpha 0.001.
    assert!(
        (agree / 4000.0 - 0.9f64).abs() < 3.29 * f64::sqrt(0.09 / 4000.0),
        "{agree}"
    );
    assert_eq!(
        world.initial_logits(Key::new(0, Stream::Init)).unwrap(),
        vec![vec![0.0; 2]; 20]
    );
    assert_eq!(
        world.eval_tasks(Key::new(0, Stream::Tasks)).unwrap().len(),
        PATTERNS
    );
}

#[test]
fn logits_have_the_standard_deviation_asked_for() {
    // 3000 x 2 normals: the mean square within 3.29 sqrt(2 / n) of 1 at alpha 0.001.
    let config = TraceAnswerConfig {
        n_prompts: 1000,
        logit_noise: 0.5,
        ..Default::default()
    };
    let rows = build(config)
        .unwrap()
        .initial_logits(Key::new(2, Stream::Init))
        .unwrap();
    let all = rows.concat();
    let square = all.iter().map(|x| (x / 0.5).powi(2)).sum::<f64>() / all.len() as f64;
    assert!(
        (square - 1.0).abs() < 3.29 * (2.0 / all.len() as f64).sqrt(),
        "{square}"
    );
}

#[test]
fn a_task_of_another_world_is_refused() {
    let private = build(TraceAnswerConfig::default()).unwrap();
    let shared = cued(16, 0.9);
    let task = private.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(0);
    let error = shared.start(&task, Key::new(0, Stream::Environment)).unwrap_err();
    assert!(
        error.0.starts_with("task trace-answer/prompt-0000: \"q0/trace\""),
        "{}",
        error.0
    );
    assert_eq!(shared.exact_success(&task, &|_| Some(vec![0.5; 2])), None);
    assert!(shared.exact_measures(&task, &|_| Some(vec![0.5; 2])).is_empty());
}

proptest! {
    #[test]
    fn exact_figures_are_those_of_every_path(
        share in 0.0..=1.0f64, pattern in 0..PATTERNS, draws in prop::collection::vec(0.0..=1.0f64, 6),
    ) {
        // Six states of a pattern: criteria with either cue, cue and trace in four combinations.
        let world = cued(8, share);
        let task = world.eval_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(pattern);
        let first = |cue: usize| draws[cue];
        let second = |cue: usize, trace: usize| draws[2 + 2 * cue + trace];
        let policy = |state: &str| {
            let letter = |text: &str| STRINGS.iter().position(|s| *s == text);
            let cue = letter(state.split("cue=").nth(1)?.get(..1)?)?;
            let a = match state.split("trace=").nth(1) {
                None => first(cue),
                Some(trace) => second(cue, letter(trace)?),
            };
            Some(vec![a, 1.0 - a])
        };
        let better = criteria(pattern).1;
        let mut expected = [0.0; 4];
        for cue in 0..2 {
            let inside = if cue == better { share } else { 1.0 - share };
            for trace in 0..2 {
                for answer in 0..2 {
                    let of = |a: f64, which: usize| if which == 0 { a } else { 1.0 - a };
                    let path = of(first(cue), trace) * of(second(cue, trace), answer);
                    let flag = |holds: bool| f64::from(u8::from(holds));
                    expected[0] += inside * path * flag(answer == better);
                    expected[1] += inside * path * flag(answer != trace);
                    expected[2] += inside * path * flag(trace == better);
                    expected[3] += 0.5 * path * flag(answer == better);
                }
            }
        }
        let measures = world.exact_measures(&task, &policy);
        let found = [
            world.exact_success(&task, &policy).unwrap(),
            measures["contradiction"],
            measures["true-trace"],
            measures["out-of-domain"],
        ];
        for (a, b) in found.iter().zip(expected) {
            prop_assert!((a - b).abs() < 1e-12, "{found:?} {expected:?}");
        }
    }
}
