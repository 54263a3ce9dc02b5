//! What is refused, word for word.

use crate::common::{options, refused, score};

const TWO: &str = r#"{"rewards": [1, 0], "tokens": {"logp": [[-1], [-2]]}}"#;

#[test]
fn options_that_cannot_work_are_refused_before_a_line_is_read() {
    assert_eq!(
        refused("garbage", &options(None, None, 0)),
        "nothing to compute: name an advantage, an objective or both"
    );
    for part in ["gae", "reinforce-plus-plus", "reinforce-plus-plus-baseline"] {
        assert_eq!(
            refused("garbage", &options(Some(part), None, 0)),
            format!(
                "advantage `{part}` looks at the whole update batch: say with --batch how many groups (lines) one holds"
            )
        );
        assert!(refused("garbage", &options(Some(part), None, 1)).starts_with("line 1"));
    }
    let batch = "grpo = { scale_rewards = 'batch' }";
    assert!(refused("garbage", &options(Some(batch), None, 0)).starts_with("advantage `grpo` looks at"));
    assert!(refused("garbage", &options(Some("grpo"), Some("dapo"), 0)).starts_with("line 1"));
}

#[test]
fn an_input_that_is_missing_is_named_as_it_stands_on_a_line() {
    let lacks = |advantage, objective, text| refused(text, &options(advantage, objective, 1));
    let bare = r#"{"rewards": [1, 0]}"#;
    for (part, key) in [
        ("remax", "greedy_reward"),
        ("reinforce-plus-plus", "tokens"),
        ("grpo-process", "tokens"),
        ("gae", "tokens"),
        ("grao", "off_policy"),
    ] {
        assert_eq!(
            lacks(Some(part), None, bare),
            format!("line 1: lacks `{key}`, which advantage `{part}` needs")
        );
    }
    assert_eq!(
        lacks(Some("gae"), None, TWO),
        "line 1: lacks `tokens.values`, which advantage `gae` needs"
    );
    assert_eq!(
        lacks(Some("grpo-process"), None, TWO),
        "line 1: lacks `judged_steps`, which advantage `grpo-process` needs"
    );
    assert_eq!(
        lacks(
            Some("gae.rewards = 'steps'"),
            None,
            r#"{"rewards": [1], "tokens": {"values": [[1]]}}"#
        ),
        "line 1: lacks `steps.rewards`, which advantage `gae` needs"
    );
    assert_eq!(
        lacks(
            Some("reinforce-plus-plus.kl_coef = 0.1"),
            None,
            r#"{"rewards": [1], "tokens": {"mask": [[1]]}}"#
        ),
        "line 1: lacks `tokens.logp_old`, which advantage `reinforce-plus-plus` needs"
    );
    assert_eq!(
        lacks(Some("reinforce-plus-plus.kl_coef = 0.1"), None, TWO),
        "line 1: lacks `tokens.logp_ref`, which advantage `reinforce-plus-plus` needs"
    );
    assert_eq!(
        lacks(Some("grpo"), None, r#"{"tokens": {"logp": [[-1]]}}"#),
        "line 1: lacks `rewards`, which advantage `grpo` needs"
    );
    assert_eq!(
        lacks(Some("grpo"), Some("grpo"), bare),
        "line 1: lacks `tokens.logp`, which objective `grpo` needs"
    );
    assert_eq!(
        lacks(Some("grpo"), Some("grpo.beta = 0.1"), TWO),
        "line 1: lacks `tokens.logp_ref`, which objective `grpo` needs"
    );
    assert_eq!(
        lacks(None, Some("grpo"), TWO),
        "line 1: lacks `advantages`, which objective `grpo` needs; or name an advantage to compute"
    );
}

#[test]
fn advantages_that_are_given_and_asked_for_are_refused() {
    let both = r#"{"rewards": [1, 0], "advantages": [1, -1]}"#;
    assert_eq!(
        refused(both, &options(Some("grpo"), None, 0)),
        "line 1: has `advantages`, and advantage `grpo` computes them: leave one of them out"
    );
}

#[test]
fn what_a_part_refuses_is_told_with_the_lines_of_the_batch() {
    let negative = "\n{\"rewards\": [-1, 1]}\n{\"rewards\": [1, 0]}\n";
    assert_eq!(
        refused(negative, &options(Some("max-rl"), None, 0)),
        "line 2: advantage `max-rl`: group 0: reward -1 is negative, and dividing by the mean needs rewards >= 0"
    );
    let text = refused(negative, &options(Some("max-rl"), None, 2));
    assert!(
        text.starts_with("lines 2 to 3: advantage `max-rl`: group 0: reward -1"),
        "{text}"
    );
    let short = r#"{"rewards": [1, 0], "judged_steps": {"ends": [[5], [0]], "rewards": [[1], [0]]}, "tokens": {"mask": [[1], [1]]}}"#;
    assert_eq!(
        refused(short, &options(Some("grpo-process"), None, 0)),
        "line 1: advantage `grpo-process`: trajectory 0: a judged step ends at token 5, expected below 1"
    );
    let huge =
        r#"{"rewards": [1, 0], "tokens": {"logp": [[-1e308, 0], [0]], "logp_ref": [[1e308, 0], [0]]}}"#;
    let options = options(
        Some("rloo"),
        Some("policy-gradient = { beta = 1e308, kl_estimator = 'k2', kl_in = 'reward' }"),
        0,
    );
    let text = refused(huge, &options);
    assert!(
        text.starts_with("line 1: KL penalty of objective `policy-gradient`: index 0: `kl penalty` is inf"),
        "{text}"
    );
}

#[test]
fn lists_that_disagree_and_fields_that_come_and_go_name_the_line() {
    let raw = options(Some("raw"), None, 2);
    assert_eq!(
        refused(
            "{\"rewards\": [1]}\n{\"rewards\": [1, 0], \"tokens\": {\"mask\": [[1]]}}",
            &raw
        ),
        "line 2: `tokens.mask` has 1 trajectories, `rewards` has 2"
    );
    let comes = "{\"rewards\": [1]}\n\n{\"rewards\": [1], \"greedy_reward\": 0}";
    assert_eq!(
        refused(comes, &raw),
        "line 3: has `greedy_reward`, which line 1 of the same batch lacks"
    );
    // In batches of their own they may differ.
    assert_eq!(score(comes, &options(Some("raw"), None, 1)).unwrap().len(), 2);
    let levels = "{\"tokens\": {\"logp\": [[-1]]}, \"advantages\": [1]}\n{\"tokens\": {\"logp\": [[-1]]}, \"advantages\": [[1]]}";
    assert_eq!(
        refused(levels, &options(None, Some("grpo"), 2)),
        "line 2: lacks `advantages`, which line 1 of the same batch has"
    );
}
