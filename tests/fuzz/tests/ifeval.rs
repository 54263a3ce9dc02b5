//! Instructions: arguments of any kind, responses of any shape.

use groupwise_reward::verifiers::ifeval::{
    INSTRUCTIONS, IfevalConfig, Instruction, Strictness, check_instructions, loose_versions,
};
use serde_json::{Map, Value, json};

const FRAGMENTS: &[&str] = &[
    "a",
    "b",
    "cat",
    "Cat",
    "dog",
    "*",
    "**",
    "***",
    "******",
    "\n",
    "\n\n",
    " ",
    "- ",
    "* ",
    "[",
    "]",
    "[x]",
    "<<",
    ">>",
    "<<t>>",
    "P.S.",
    "P. S.",
    "P.P.S",
    "Section 1",
    "SECTION 2",
    "1",
    "hello",
    "Hello,",
    "\"",
    "'",
    ",",
    ".",
    "!",
    "?",
    "```json",
    "```",
    "{\"a\": 1}",
    "[1, 2]",
    "NaN",
    "null",
    "My answer is yes.",
    "The end",
    "the quick brown fox ",
    "DER HUND ",
    "é",
    "(",
    "c++",
    "a|b",
    "(a",
    "[a-",
    "\\d",
    "\\b",
    ".*",
    "(?i)x",
    "(?=",
    "\\1",
    "a{2,",
    "a{1000}",
    "x*",
    "(a+)+",
    "$",
    "^",
    "-5",
    "3",
    "0",
    "2.5",
    "at least",
    "less than",
    "en",
    "de",
];

const KEYS: [&str; 16] = [
    "keywords",
    "keyword",
    "frequency",
    "relation",
    "forbidden_words",
    "letter",
    "let_frequency",
    "let_relation",
    "num_words",
    "num_paragraphs",
    "nth_paragraph",
    "first_word",
    "section_spliter",
    "num_sections",
    "postscript_marker",
    "end_phrase",
];

/// An argument of some kind.
fn argument(kind: u8, text: &str) -> Value {
    match kind % 8 {
        0 => json!(text),
        1 => json!([text, text]),
        2 => json!(kind / 8),
        3 => json!(["a", 1, null]),
        4 => json!(-1.5),
        5 => json!(if kind < 128 { "at least" } else { "less than" }),
        6 => Value::Null,
        _ => json!({"a": text}),
    }
}

/// The arguments that an instruction takes, with a text and a number.
fn sound(id: &str, text: &str, number: u8) -> Map<String, Value> {
    let args = match id {
        "combination:repeat_prompt" => json!({"prompt_to_repeat": text}),
        "detectable_content:number_placeholders" => json!({"num_placeholders": number}),
        "detectable_content:postscript" => json!({"postscript_marker": text}),
        "detectable_format:multiple_sections" => json!({"section_spliter": text, "num_sections": number}),
        "detectable_format:number_bullet_lists" => json!({"num_bullets": number}),
        "detectable_format:number_highlighted_sections" => json!({"num_highlights": number}),
        "keywords:existence" => json!({"keywords": [text]}),
        "keywords:forbidden_words" => json!({"forbidden_words": [text]}),
        "keywords:frequency" => json!({"keyword": text, "frequency": number, "relation": "at least"}),
        "keywords:letter_frequency" => {
            json!({"letter": text, "let_frequency": number, "let_relation": "less than"})
        }
        "language:response_language" => json!({"language": "en"}),
        "length_constraints:nth_paragraph_first_word" => {
            json!({"num_paragraphs": number, "nth_paragraph": number, "first_word": text})
        }
        "length_constraints:number_paragraphs" => json!({"num_paragraphs": number}),
        "length_constraints:number_words" => json!({"num_words": number, "relation": "at least"}),
        "startend:end_checker" => json!({"end_phrase": text}),
        _ => json!({}),
    };
    args.as_object().cloned().unwrap_or_default()
}

/// Bad arguments are refused, not run; what follows strictly follows loosely; loosely means by one of the versions.
fn target(bytes: &[u8]) {
    let [choice, kind, key, rest @ ..] = bytes else {
        return;
    };
    let id = INSTRUCTIONS[usize::from(*choice) % INSTRUCTIONS.len()];
    let (argument_text, response) = groupwise_fuzz::two_texts(rest, FRAGMENTS);
    let mut args = sound(id, &argument_text, kind % 5);
    if kind % 4 == 0 {
        args.insert(
            KEYS[usize::from(*key) % KEYS.len()].to_owned(),
            argument(kind / 4, &argument_text),
        );
    }
    let reference = json!({"instruction": id, "args": args}).to_string();
    let verdict = check_instructions(&reference, &response, &IfevalConfig::default());
    match Instruction::new(id, &args) {
        Err(error) => assert_eq!(
            (verdict.score, verdict.reason.as_ref()),
            (None, error.to_string().as_str())
        ),
        Ok(instruction) => {
            let strict = instruction.follows(&response, Strictness::Strict);
            let loose = instruction.follows(&response, Strictness::Loose);
            let by_version = loose_versions(&response)
                .iter()
                .any(|v| instruction.follows(v, Strictness::Strict));
            assert_eq!(loose, by_version);
            assert!(!strict || loose);
        }
    }
}

groupwise_fuzz::tests!("ifeval", target);
