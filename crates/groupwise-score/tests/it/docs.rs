//! The sessions shown in `docs/score.md` are what happens.

use groupwise_recipe::Parts;
use groupwise_score::{Options, run};

const TEXT: &str = include_str!("../../../../docs/score.md");

/// Words of a command: blanks separate, single quotes hold together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (i, part) in command.split('\'').enumerate() {
        if i % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (j, piece) in part.split(' ').enumerate() {
            if j > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Standard output and error of `printf '%s\n' LINES | groupwise score FLAGS`.
fn shell(command: &str) -> String {
    let words = words(command);
    let pipe = words.iter().position(|word| word == "|").unwrap();
    assert_eq!(words[..2], ["printf", "%s\\n"]);
    assert_eq!(words[pipe + 1..pipe + 3], ["groupwise", "score"]);
    let input: String = words[2..pipe].iter().map(|line| format!("{line}\n")).collect();
    let (mut set, mut options) = (Vec::new(), Options::default());
    let (mut advantage, mut objective) = (None, None);
    for pair in words[pipe + 3..].chunks(2) {
        let value = pair[1].clone();
        match pair[0].as_str() {
            "--advantage" => advantage = Some(value),
            "--objective" => objective = Some(value),
            "--set" => set.push(value),
            "--batch" => options.batch = Some(value.parse().unwrap()),
            other => panic!("{other}"),
        }
    }
    let parts = Parts::read(None, advantage.as_deref(), objective.as_deref(), &set).unwrap();
    (options.advantage, options.objective) = (parts.advantage, parts.objective);
    let mut out = Vec::new();
    let end = run(input.as_bytes(), &mut out, &options);
    let mut out = String::from_utf8(out).unwrap();
    if let Err(error) = end {
        out.push_str(&format!("error: {error}\n"));
    }
    out
}

#[test]
fn every_session_of_the_document_is_what_happens() {
    let mut n_commands = 0;
    for session in TEXT.split("```console\n").skip(1) {
        let session = session.split("```").next().unwrap();
        for step in session.split("$ ").skip(1) {
            let (command, shown) = step.split_once('\n').unwrap();
            assert_eq!(shell(command), shown, "{command}");
            n_commands += 1;
        }
    }
    assert!(n_commands >= 5, "{n_commands}");
}

#[test]
fn the_document_names_every_field() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/score.schema.json")).unwrap();
    let keys = |object: &serde_json::Value| -> Vec<String> {
        object["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    for key in keys(&schema).iter().chain(&keys(&schema["$defs"]["result"])) {
        let named = TEXT.contains(&format!("`{key}`")) || TEXT.contains(&format!("`{key}."));
        assert!(named, "{key}");
    }
    for part in ["steps", "judged_steps"] {
        for key in keys(&schema["$defs"][part]).iter().filter(|key| *key != "states") {
            assert!(TEXT.contains(&format!("`{part}.{key}`")), "{part}.{key}");
        }
    }
}
