//! The resolved recipe as formulas, sources and numbers: what an arm computes, flat on one page.

use std::fmt::Write;

use serde_json::Value;

use crate::experiment::{Arm, Experiment};
use crate::recipe::{PolicySpec, Recipe};

/// One line per fact: seam, part, formula with numbers, source, parameters.
struct Section {
    seam: &'static str,
    name: String,
    formula: String,
    source: String,
    parameters: Value,
}

/// Explains every arm, or one; `None` if no arm has that name.
pub fn explain(experiment: &Experiment, arm: Option<&str>) -> Option<String> {
    let arms: Vec<&Arm> = match arm {
        Some(name) => vec![experiment.arm(name)?],
        None => experiment.arms.iter().collect(),
    };
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", experiment.name);
    if !experiment.description.is_empty() {
        let _ = writeln!(out, "{}", experiment.description);
    }
    let seeds: Vec<String> = experiment.ablation.seeds.iter().map(u64::to_string).collect();
    let _ = writeln!(
        out,
        "seeds {}; baseline `{}`; metric {}\n",
        seeds.join(" "),
        experiment.baseline(),
        experiment.ablation.metric
    );
    let first = sections(&arms[0].recipe);
    for (i, arm) in arms.iter().enumerate() {
        let _ = writeln!(out, "== arm `{}`", arm.name);
        let mine = sections(&arm.recipe);
        if i == 0 || arm.recipe.run != arms[0].recipe.run {
            let _ = write!(out, "{}", arithmetic(&arm.recipe));
        }
        let same = mine
            .iter()
            .zip(&first)
            .filter(|(a, b)| i > 0 && equal(a, b))
            .count();
        for (section, other) in mine.iter().zip(&first) {
            if i == 0 || !equal(section, other) {
                write_section(&mut out, section);
            }
        }
        if i > 0 && same > 0 {
            let _ = writeln!(out, "  all else as in arm `{}`", arms[0].name);
        }
        let _ = writeln!(out);
    }
    Some(out)
}

fn equal(a: &Section, b: &Section) -> bool {
    a.name == b.name && a.parameters == b.parameters
}

fn write_section(out: &mut String, section: &Section) {
    let _ = writeln!(out, "  {} = {}", section.seam, section.name);
    for line in section.formula.lines() {
        let _ = writeln!(out, "      {line}");
    }
    if !section.source.is_empty() {
        let _ = writeln!(out, "      source: {}", section.source);
    }
    if let Value::Object(map) = &section.parameters
        && !map.is_empty()
    {
        let list: Vec<String> = map.iter().map(|(k, v)| format!("{k} = {v}")).collect();
        let _ = writeln!(out, "      {}", list.join(", "));
    }
}

macro_rules! part {
    ($seam:literal, $spec:expr) => {
        Section {
            seam: $seam,
            name: $spec.name().to_owned(),
            formula: $spec.formula(),
            source: $spec.source().to_owned(),
            parameters: inner(serde_json::to_value(&$spec).unwrap_or_default()),
        }
    };
}

/// The parameters below an externally tagged name.
fn inner(tagged: Value) -> Value {
    match tagged {
        Value::Object(map) => map.into_iter().next().map_or(Value::Null, |(_, v)| v),
        other => other,
    }
}

fn sections(recipe: &Recipe) -> Vec<Section> {
    let mut out = vec![
        part!("env", recipe.env),
        policy(&recipe.policy),
        part!("sampler", recipe.sampler),
        part!("allocator", recipe.allocator),
        part!("filter", recipe.filter),
        part!("scaffold", recipe.scaffold),
        part!("repair", recipe.repair),
        part!("verifier", recipe.verifier),
    ];
    out.extend(recipe.shapers.iter().map(|shaper| part!("shaper", shaper)));
    out.push(part!("advantage", recipe.advantage));
    out.push(part!("objective", recipe.objective));
    out
}

fn policy(spec: &PolicySpec) -> Section {
    let (name, formula, source) = match spec {
        PolicySpec::Tabular(_) => (
            "tabular",
            "pi(a | s) = softmax(logits[s])[a]; logits -= learning_rate * exact gradient",
            "",
        ),
        PolicySpec::Linear(_) => (
            "linear",
            "pi(a | s) = softmax_a(base(s, a) + theta psi(s, a)); theta -= learning_rate * exact gradient",
            "",
        ),
        PolicySpec::Transformer(_) => (
            "transformer",
            "pre-norm decoder: x += attention(rms_norm(x)); x += swiglu(rms_norm(x)); AdamW",
            "Llama and Qwen2 layout; arXiv 1711.05101 for AdamW",
        ),
    };
    Section {
        seam: "policy",
        name: name.into(),
        formula: formula.into(),
        source: source.into(),
        parameters: inner(serde_json::to_value(spec).unwrap_or_default()),
    }
}

/// What is generated and trained on per step and in all.
fn arithmetic(recipe: &Recipe) -> String {
    let run = &recipe.run;
    let budget = u64::from(run.budget());
    let mut out = String::new();
    let _ = writeln!(
        out,
        "  batch: {} prompts x {} generations = {budget} rollouts a step, {} steps = {} rollouts, \
         at most {} tokens each",
        run.prompts_per_step,
        run.num_generations,
        run.steps,
        budget * run.steps,
        run.max_completion_length,
    );
    let _ = writeln!(
        out,
        "  updates: {} pass(es) x {} mini-batch(es) = {} optimizer step(s) a step; {}",
        run.num_iterations,
        run.mini_batches,
        run.num_iterations * run.mini_batches,
        if run.num_iterations * run.mini_batches == 1 {
            "on policy: every ratio is 1 at the update"
        } else {
            "old log-probabilities are taken before the first"
        },
    );
    let _ = writeln!(
        out,
        "  learning rate: {} {:?} after {} warm-up; sampling temperature {}",
        run.learning_rate, run.lr_scheduler_type, run.warmup_ratio, run.temperature
    );
    if let Some(warm) = &recipe.warm_start {
        let _ = writeln!(
            out,
            "  warm start: {} supervised steps x {} demonstrations at {}",
            warm.steps, warm.batch_size, warm.learning_rate
        );
    }
    out
}
