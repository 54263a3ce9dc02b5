//! Texts made to be slow, deep or strange: every family must come back, with a verdict.

use serde_json::json;

use crate::common::{families, judge, options};

/// Large enough that work beyond linear would not end.
const LARGE: usize = 200_000;

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "(",
        ")",
        "[",
        "{",
        "\\boxed{",
        "<answer>",
        "</answer>",
        "<answer>1</answer>",
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<tool_call>{}</tool_call>",
        "answer is ",
        "answer: ",
        "the answer ",
        "A ",
        "A or ",
        "1+",
        "-",
        "```python\n",
        "```",
        "Step 1:",
        "\n",
        "the ",
        "9 ** ",
        "\u{301}",
        "\u{fdfa}",
        "1.",
        "[1,2]",
    ]
    .iter()
    .map(|piece| piece.repeat(LARGE))
    .collect();
    texts.push(format!(
        "<answer>{}1{}</answer>",
        "(".repeat(LARGE),
        ")".repeat(LARGE)
    ));
    texts.push(format!("<answer>{}</answer>", "1+".repeat(LARGE)));
    texts.push(format!(
        "<tool_call>{{\"name\": \"f\", \"arguments\": {{\"x\": {}{}}}}}</tool_call>",
        "[".repeat(LARGE),
        "]".repeat(LARGE)
    ));
    texts.push(format!(
        "\\boxed{{{}A{}}}",
        "\\text{".repeat(LARGE),
        "}".repeat(LARGE)
    ));
    texts.push("\u{0}\u{feff}\u{202e}\u{10ffff}\u{85}\u{2028}".to_owned());
    texts
}

#[test]
fn every_family_judges_every_text() {
    let rows: Vec<String> = texts()
        .iter()
        .map(|text| {
            json!({"completion": text, "solution": "[1, 2]", "numbers": [1], "target": 1, "options": ["A", "B"],
                "functions": [{"name": "f", "parameters": {"properties": {"x": {"type": "array"}}}}],
                "accepted": [{"f": {"x": [[1]]}}], "relevant_items": [["Heat", 1995]], "golds": ["lamp"]})
            .to_string()
        })
        .collect();
    let text = rows.join("\n");
    for family in families().filter(|f| *f != "code-tests") {
        let verdicts = judge(&text, &options(family, &[], false)).unwrap();
        assert_eq!(verdicts.len(), rows.len(), "{family}");
        for verdict in verdicts {
            let score = verdict["score"].as_f64();
            assert!(
                score.is_none_or(|s| (-1.0..=1.0).contains(&s)),
                "{family}: {verdict}"
            );
        }
    }
}
