use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn edit(operation: EditOperation, id: &str, content: &str) -> RuleEdit {
    RuleEdit {
        operation,
        id: Some(id.to_owned()),
        content: Some(content.to_owned()),
    }
}

fn texts(library: &RuleLibrary) -> Vec<&str> {
    library.rules().iter().map(|rule| rule.text.as_str()).collect()
}

#[test]
fn edits_are_applied_in_order_and_by_provisional_ids() {
    use EditOperation::{Add, Delete, None, Update};
    let library = RuleLibrary::numbered(["a", "b"]);
    let plan = [
        edit(Add, "G0", "c"),
        edit(Update, "2", "d"),
        edit(Delete, "G0", "a"),
        edit(Update, "G0", "e"),
        edit(Delete, "3", ""),
        edit(Delete, "G9", "x"),
        edit(None, "G1", "y"),
    ];
    assert_eq!(texts(&library.edited(&plan)), ["b", "d", "e"]);
    // A provisional id that is taken is left out.
    let odd = RuleLibrary::new(vec![Rule {
        id: "1".to_owned(),
        text: "a".to_owned(),
    }])
    .unwrap();
    assert_eq!(texts(&odd.edited(&[edit(Add, "", "b")])), ["a", "b"]);
}

#[test]
fn edits_are_read_as_critics_write_them() {
    let read = |json: &str| serde_json::from_str::<RuleEdit>(json).unwrap();
    assert_eq!(
        read(r#"{"content": "a", "id": null}"#).operation,
        EditOperation::Add
    );
    assert_eq!(
        read(r#"{"operation": "MERGE", "content": "a"}"#).operation,
        EditOperation::None
    );
    let library = RuleLibrary::numbered(["a"]);
    assert_eq!(library.edited(&[read("{}")]), library);
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let rule = |id: &str| Rule {
        id: id.to_owned(),
        text: String::new(),
    };
    let twice = RuleLibrary::new(vec![rule("G0"), rule("G1"), rule("G0")]).unwrap_err();
    assert_eq!(twice.to_string(), "rule 2: id `G0` stands twice");
    let refused = |rewards: &[Vec<f64>], size| {
        informative_groups(rewards, GroundTruth::Given, size)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(&[vec![]], 2), "group 0: it has no rollout");
    assert_eq!(
        refused(&[vec![0.0, 1.5]], 2),
        "group 0, trajectory 1: reward 1.5 is outside [0, 1]"
    );
    assert!(refused(&[vec![f64::NAN]], 2).contains("NaN"));
    assert_eq!(refused(&[], 0), "`group_size` = 0: must be >= 1");
    let few = question_batches(3, 4, Key::new(0, Stream::Sampler)).unwrap_err();
    assert_eq!(
        few.to_string(),
        "`batch_size` = 4: must be between 1 and the number of questions, 3"
    );
}

#[test]
fn a_group_of_one_is_not_filtered() {
    let rewards = [vec![1.0], vec![0.0]];
    assert_eq!(
        informative_groups(&rewards, GroundTruth::Given, 1).unwrap(),
        [0, 1]
    );
    assert!(
        informative_groups(&rewards, GroundTruth::Given, 2)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn updates_are_put_to_the_vote() {
    use EditOperation::Update;
    let edits = [
        edit(Update, "G0", "x"),
        edit(Update, "G1", "z"),
        edit(Update, "G0", "y"),
        edit(Update, "G0", "y"),
    ];
    assert_eq!(
        merge_edits(&edits),
        [edit(Update, "G0", "y"), edit(Update, "G1", "z")]
    );
    assert_eq!(merge_edits(&edits[..3])[0], edit(Update, "G0", "x"));
}

fn any_edit() -> impl Strategy<Value = RuleEdit> {
    let operation = prop_oneof![
        Just(EditOperation::Add),
        Just(EditOperation::Update),
        Just(EditOperation::Delete),
        Just(EditOperation::None)
    ];
    let id = prop::option::of("G[0-3]|[0-5]");
    let content = prop::option::of("[ab]{0,1}");
    (operation, id, content).prop_map(|(operation, id, content)| RuleEdit {
        operation,
        id,
        content,
    })
}

proptest! {
    #[test]
    fn ids_are_always_numbered_and_growth_is_bounded(
        start in prop::collection::vec("[a-c]", 0..4), plan in prop::collection::vec(any_edit(), 0..8),
    ) {
        let library = RuleLibrary::numbered(start.clone());
        let after = library.edited(&plan);
        for (at, rule) in after.rules().iter().enumerate() {
            prop_assert_eq!(&rule.id, &format!("G{}", at));
        }
        prop_assert!(after.rules().len() <= start.len() + plan.len());
        let idle: Vec<RuleEdit> = plan.iter().cloned().map(|e| RuleEdit { operation: EditOperation::None, ..e }).collect();
        prop_assert_eq!(library.edited(&idle), library);
    }

    #[test]
    fn a_merged_plan_touches_an_id_once_and_merges_to_itself(edits in prop::collection::vec(any_edit(), 0..8)) {
        let plan = merge_edits(&edits);
        prop_assert_eq!(merge_edits(&plan), plan.clone());
        let ids: Vec<&String> =
            plan.iter().filter(|e| e.operation != EditOperation::Add).filter_map(|e| e.id.as_ref()).collect();
        let distinct: std::collections::BTreeSet<&String> = ids.iter().copied().collect();
        prop_assert_eq!(ids.len(), distinct.len());
    }

    #[test]
    fn a_batch_holds_no_question_twice(n in 1..30usize, size in 1..30usize, seed in any::<u64>()) {
        prop_assume!(size <= n);
        let batches = question_batches(n, size, Key::new(seed, Stream::Sampler)).unwrap();
        let all: std::collections::BTreeSet<usize> = batches.iter().flatten().copied().collect();
        prop_assert_eq!(all.len(), n / size * size);
        prop_assert!(all.iter().all(|&q| q < n) && batches.iter().all(|b| b.len() == size));
    }

    #[test]
    fn the_order_of_groups_does_not_change_what_is_kept(rewards in prop::collection::vec(prop::collection::vec(0..3u8, 3), 0..6)) {
        let rewards: Vec<Vec<f64>> = rewards.iter().map(|g| g.iter().map(|r| f64::from(*r) / 2.0).collect()).collect();
        let kept = informative_groups(&rewards, GroundTruth::Given, 3).unwrap();
        let reversed: Vec<Vec<f64>> = rewards.iter().rev().cloned().collect();
        let mut back: Vec<usize> =
            informative_groups(&reversed, GroundTruth::Given, 3).unwrap().iter().map(|g| rewards.len() - 1 - g).collect();
        back.reverse();
        prop_assert_eq!(kept, back);
    }
}
