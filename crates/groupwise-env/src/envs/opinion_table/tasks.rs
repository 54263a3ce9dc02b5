//! Questions with their opinions, and replies of one voice about them.

use groupwise_core::key::KeyedRng;
use groupwise_core::{Key, Task};

use super::{ANSWERS, FILLERS, MARKS, OpinionTableConfig, ROLES};

/// Difficulty of a contested question; that of the others is 1.
pub(super) const CONTESTED: f64 = 2.0;

/// Most fillers of a sentence of a demonstration.
const MAX_FILLERS: u64 = 2;

fn pick(alphabet: &str, n: usize, rng: &mut KeyedRng) -> char {
    let at = rng.below(n as u64) as usize;
    alphabet.chars().nth(at).unwrap_or(' ')
}

/// One task per question; the contested ones are spread evenly over the numbers.
pub(super) fn questions(config: &OpinionTableConfig, key: Key) -> Vec<Task> {
    (0..config.n_questions)
        .map(|q| question(config, q, key))
        .collect()
}

fn question(config: &OpinionTableConfig, q: usize, key: Key) -> Task {
    let share = config.contested;
    let is_contested = ((q + 1) as f64 * share).floor() > (q as f64 * share).floor();
    let mut rng = key.named("opinion-table/question", q as u64).rng();
    let common = pick(ANSWERS, config.n_answers, &mut rng);
    let opinions: String = (0..config.n_roles)
        .map(|_| {
            if is_contested {
                pick(ANSWERS, config.n_answers, &mut rng)
            } else {
                common
            }
        })
        .collect();
    let mut task = Task::new(
        format!("opinion-table/question-{q:02}"),
        format!("{}{}=", q / 8, q % 8),
        "",
    );
    task.difficulty = if is_contested { CONTESTED } else { 1.0 };
    task.columns.insert("opinions".into(), opinions.into());
    task
}

/// Questions in turn, each with a reply of one role as its reference.
pub(super) fn demonstrations(config: &OpinionTableConfig, key: Key) -> Vec<Task> {
    let demonstration = |i: usize| {
        let mut task = question(config, i % config.n_questions, key);
        let mut rng = key.named("opinion-table/demonstration", i as u64).rng();
        let role = rng.below(config.n_roles as u64) as usize;
        let of_role = |text: &str| text.chars().nth(role).unwrap_or(' ').to_string();
        let opinions = task
            .columns
            .get("opinions")
            .and_then(|o| o.as_str())
            .unwrap_or_default();
        let (name, answer) = (of_role(ROLES), of_role(opinions));
        let mut sentence = || {
            let mut words = vec![name.clone()];
            words.extend(
                (0..rng.below(MAX_FILLERS + 1)).map(|_| pick(FILLERS, FILLERS.len(), &mut rng).to_string()),
            );
            words.push(format!("{answer}{}", pick(MARKS, MARKS.len(), &mut rng)));
            words.join(" ")
        };
        let reply: Vec<String> = (0..config.n_segments).map(|_| sentence()).collect();
        task.id = format!("opinion-table/demonstration-{i:05}");
        task.reference = reply.join(" ");
        task
    };
    (0..config.n_warm_start).map(demonstration).collect()
}
