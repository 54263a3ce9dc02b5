//! Golden numbers of the specifications: VADE, Knapsack RL, dynamic sampling, the equal-norm split of CurES.
#![expect(clippy::unwrap_used, reason = "a test stops where its data are wrong")]

use std::path::Path;

use groupwise_sampler::allocators::knapsack::{
    Fallback, Knapsack, KnapsackConfig, Variant, cost, marginal_gain, value,
};
use groupwise_sampler::allocators::square_root::{split, standard_deviation};
use groupwise_sampler::filters::dynamic_sampling::select_dynamic;
use groupwise_sampler::samplers::vade;
use groupwise_sampler::score::GainScore;
use groupwise_sampler::success::{Decay, Success, SuccessStats, Window};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    method: String,
    name: String,
    params: Value,
    input: Value,
    expect: Value,
    tolerance: f64,
}

fn cases(slug: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/{slug}.json"));
    let text = std::fs::read_to_string(&path).expect("the golden file is there");
    let golden: Golden = serde_json::from_str(&text).expect("the golden file has the known schema");
    golden.cases
}

impl Case {
    fn param<T: for<'de> Deserialize<'de>>(&self, name: &str, default: T) -> T {
        match self.params.get(name) {
            None => default,
            Some(value) => T::deserialize(value).expect("parameter of the expected type"),
        }
    }

    fn input<T: for<'de> Deserialize<'de>>(&self, name: &str) -> T {
        let value = self.input.get(name).unwrap_or(&Value::Null);
        T::deserialize(value).unwrap_or_else(|e| panic!("{}: input {name}: {e}", self.name))
    }

    /// Compares every expected entry, numbers within the tolerance.
    fn check(&self, found: &Value) {
        for (key, expected) in self.expect.as_object().expect("an object") {
            let found = found
                .get(key)
                .unwrap_or_else(|| panic!("{}: no `{key}`", self.name));
            assert!(
                close(expected, found, self.tolerance),
                "{}: `{key}` is {found}, expected {expected}",
                self.name
            );
        }
    }
}

fn close(expected: &Value, found: &Value, tolerance: f64) -> bool {
    match (expected, found) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b, tolerance))
        }
        (Value::Number(_), Value::Number(_)) => {
            let (a, b) = (expected.as_f64().unwrap(), found.as_f64().unwrap());
            (a - b).abs() <= tolerance * a.abs().max(1.0)
        }
        _ => expected == found,
    }
}

fn knapsack(case: &Case) -> Value {
    let group = case.param("n", 8);
    let n_low = case.param("low", 2);
    let config = KnapsackConfig {
        n_low,
        n_neg: case.param("neg", None),
        n_pos: case.param("pos", None),
        n_up: case.param("up", 128),
        confidence: case.param("conf", 0.9),
        fallback: if case.param("fallback", true) {
            Fallback::On
        } else {
            Fallback::Off
        },
        ..KnapsackConfig::default()
    };
    match case.param("function", String::new()).as_str() {
        "value" => {
            let rates: Vec<f64> = case.input("success_rates");
            let attempts: Vec<u32> = case.input("attempts");
            let pairs = || attempts.iter().zip(&rates);
            json!({
                "scores": pairs().map(|(n, p)| value(*n, *p)).collect::<Vec<_>>(),
                "weights": pairs().map(|(n, p)| marginal_gain(*n, *p)).collect::<Vec<_>>(),
                "lengths": rates.iter().map(|p| cost(*p, config.n_up, config.confidence)).collect::<Vec<_>>(),
            })
        }
        "rate_estimate" => {
            let visits: Vec<Vec<f64>> = case.input("rewards");
            let window = Window::new(case.param("window", 16), case.param("min_count", 8)).unwrap();
            let estimate = window
                .estimate(0, visits.iter().map(Vec::as_slice), Success::Binary)
                .unwrap();
            json!({ "known": estimate.known, "rate": estimate.rate })
        }
        "" => {
            let rates: Vec<Option<f64>> = case.input("success_rates");
            let knapsack = Knapsack::new(&config, group).unwrap();
            let budget = case.param("budget", knapsack.usual_budget(rates.len()));
            let plan = knapsack.plan(&rates, budget).unwrap();
            json!({
                "allocation": plan.counts,
                "unspent": plan.unspent,
                "fallback": plan.surplus > 0,
                "value": plan.value,
            })
        }
        other => panic!("{}: unknown function {other}", case.name),
    }
}

fn vade(case: &Case) -> Value {
    let decay = Decay::new(case.param("fast_decay", 0.2), case.param("slow_decay", 0.999)).unwrap();
    let batch = case.param("batch", 1);
    let group = case.param("group", 8);
    let score: GainScore = case.param("score", GainScore::default());
    let counts = || SuccessStats::from_counts(case.input("alpha"), case.input("beta"), decay).unwrap();
    let result = |stats: &SuccessStats| json!({ "alpha": stats.right(), "beta": stats.wrong(), "means": stats.means() });
    match case.param("function", String::new()).as_str() {
        "select" => {
            let draws = match case.input.get("draws") {
                Some(_) => case.input("draws"),
                None => vade::quantile_rates(&counts(), &case.input::<Vec<f64>>("uniforms")).unwrap(),
            };
            let ranking = vade::select(&draws, score, batch).unwrap();
            json!({ "draws": draws, "scores": ranking.scores, "selected": ranking.selected })
        }
        "update" => {
            let mut stats = counts();
            let selected: Vec<usize> = case.input("selected");
            vade::update(&mut stats, &selected, &case.input::<Vec<f64>>("successes"), group).unwrap();
            result(&stats)
        }
        "idle" => {
            let mut stats = counts();
            vade::idle(&mut stats, case.param("steps", 1)).unwrap();
            result(&stats)
        }
        "greedy" => {
            let greedy = vade::greedy(&counts(), score, batch).unwrap();
            json!({
                "means": greedy.means,
                "scores": greedy.ranking.scores,
                "selected": greedy.ranking.selected,
                "expected_scores": greedy.expected_scores,
            })
        }
        "run" => {
            let uniforms: Vec<Vec<f64>> = case.input("uniforms");
            let mut stats = SuccessStats::new(uniforms[0].len(), decay);
            let successes: Vec<Vec<f64>> = case.input("successes");
            let selected = vade::run(&mut stats, &uniforms, &successes, score, batch, group).unwrap();
            let mut found = result(&stats);
            found["selected"] = json!(selected);
            found
        }
        other => panic!("{}: unknown function {other}", case.name),
    }
}

#[test]
fn knapsack_cases() {
    let cases = cases("knapsack-rl");
    assert!(cases.len() >= 7);
    for case in cases {
        case.check(&knapsack(&case));
    }
}

#[test]
fn vade_cases() {
    let cases = cases("vade");
    assert!(cases.len() >= 6);
    for case in cases {
        case.check(&vade(&case));
    }
}

#[test]
fn dynamic_sampling_cases() {
    let mut n_cases = 0;
    for case in cases("baselines")
        .iter()
        .filter(|c| c.name.starts_with("dynamic_sampling"))
    {
        assert_eq!(case.method, "dapo");
        let rewards: Vec<Vec<Option<f64>>> = case.input("rewards");
        let (selected, missing) = select_dynamic(&rewards, case.param("train_groups", rewards.len()));
        case.check(&json!({ "selected": selected, "missing": missing }));
        n_cases += 1;
    }
    assert!(n_cases >= 1);
}

#[test]
fn square_root_split_is_cures_with_equal_norms() {
    let mut n_cases = 0;
    for case in cases("cures") {
        let equal_norms = case.input.get("grad_norms_correct").is_none();
        let exact = case.param("rounding", String::new()) == "largest_remainder";
        if !(equal_norms && exact) {
            continue;
        }
        let successes: Vec<f64> = case.input("successes");
        let attempts: Vec<f64> = case.input("attempts");
        let sigma: Vec<f64> = successes
            .iter()
            .zip(&attempts)
            .map(|(a, n)| standard_deviation(a / n))
            .collect();
        let counts = split(&sigma, case.input("budget"), case.param("low", 2)).unwrap();
        case.check(&json!({ "weights": sigma, "allocation": counts }));
        n_cases += 1;
    }
    assert!(n_cases >= 1);
}

/// Worked example of the specification, section 9, beyond the golden files.
#[test]
fn worked_example_of_the_knapsack() {
    let knapsack = Knapsack::new(&KnapsackConfig::default(), 4).unwrap();
    let rates = [0.125, 0.5, 0.9375, 1.0];
    let costs: Vec<Option<u32>> = rates.iter().map(|p| cost(*p, 128, 0.9)).collect();
    assert_eq!(costs, [Some(17), Some(3), Some(35), None]);
    let plan = knapsack.plan(&rates.map(Some), 16).unwrap();
    assert_eq!((plan.counts, plan.surplus), (vec![7, 5, 2, 2], 0));
    assert!((value(93, 0.02) - 0.016_273_7).abs() < 1e-7);
    let authors = KnapsackConfig {
        variant: Variant::Authors,
        ..KnapsackConfig::default()
    };
    let plan = Knapsack::new(&authors, 3)
        .unwrap()
        .plan(&[Some(0.7), Some(0.3)], 6)
        .unwrap();
    assert_eq!(plan.counts, [3, 3]);
}
