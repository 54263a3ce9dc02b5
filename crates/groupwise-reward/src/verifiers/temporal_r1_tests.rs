use groupwise_core::StopReason;
use proptest::prelude::*;
use serde_json::json;

use super::super::testing::trajectory;
use super::*;

fn config(format_weight: f64, threshold: Option<f64>) -> TemporalR1Config {
    TemporalR1Config {
        format_weight,
        threshold,
    }
}

fn grounding_task(interval: Value, video_length: Value) -> Task {
    let mut task = Task::new("t", "", "");
    task.columns.insert("interval".to_owned(), interval);
    task.columns.insert("video_length".to_owned(), video_length);
    task
}

fn score(config: &TemporalR1Config, task: &Task, reply: &str) -> Score {
    let episode = trajectory(&[("ignored", 0.0), (reply, 0.0)], StopReason::EndToken);
    config.build(&()).unwrap().score(task, &episode)
}

fn answer(start: &str, end: &str) -> String {
    format!("<think>t</think><answer>{{\"start_time\": {start}, \"end_time\": {end}}}</answer>")
}

fn interval() -> impl Strategy<Value = [f64; 2]> {
    (0.0..9.0f64, 0.0..9.0f64).prop_map(|(a, b)| [a, b])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn accuracy_and_reward_lie_between_0_and_1(
        p in prop::option::of(interval()), truth in interval(), w in 0.0..=1.0f64, t in prop::option::of(0.01..0.99f64),
    ) {
        let accuracy = grounding_accuracy(p, truth, 9.0, t)?;
        prop_assert!((0.0..=1.0).contains(&accuracy));
        let config = config(w, t);
        prop_assert!((0.0..=1.0).contains(&config.reward(accuracy, 0.0)));
        prop_assert!((config.reward(accuracy, 1.0) - config.reward(accuracy, 0.0) - w).abs() < 1e-15);
        prop_assert!((config.reward(1.0, 0.0) - (1.0 - w)).abs() < 1e-15);
        if t.is_some() {
            prop_assert!(accuracy == 0.0 || accuracy == 1.0);
        }
    }

    #[test]
    fn overlap_is_symmetric_and_1_only_for_equal_intervals(a in interval(), b in interval()) {
        let overlap = grounding_accuracy(Some(a), b, 9.0, None)?;
        prop_assert_eq!(overlap, grounding_accuracy(Some(b), a, 9.0, None)?);
        prop_assert!(overlap < 1.0 || a == b);
        prop_assert_eq!(grounding_accuracy(Some(a), a, 9.0, None)?, f64::from(u8::from(a[0] < a[1])));
    }

    #[test]
    fn overlap_ignores_the_unit_and_the_origin(a in interval(), b in interval(), shift in 0.0..9.0f64, scale in 0.1..9.0f64) {
        let moved = |x: [f64; 2]| x.map(|v| scale * v + shift);
        let found = grounding_accuracy(Some(moved(a)), moved(b), scale * 9.0 + shift, None)?;
        prop_assert!((found - grounding_accuracy(Some(a), b, 9.0, None)?).abs() < 1e-9);
    }

    #[test]
    fn a_threshold_splits_the_overlap(a in interval(), b in interval(), t in 0.01..0.99f64) {
        let overlap = grounding_accuracy(Some(a), b, 9.0, None)?;
        let split = grounding_accuracy(Some(a), b, 9.0, Some(t))?;
        prop_assert_eq!(split == 1.0, overlap >= t);
    }

    #[test]
    fn what_is_written_in_the_format_is_read(start in 0u32..999, end in 0u32..999, space in r"[ \n]{0,2}") {
        let reply = format!(
            "<think>\n</think>{space}<answer>{space}{{{space}\"start_time\"{space}:{space}\"{start}.5\"{space},{space}\
             \"end_time\"{space}:{space}\"{end}\"{space}}}{space}</answer>"
        );
        prop_assert_eq!(grounding_format(&reply), 1.0);
        prop_assert_eq!(parse_time_interval(&reply), Some([f64::from(start) + 0.5, f64::from(end)]));
    }
}

#[test]
fn the_grounding_format_wants_quoted_numbers_and_nothing_else() {
    let good = answer("\"2\"", "\"6.\"");
    assert_eq!(grounding_format(&good), 1.0);
    assert_eq!(grounding_format(&answer("\"1.2.3\"", "\"6\"")), 1.0);
    assert_eq!(
        grounding_format(&good.replace("<think>t", "<think>a</think><answer>b</answer>")),
        1.0
    );
    for bad in [
        answer("2", "\"6\""),
        answer("\"2\"", "6"),
        answer("\"\"", "\"6\""),
        answer("\"2s\"", "\"6\""),
        answer("\"-2\"", "\"6\""),
        answer("\" 2\"", "\"6\""),
        good.replace("start_time", "start"),
        good.replace("end_time", "end"),
        good.replace(',', ";"),
        good.replace(':', "="),
        good.replace('{', ""),
        good.replace('}', ""),
        good.replace("}", ", \"x\": \"1\"}"),
        good.replace("</answer>", "x</answer>"),
        good.replace("<answer>", "<answer>x"),
        good.replace("<answer>", "x<answer>"),
        good.replace("</think>", ""),
        format!(" {good}"),
        format!("{good} "),
        good.replace("<think>", ""),
        good.replace("</answer>", ""),
    ] {
        assert_eq!(grounding_format(&bad), 0.0, "{bad}");
    }
}

#[test]
fn the_first_answer_block_is_read_loosely() {
    assert_eq!(parse_time_interval(&answer("2", "\" 6.5 \"")), Some([2.0, 6.5]));
    let twice = format!("{}{}", answer("1", "2"), answer("3", "4"));
    assert_eq!(parse_time_interval(&twice), Some([1.0, 2.0]));
    for bad in [
        answer("\"1.2.3\"", "6"),
        answer("2", "\"inf\""),
        answer("\"NaN\"", "6"),
        answer("2", "null"),
        answer("2", "[6]"),
        "<answer>{\"start_time\": 2}</answer>".to_owned(),
        "<answer>[2, 6]</answer>".to_owned(),
        "<answer>2, 6</answer>".to_owned(),
        "<answer>".to_owned(),
        String::new(),
    ] {
        assert_eq!(parse_time_interval(&bad), None, "{bad}");
    }
}

#[test]
fn overlap_needs_a_prediction_and_a_video() {
    let accuracy = |p: Option<[f64; 2]>, truth| grounding_accuracy(p, truth, 10.0, None).unwrap();
    assert!((accuracy(Some([2.0, 6.0]), [4.0, 8.0]) - 1.0 / 3.0).abs() < 1e-15);
    assert_eq!(accuracy(Some([6.0, 2.0]), [1.0, 5.0]), 0.0);
    assert_eq!(accuracy(Some([3.0, 3.0]), [3.0, 3.0]), 0.0);
    assert_eq!(accuracy(None, [1.0, 5.0]), 0.0);
    // 1/2 is reached, not only exceeded.
    let split = |t| grounding_accuracy(Some([0.0, 1.0]), [0.0, 2.0], 2.0, Some(t)).unwrap();
    assert_eq!([0.5, 0.51].map(split), [1.0, 0.0]);
    for (length, given) in [
        (0.0, "0"),
        (-1.0, "-1"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        let error = grounding_accuracy(None, [0.0, 1.0], length, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("video length: {given} is not a finite number > 0")
        );
    }
}

#[test]
fn choices_are_compared_after_trimming() {
    assert_eq!(
        choice_accuracy("<think>C</think><answer> B\n</answer>", "B "),
        1.0
    );
    assert_eq!(choice_accuracy(" B ", "B"), 1.0);
    assert_eq!(choice_accuracy("<answer>B", "B"), 0.0);
    assert_eq!(choice_accuracy("<answer>C</answer><answer>B</answer>", "B"), 0.0);
    assert_eq!(choice_accuracy("<answer>b</answer>", "B"), 0.0);
    assert_eq!(choice_format("<think>t</think><answer>B</answer>"), 1.0);
    assert_eq!(choice_format("<think></think><answer></answer>"), 1.0);
    for bad in [
        "<think>t</think> <answer>B</answer>",
        "<think>t</think><answer>B</answer>\n",
        " <think>t</think><answer>B</answer>",
        "<think>t</think><answer>B",
        "<think>t<answer>B</answer>",
        "t</think><answer>B</answer>",
        "B",
    ] {
        assert_eq!(choice_format(bad), 0.0, "{bad}");
    }
}

#[test]
fn the_columns_of_a_task_say_which_reward_is_meant() {
    let config = config(0.25, None);
    let grounding = grounding_task(json!([4, 8.0]), json!(10));
    let value = |task: &Task, reply: &str| score(&config, task, reply).value().unwrap();
    assert!((value(&grounding, &answer("\"2\"", "\"6\"")) - 0.5).abs() < 1e-15);
    assert!((value(&grounding, &answer("2", "6")) - 0.25).abs() < 1e-15);
    assert_eq!(value(&grounding, "4 to 8"), 0.0);
    let choice = Task::new("t", "", "B");
    assert_eq!(value(&choice, "<think></think><answer>B</answer>"), 1.0);
    assert_eq!(value(&choice, "<think></think><answer>C</answer>"), 0.25);
    assert_eq!(value(&choice, "B"), 0.75);
    let graded = TemporalR1Config {
        threshold: Some(0.3),
        ..config.clone()
    };
    assert_eq!(score(&graded, &grounding, &answer("2", "6")), Score::Value(0.75));
    let unscorable = |task: &Task| match score(&config, task, "B") {
        Score::Unscorable(why) => why,
        Score::Value(value) => format!("scored {value}"),
    };
    assert_eq!(unscorable(&Task::new("t", "", " ")), "task `t` has no reference");
    assert_eq!(
        unscorable(&grounding_task(json!([4, 8]), json!("long"))),
        "task `t` has no number `video_length`"
    );
    assert_eq!(
        unscorable(&grounding_task(json!([4, 8]), json!(0))),
        "task `t`: video length: 0 is not a finite number > 0"
    );
    assert!(
        unscorable(&grounding_task(json!([4]), json!(9)))
            .starts_with("task `t`: column `interval`: invalid length 1")
    );
}

#[test]
fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
    let refused = |w, t| config(w, t).build(&()).unwrap_err().to_string();
    for (w, given) in [(-0.1, "-0.1"), (1.1, "1.1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refused(w, None),
            format!("`format_weight` = {given}: must be in [0, 1]")
        );
    }
    for (t, given) in [(0.0, "0"), (1.0, "1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refused(0.5, Some(t)),
            format!("`threshold` = {given}: must be in (0, 1)")
        );
    }
    assert!(config(0.0, None).build(&()).is_ok() && config(1.0, Some(0.5)).build(&()).is_ok());
    assert_eq!(
        config(0.25, None).formula(),
        "r = 0.75 a + 0.25 [format]; a = IoU where the task has an `interval`, else [answer = reference]"
    );
    assert!(
        config(0.25, Some(0.5))
            .formula()
            .contains("a = [IoU >= 0.5] where")
    );
}
