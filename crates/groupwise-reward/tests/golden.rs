//! The reward case of the baselines' golden file.

use groupwise_reward::overlong_penalty;
use serde_json::Value;

#[test]
fn the_overlong_case_of_the_baselines_agrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/baselines.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let case = cases.iter().find(|c| c["name"] == "overlong_shaping").unwrap();
    let (params, tolerance) = (&case["params"], case["tolerance"].as_f64().unwrap());
    let integer = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
    let (lengths, scores) = (&case["input"]["lengths"], &case["expect"]["scores"]);
    let lengths: Vec<usize> = lengths.as_array().unwrap().iter().map(integer).collect();
    assert_eq!(lengths.len(), scores.as_array().unwrap().len());
    for (i, length) in lengths.into_iter().enumerate() {
        let (max, cache) = (integer(&params["max_len"]), integer(&params["cache"]));
        let found = overlong_penalty(length, max, cache, params["factor"].as_f64().unwrap());
        assert!(
            (found - scores[i].as_f64().unwrap()).abs() <= tolerance,
            "length {length}"
        );
    }
}
