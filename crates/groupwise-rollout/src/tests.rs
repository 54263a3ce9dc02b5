//! A hand-made world and policy: the engine is tested without any other crate.

use std::fmt::Debug;

use groupwise_core::seams::{EnvError, Observation, SharedTurns, StepOutcome, Symbols};
use groupwise_core::{DataError, Stream};

use super::*;

/// Counts down: each turn shows the number left; the action "-" lowers it; "!" breaks the environment.
#[derive(Debug)]
struct Countdown {
    turns: usize,
}

#[derive(Debug)]
struct Episode(u32);

impl Environment for Episode {
    fn observe(&self) -> Observation {
        Observation {
            text: self.0.to_string(),
            anchor: Some(format!("left {}", self.0)),
        }
    }
    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if action.contains('!') {
            return Err(EnvError("told to break".into()));
        }
        self.0 -= 1;
        let stop = (self.0 == 0).then_some(StopReason::Terminal);
        Ok(StepOutcome {
            reward: f64::from(u8::from(stop.is_some())),
            stop,
            valid: action == "-",
        })
    }
}

impl World for Countdown {
    fn symbols(&self) -> Symbols {
        Symbols::Characters("0123456789-!".into())
    }
    fn train_tasks(&self, _: Key) -> Result<Vec<Task>, DataError> {
        Ok(vec![Task::new("two", "2", ""), Task::new("three", "3", "")])
    }
    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }
    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let n = task
            .prompt
            .parse()
            .map_err(|_| EnvError(format!("no number: {}", task.prompt)))?;
        Ok(Box::new(Episode(n)))
    }
    fn max_turns(&self) -> usize {
        self.turns
    }
}

/// A prefix as asked for: shared tokens, tails of the members.
type Asked = (Vec<u32>, Vec<Vec<u32>>);

/// Byte-level policy that answers with a fixed text and records what it was asked.
struct Parrot {
    answer: &'static str,
    calls: Vec<Vec<Asked>>,
    keys: Vec<Key>,
}

impl Policy for Parrot {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        Ok(text.bytes().map(u32::from).collect())
    }
    fn decode(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|t| char::from_u32(*t)).collect()
    }
    fn end_token(&self) -> Option<u32> {
        None
    }
    fn extend(
        &mut self,
        prefixes: &[Prefix<'_>],
        _: &Sampling,
    ) -> Result<Vec<Vec<Continuation>>, PolicyError> {
        let asked = |p: &Prefix<'_>| {
            (
                p.shared.to_vec(),
                p.members.iter().map(|m| m.tail.clone()).collect(),
            )
        };
        self.calls.push(prefixes.iter().map(asked).collect());
        self.keys
            .extend(prefixes.iter().flat_map(|p| p.members.iter().map(|m| m.key)));
        let answer = Continuation {
            tokens: self.encode(self.answer)?,
            logp: vec![-0.5; self.answer.len()],
            entropy: vec![0.25; self.answer.len()],
            stop: StopReason::EndToken,
        };
        Ok(prefixes
            .iter()
            .map(|p| vec![answer.clone(); p.members.len()])
            .collect())
    }
    fn version(&self) -> u64 {
        7
    }
}

fn run(answer: &'static str, turns: usize, rendered: Rendered) -> (Vec<Vec<Trajectory>>, Parrot) {
    let world = Countdown { turns };
    let tasks = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap();
    let mut policy = Parrot {
        answer,
        calls: vec![],
        keys: vec![],
    };
    let requests: Vec<_> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| GroupRequest {
            index,
            task,
            rendered: rendered.clone(),
            n_samples: 2,
            first_sample: 4,
            policy_key: Key::new(0, Stream::Rollout).step(1),
            environment_key: Key::new(0, Stream::Environment).step(1),
        })
        .collect();
    let sampling = Sampling {
        temperature: 1.0,
        max_new_tokens: 4,
        greedy: false,
    };
    let groups = roll_out(&world, &mut policy, &requests, &sampling).unwrap();
    (groups, policy)
}

#[test]
fn turns_extend_the_tokens_and_share_the_prompt() {
    let (groups, policy) = run("-", 9, Rendered::plain());
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let (two, three) = (&groups[0][0], &groups[1][1]);
    assert_eq!(policy.decode(&two.completion), "-1-");
    assert_eq!(two.mask, [true, false, true]);
    assert_eq!(two.logp, [-0.5, 0.0, -0.5]);
    assert_eq!(policy.decode(&three.completion), "-2-1-");
    assert_eq!(
        (two.stop, two.environment_return(), two.version),
        (StopReason::EndToken, 1.0, 7)
    );
    assert_eq!((three.sample, three.turns.len()), (5, 3));
    assert_eq!(three.turns[1].anchor.as_deref(), Some("left 2"));
    assert_eq!(three.turns[1].tokens, 2..3);
    assert!(Arc::ptr_eq(&groups[0][0].prompt, &groups[0][1].prompt));
    // Turn 0: two prefixes of two members; turn 2: only the second group is left, its tails grown.
    assert_eq!(policy.calls.len(), 3);
    assert_eq!(policy.calls[0].len(), 2);
    assert_eq!(policy.calls[2].len(), 1);
    assert_eq!(policy.calls[2][0].1[0].len(), 4);
}

#[test]
fn every_member_and_turn_has_its_own_key() {
    let (_, policy) = run("-", 9, Rendered::plain());
    for (i, key) in policy.keys.iter().enumerate() {
        assert!(!policy.keys[i + 1..].contains(key));
    }
}

#[test]
fn members_that_share_turns_draw_them_as_the_first_of_their_family() {
    let shared = |members, turns| Rendered {
        shared: Some(SharedTurns { members, turns }),
        ..Rendered::plain()
    };
    // Members 4 and 5 of either group, call by call: both groups in turns 0 and 1, the second alone in turn 2.
    let (_, apart) = run("-", 9, Rendered::plain());
    let (_, policy) = run("-", 9, shared(2, 1));
    assert_eq!(policy.keys[0], policy.keys[1]);
    assert_eq!(policy.keys[2], policy.keys[3]);
    assert_eq!((policy.keys[0], policy.keys[2]), (apart.keys[0], apart.keys[2]));
    assert_eq!(policy.keys[4..], apart.keys[4..]);
    let (_, policy) = run("-", 9, shared(2, 2));
    assert_eq!(policy.keys[6], policy.keys[7]);
    assert_eq!(policy.keys[8..], apart.keys[8..]);
    // 4 and 5 belong to different families of five, and nobody shares in families of one.
    let (_, policy) = run("-", 9, shared(5, 1));
    assert_eq!(policy.keys[1], apart.keys[1]);
    assert_ne!(policy.keys[0], apart.keys[0]);
    for members in [0, 1] {
        assert_eq!(run("-", 9, shared(members, 9)).1.keys, apart.keys);
    }
}

#[test]
fn a_forced_answer_is_masked_and_part_of_the_action() {
    let rendered = Rendered {
        prefix: "0".into(),
        forced_answer: "-".into(),
        hinted: true,
        shared: None,
    };
    let (groups, policy) = run("!", 1, rendered);
    let first = &groups[0][0];
    assert_eq!(policy.decode(&first.prompt), "02");
    assert_eq!(first.mask, [false, true]);
    assert_eq!(first.answer(), "-!");
    assert_eq!(first.turns[0].tokens, 1..2);
}

#[test]
fn in_a_world_of_several_turns_whole_actions_are_forced_before_the_first_turn() {
    let forced = |text: &str| Rendered {
        prefix: String::new(),
        forced_answer: text.into(),
        hinted: true,
        shared: None,
    };
    let (groups, policy) = run("-", 9, forced("-\n"));
    let (two, three) = (&groups[0][0], &groups[1][0]);
    assert_eq!(policy.decode(&two.completion), "-1-");
    assert_eq!(two.mask, [false, false, true]);
    assert_eq!(
        (
            two.turns.len(),
            two.turns[0].tokens.clone(),
            two.turns[1].tokens.clone()
        ),
        (2, 0..1, 2..3)
    );
    assert_eq!(two.turns[1].anchor.as_deref(), Some("left 1"));
    assert_eq!((two.stop, two.environment_return()), (StopReason::EndToken, 1.0));
    assert_eq!(three.mask, [false, false, true, false, true]);
    // The first turn of the policy is the second of the episode, and is drawn as such.
    let (_, free) = run("-", 9, Rendered::plain());
    assert_eq!(policy.keys[0], free.keys[4]);
    // What is forced beyond the end is left out, and an episode that is over asks nothing of the policy.
    let (groups, policy) = run("-", 9, forced("-\n-\n-\n-"));
    assert_eq!(groups[0][0].n_policy_tokens() + groups[1][1].n_policy_tokens(), 0);
    assert_eq!(
        (groups[1][0].turns.len(), groups[1][0].stop),
        (3, StopReason::EndToken)
    );
    assert!(policy.calls.is_empty());
    // A limit of turns counts forced ones.
    let (groups, _) = run("-", 2, forced("-"));
    assert_eq!(
        (groups[1][0].turns.len(), groups[1][0].stop),
        (2, StopReason::TurnLimit)
    );
    // One that breaks in a forced action is aborted.
    let (groups, _) = run("-", 9, forced("!"));
    assert_eq!(groups[0][0].stop, StopReason::Aborted);
}

#[test]
fn a_failing_environment_aborts_its_episode_only() {
    let (groups, _) = run("!", 9, Rendered::plain());
    assert!(
        groups
            .iter()
            .flatten()
            .all(|t| t.stop == StopReason::Aborted && t.turns.len() == 1)
    );
}

#[test]
fn the_turn_limit_is_reported() {
    let (groups, policy) = run("-", 2, Rendered::plain());
    assert_eq!(groups[1][0].stop, StopReason::TurnLimit);
    // No observation is appended after the last turn: nobody would answer it.
    assert_eq!(policy.decode(&groups[1][0].completion), "-2-");
}

#[test]
fn a_task_that_cannot_start_is_named() {
    let world = Countdown { turns: 1 };
    let task = Task::new("odd", "x", "");
    let mut policy = Parrot {
        answer: "-",
        calls: vec![],
        keys: vec![],
    };
    let key = Key::new(0, Stream::Rollout);
    let request = GroupRequest {
        index: 0,
        task: &task,
        rendered: Rendered::plain(),
        n_samples: 1,
        first_sample: 0,
        policy_key: key,
        environment_key: key,
    };
    let sampling = Sampling {
        temperature: 1.0,
        max_new_tokens: 4,
        greedy: false,
    };
    let error = roll_out(&world, &mut policy, &[request], &sampling).unwrap_err();
    assert_eq!(error.to_string(), "task `odd`: environment failed: no number: x");
}
