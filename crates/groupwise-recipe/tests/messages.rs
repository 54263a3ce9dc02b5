//! Every refused recipe says where, what and what was probably meant: the exact words are pinned.

use std::path::Path;

use groupwise_recipe::Experiment;

const GOOD: &str = r#"name = "good"
[run]
steps = 3
[env.skill-chain]
[policy.tabular]
[advantage.grpo]
[objective.grpo]
"#;

fn message(text: &str) -> String {
    match Experiment::from_text(Path::new("r.toml"), text, &[]) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    message(&GOOD.replace(from, to))
}

#[test]
fn the_good_recipe_is_good() {
    assert_eq!(message(GOOD), "accepted");
}

#[test]
fn a_typo_in_a_key_has_line_column_and_suggestion() {
    let found = with("steps = 3", "stepz = 3");
    assert!(
        found.starts_with("r.toml:3:1: run.stepz: unknown key `stepz`, known: steps, prompts_per_step,"),
        "{found}"
    );
    assert!(found.ends_with("; did you mean `steps`?"), "{found}");
}

#[test]
fn a_name_of_another_system_is_translated() {
    let found = with("steps = 3", "ppo_epochs = 3");
    assert!(found.ends_with("; did you mean `num_iterations`?"), "{found}");
    let found = with("[objective.grpo]", "[objective.grpo]\nclip_ratio_high = 0.28");
    assert!(found.ends_with("; did you mean `epsilon_high`?"), "{found}");
}

#[test]
fn an_unknown_part_lists_the_known_ones() {
    let found = with("[advantage.grpo]", "[advantage.gpro]");
    assert!(
        found.starts_with("r.toml:6:12: advantage.gpro: unknown name `gpro`, known: "),
        "{found}"
    );
    assert!(
        found.contains("rloo") && found.ends_with("; did you mean `grpo`?"),
        "{found}"
    );
}

#[test]
fn a_wrong_type_names_the_key() {
    assert_eq!(
        with("steps = 3", "steps = \"three\""),
        "r.toml:3:1: run.steps: invalid type: string \"three\", expected u64"
    );
    let found = with("steps = 3", "steps = -3");
    assert!(
        found.starts_with("r.toml:3:1: run.steps: invalid value: integer `-3`, expected u64"),
        "{found}"
    );
}

#[test]
fn a_value_out_of_range_names_key_value_and_range() {
    assert_eq!(
        with("steps = 3", "temperature = 0.0"),
        "r.toml:3:1: run.temperature: 0 is out of range, must be a finite number > 0"
    );
    assert_eq!(
        with("steps = 3", "mini_batches = 99"),
        "r.toml:3:1: run.mini_batches: 99 is out of range, must be at most prompts_per_step 16"
    );
    let found = with(
        "[policy.tabular]",
        "[policy.transformer.model]\nnum_attention_heads = 7",
    );
    assert_eq!(
        found,
        "r.toml:6:1: policy.transformer.model.num_attention_heads: 7 is out of range, must be a divisor of hidden_size 64"
    );
}

#[test]
fn an_error_in_an_arm_points_into_the_arm() {
    let text = format!("{GOOD}[arms.a]\n[arms.b.run]\nstepz = 1\n");
    let found = message(&text);
    assert!(
        found.starts_with("r.toml:10:1: run.stepz (arm `b`): unknown key `stepz`"),
        "{found}"
    );
    let text = format!("{GOOD}[arms.a]\n[arms.b.sampler.vade]\nfast_decay = 1.5\n");
    let found = message(&text);
    assert!(
        found.starts_with("r.toml:10:1: sampler.vade.fast_decay (arm `b`): 1.5 is out of range"),
        "{found}"
    );
}

#[test]
fn parts_that_need_judged_steps_are_refused_where_nobody_judges() {
    for (from, seam) in [
        ("[advantage.grpo]", "advantage"),
        ("[objective.grpo]", "objective"),
    ] {
        let found = with(from, &format!("[{seam}.rank-grpo]"));
        let expected = format!(
            "{seam}.rank-grpo.rank-grpo: needs judged steps, and verifier `environment` gives none is out of range"
        );
        assert!(found.contains(&expected), "{found}");
    }
    let judged = GOOD
        .replace("skill-chain]", "digit-completion]\n[verifier.digit-completion]")
        .replace(
            "[advantage.grpo]\n[objective.grpo]",
            "[advantage.rank-grpo]\n[objective.rank-grpo]",
        );
    assert_eq!(message(&judged), "accepted");
}

#[test]
fn a_syntax_error_has_a_place() {
    let found = with("steps = 3", "steps = = 3");
    assert!(found.starts_with("r.toml:3:9: "), "{found}");
}

#[test]
fn an_objective_that_compares_rewards_refuses_other_advantages() {
    for name in ["disco", "disco-b"] {
        let objective = format!("[objective.{name}]");
        let found = with("[objective.grpo]", &objective);
        assert_eq!(
            found,
            format!(
                "r.toml:6:12: advantage.grpo: grpo is out of range, must be raw: objective `{name}` compares the \
                 rewards themselves"
            )
        );
        let raw = GOOD
            .replace("[objective.grpo]", &objective)
            .replace("[advantage.grpo]", "[advantage.raw]");
        assert_eq!(message(&raw), "accepted");
    }
}

#[test]
fn a_missing_table_is_named() {
    assert_eq!(with("[policy.tabular]\n", ""), "r.toml: missing field `policy`");
    assert_eq!(with("name = \"good\"\n", ""), "r.toml: missing field `name`");
}

#[test]
fn two_parts_in_one_seam_are_refused() {
    let found = with("[advantage.grpo]", "[advantage.grpo]\n[advantage.rloo]");
    assert!(found.contains("advantage"), "{found}");
    assert_ne!(found, "accepted");
}

#[test]
fn seeds_baseline_and_claim_must_exist() {
    let text = format!("{GOOD}[ablation]\nseeds = []\n");
    assert_eq!(
        message(&text),
        "r.toml:9:1: ablation.seeds: must name at least one seed"
    );
    let text = format!("{GOOD}[ablation]\nseeds = [1, 2, 1]\n");
    assert_eq!(
        message(&text),
        "r.toml:9:1: ablation.seeds: seed 1 is named twice"
    );
    let text = format!("{GOOD}[ablation]\nbaseline = \"x\"\n");
    assert_eq!(
        message(&text),
        "r.toml:9:1: ablation.baseline: no arm is called `x`, known: base"
    );
}

#[test]
fn claims_are_one_table_or_a_list_and_each_is_checked() {
    let claim = |text: &str, change: (&str, &str)| {
        let fields = "text = \"t\"\nmetric = \"m\"\narm = \"base\"\ncontrol = \"base\"\n\
                      direction = \"higher\"\nleast_effect = 0.1\n";
        format!("{text}\n{}", fields.replace(change.0, change.1))
    };
    let read = |text: &str| Experiment::from_text(Path::new("r.toml"), text, &[]);
    let one = claim(&format!("{GOOD}[claim]"), ("", ""));
    assert_eq!(read(&one).unwrap().claims.len(), 1);
    let two = claim(
        &format!("{}[[claim]]", claim(&format!("{GOOD}[[claim]]"), ("", ""))),
        ("", ""),
    );
    assert_eq!(read(&two).unwrap().claims.len(), 2);
    assert_eq!(read(GOOD).unwrap().claims, []);
    let second = |change| {
        let first = claim(&format!("{GOOD}[[claim]]"), ("", ""));
        message(&claim(&format!("{first}[[claim]]"), change))
    };
    assert_eq!(
        second(("arm = \"base\"", "arm = \"x\"")),
        "r.toml:18:1: claim.1.arm: no arm is called `x`, known: base"
    );
    assert_eq!(
        second(("= 0.1", "= -0.1")),
        "r.toml:21:1: claim.1.least_effect: -0.1 is out of range, must be a finite number >= 0"
    );
    assert_eq!(
        second(("\"higher\"\nleast_effect = 0.1", "\"equal\"\nleast_effect = 0.0")),
        "r.toml:21:1: claim.1.least_effect: 0 is out of range, must be > 0 where the claim is that an effect is absent"
    );
    assert!(second(("metric", "metrik")).starts_with("r.toml:17:1: claim.1.metrik: unknown key `metrik`"));
    let single = claim(
        &format!("{GOOD}[claim]"),
        ("control = \"base\"", "control = \"x\""),
    );
    assert_eq!(
        message(&single),
        "r.toml:12:1: claim.0.control: no arm is called `x`, known: base"
    );
}

#[test]
fn the_fingerprint_follows_what_decides_the_result() {
    let of = |text: &str| {
        let experiment = Experiment::from_text(Path::new("r.toml"), text, &[]).unwrap();
        experiment.fingerprint().unwrap()
    };
    let base = of(GOOD);
    assert_eq!(base.len(), 16);
    assert_eq!(of(&format!("# A comment.\n{GOOD}")), base);
    assert_eq!(
        of(&GOOD.replace("name = \"good\"", "name = \"good\"\ndescription = \"d\"")),
        base
    );
    assert_ne!(of(&format!("{GOOD}[ablation]\nseeds = [5]\n")), base);
    assert_eq!(of(&format!("{GOOD}[scaffold.plain]\n[filter.none]\n")), base);
    assert_ne!(of(&format!("{GOOD}[scaffold.seele]\n")), base);
    let claim =
        "[claim]\ntext = \"t\"\nmetric = \"m\"\narm = \"base\"\ncontrol = \"base\"\ndirection = \"higher\"\n";
    let with_claim = of(&format!("{GOOD}{claim}least_effect = 0.1\n"));
    assert_ne!(with_claim, base);
    assert_ne!(of(&format!("{GOOD}{claim}least_effect = 0.2\n")), with_claim);
    assert_ne!(of(&GOOD.replace("[advantage.grpo]", "[advantage.rloo]")), base);
}

#[test]
fn overrides_are_checked_like_the_file() {
    let read = |over: &str| Experiment::from_text(Path::new("r.toml"), GOOD, &[over.to_owned()]);
    assert_eq!(read("run.steps=9").unwrap().arms[0].recipe.run.steps, 9);
    assert_eq!(read("ablation.seeds=[7]").unwrap().ablation.seeds, [7]);
    assert_eq!(
        read("steps").unwrap_err().to_string(),
        "--set steps: expected key=value, for example run.steps=20"
    );
    let found = read("run.stepz=9").unwrap_err().to_string();
    assert!(found.contains("run.stepz: unknown key `stepz`"), "{found}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Experiment::from_file(Path::new("no/such.toml"), &[])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot read no/such.toml: "), "{error}");
}

#[test]
fn names_become_folders_and_must_be_plain() {
    let found = with("name = \"good\"", "name = \"../up\"");
    assert!(
        found.ends_with("`../up` must consist of letters, digits and any of - _ . +"),
        "{found}"
    );
}

#[test]
fn a_mode_that_needs_a_reference_solution_in_the_group_is_refused_before_the_run() {
    let advantage = |mode: &str| {
        with(
            "[advantage.grpo]",
            &format!("[advantage.tempsamp-r1]\nmode = \"{mode}\""),
        )
    };
    for mode in ["soft", "plain"] {
        assert_eq!(advantage(mode), "accepted");
    }
    for mode in ["anchor", "scale"] {
        let found = advantage(mode);
        assert_eq!(
            found,
            "r.toml:6:12: advantage.tempsamp-r1.tempsamp-r1: needs reference solutions in the groups is out of range, \
             must be used with [repair.inject-reference], which puts them there"
        );
    }
}
