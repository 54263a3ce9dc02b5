use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn follows(id: &str, args: &Value, response: &str) -> bool {
    let instruction = Instruction::new(id, args.as_object().unwrap()).unwrap();
    instruction.follows(response, Strictness::Strict)
}

/// Each response with the verdict it must get.
fn check(id: &str, args: Value, cases: &[(&str, bool)]) {
    for (response, expected) in cases {
        assert_eq!(
            follows(id, &args, response),
            *expected,
            "{id} {args} {response:?}"
        );
    }
}

#[test]
fn keywords_are_patterns_without_case() {
    check(
        "keywords:existence",
        json!({"keywords": ["river", "b.at"]}),
        &[
            ("A RIVER and a boat", true),
            ("riverbed, bleat, boaT", true),
            ("river and bat", false),
            ("boat", false),
        ],
    );
    let two = json!({"keyword": " (c ", "frequency": 2, "relation": "at least"});
    check("keywords:frequency", two, &[("(C or (c", true), ("(c c", false)]);
    let few = json!({"keyword": "na", "frequency": 2, "relation": "less than"});
    check(
        "keywords:frequency",
        few,
        &[("banana", false), ("na", true), ("no", true)],
    );
    check(
        "keywords:forbidden_words",
        json!({"forbidden_words": ["sun", "moon"]}),
        &[
            ("Sunday, moonlit", true),
            ("the SUN", false),
            ("(moon)", false),
            ("sun_", true),
        ],
    );
    let letters = json!({"letter": "É", "let_frequency": 2.0, "let_relation": "at least"});
    check(
        "keywords:letter_frequency",
        letters,
        &[("é É", true), ("é e", false)],
    );
}

#[test]
fn lengths_count_words_and_paragraphs() {
    let words = json!({"num_words": 3, "relation": "at least"});
    check(
        "length_constraints:number_words",
        words,
        &[
            ("it's ok", true),
            ("well-known", false),
            ("a_b c\u{301}d e2", true),
            ("... a b", false),
        ],
    );
    check(
        "length_constraints:number_paragraphs",
        json!({"num_paragraphs": 2}),
        &[
            ("a\n***\nb", true),
            ("***a***b***", true),
            ("a***  ***b", false),
            ("a*** ***b", false),
            ("a *** \n *** b", false),
            ("a", false),
            ("a****b", true),
            ("a******", false),
        ],
    );
    let second = json!({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"});
    check(
        "length_constraints:nth_paragraph_first_word",
        second,
        &[
            ("First.\n\nThen, more", true),
            ("First.\n\n'\"then\" more", true),
            ("First.\n\n\"'then' more", false),
            ("First.\n\nThenceforth", false),
            ("First.\n\nThen\n\nthird", false),
            ("First.\n\n\n\nThen", false),
            ("First.\n\nthen\n\n  ", true),
            ("First.\nthen", false),
        ],
    );
}

#[test]
fn contents_are_found() {
    check(
        "detectable_content:number_placeholders",
        json!({"num_placeholders": 2}),
        &[
            ("[a] [b]", true),
            ("[[a]]]", false),
            ("[a\n] [b]", false),
            ("[a[b][c]", true),
        ],
    );
    let marked = |marker: &str| json!({"postscript_marker": marker});
    check(
        "detectable_content:postscript",
        marked("P.S."),
        &[("x\np.\u{1c}s. y", true), ("P.S", false), ("P.  S.", false)],
    );
    check(
        "detectable_content:postscript",
        marked("P.P.S"),
        &[("p. p. so", true), ("P.S.", false), ("P.P.P.S", true)],
    );
    check(
        "detectable_content:postscript",
        marked("Note: "),
        &[("NOTE: x", true), ("not", false)],
    );
}

#[test]
fn bullets_and_highlights_are_counted_as_the_patterns_do() {
    check(
        "detectable_format:number_bullet_lists",
        json!({"num_bullets": 2}),
        &[
            ("* a\n  - b", true),
            ("**bold**\n* a\n* b", true),
            ("*\n* a", false),
            ("*\n\n* a\n-", false),
            ("-\n-", true),
            ("a - b\n* c", false),
            ("\n\n * a\n\n\n-b\n", true),
        ],
    );
    check(
        "detectable_format:number_highlighted_sections",
        json!({"num_highlights": 2}),
        &[
            ("*a* *b*", true),
            ("*a* b*", false),
            ("**a** *b*", true),
            ("**a**", false),
            ("* * *a*", false),
            ("**  ** *a*", false),
            ("*a\n* *b*", false),
        ],
    );
}

#[test]
fn formats_are_recognized() {
    check(
        "detectable_format:multiple_sections",
        json!({"section_spliter": " SECTION ", "num_sections": 2}),
        &[
            ("SECTION 1\na SECTION2", true),
            ("SECTION 1", false),
            ("SECTION 1 SECTION x", false),
        ],
    );
    check(
        "detectable_format:constrained_response",
        json!({}),
        &[
            ("Well. My answer is no. Sorry.", true),
            ("My answer is no", false),
        ],
    );
    check(
        "detectable_format:title",
        json!({}),
        &[
            ("x <<a b>>", true),
            ("<< >>", false),
            ("<<<>>>", false),
            ("<<a\n>>", false),
            ("<<>> <<a>>", true),
        ],
    );
    check(
        "detectable_format:json_format",
        json!({}),
        &[
            ("```json\n{\"a\": [1, -0.5e3, {}], \"a\": null}\n```", true),
            ("-Infinity", true),
            ("\"\\ud800\\n\"", true),
            ("[1,]", false),
            ("{'a': 1}", false),
            ("01", false),
            ("1.", false),
            ("\"a\tb\"", false),
            ("[[]", false),
            ("```js\n1```", false),
            ("{\"a\" 1}", false),
            ("[1}", false),
        ],
    );
}

#[test]
fn shapes_are_seen() {
    check(
        "combination:two_responses",
        json!({}),
        &[
            ("a******b", true),
            ("a****** a", false),
            ("a************b", false),
            ("******a******b******", true),
            ("a***b", false),
        ],
    );
    check(
        "combination:repeat_prompt",
        json!({"prompt_to_repeat": "Say it. "}),
        &[(" say IT. Yes.", true), ("I say it.", false)],
    );
    check(
        "startend:end_checker",
        json!({"end_phrase": "That's all "}),
        &[("\"So. THAT'S ALL\"\n", true), ("That's all.", false)],
    );
    check(
        "startend:quotation",
        json!({}),
        &[("\"\"", true), ("\"", false), ("\"a\" b", false)],
    );
    check(
        "punctuation:no_comma",
        json!({}),
        &[("a; b", true), ("a, b", false), ("a\u{ff0c}b", true)],
    );
}

#[test]
fn languages_and_capitals_are_told() {
    let german = json!({"language": "de"});
    check(
        "language:response_language",
        german,
        &[
            ("Das Wetter ist heute sehr schön, wir gehen an den See.", true),
            ("The weather is fine today and we walk to the lake.", false),
            ("12345", true),
        ],
    );
    check(
        "language:response_language",
        json!({"language": "hi"}),
        &[
            ("मुझे यह किताब बहुत अच्छी लगी और मैं इसे फिर पढ़ूंगा।", true),
            ("Ich lese ein gutes Buch.", false),
        ],
    );
    check(
        "change_case:english_capital",
        json!({}),
        &[
            (
                "THE WEATHER IS FINE TODAY AND WE WALK TO THE LAKE 12 TIMES.",
                true,
            ),
            ("THE WEATHER IS FINE TODAY AND We WALK TO THE LAKE.", false),
            ("DAS WETTER IST HEUTE SEHR SCHÖN UND WIR GEHEN AN DEN SEE.", false),
            ("12345", false),
        ],
    );
    check(
        "change_case:english_lowercase",
        json!({}),
        &[
            ("the weather is fine today and we walk to the lake.", true),
            ("The weather is fine today and we walk to the lake.", false),
            ("ǅ the weather is fine today and we walk to the lake.", false),
        ],
    );
}

#[test]
fn what_cannot_be_checked_has_no_score_and_says_why() {
    for (id, args, reason) in [
        (
            "keywords:anagram",
            json!({}),
            "unknown instruction `keywords:anagram`",
        ),
        ("title", json!({}), "unknown instruction `title`"),
        (
            "length_constraints:number_sentences",
            json!({"num_sentences": 2, "relation": "at least"}),
            "instruction `length_constraints:number_sentences`: sentences are counted by the punkt model, which is not part \
             of this crate",
        ),
        (
            "startend:end_checker",
            json!({"end_phrase": null}),
            "instruction `startend:end_checker`, argument `end_phrase` = null: must be a text that is not blank",
        ),
        (
            "startend:quotation",
            json!({"num_words": 3, "language": null}),
            "instruction `startend:quotation`, argument `num_words` = 3: must be absent: this instruction has no such argument",
        ),
        (
            "keywords:existence",
            json!({"keywords": ["(?=a)b"]}),
            "instruction `keywords:existence`, argument `keywords` = [\"(?=a)b\"]: must be a text, or a pattern without \
             look-around and back-references",
        ),
    ] {
        let verdict = check_instruction(id, args.as_object().unwrap(), "x", Strictness::Loose);
        assert_eq!((verdict.score, verdict.reason.as_ref()), (None, reason));
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for (id, args) in [
        ("keywords:existence", json!({"keywords": []})),
        ("keywords:existence", json!({"keywords": "word"})),
        ("keywords:existence", json!({"keywords": ["a", 1]})),
        (
            "keywords:frequency",
            json!({"keyword": "a", "frequency": -1, "relation": "at least"}),
        ),
        (
            "keywords:frequency",
            json!({"keyword": "a", "frequency": 1.5, "relation": "at least"}),
        ),
        (
            "keywords:frequency",
            json!({"keyword": "a", "frequency": 1, "relation": "at most"}),
        ),
        (
            "keywords:letter_frequency",
            json!({"letter": "ab", "let_frequency": 1, "let_relation": "at least"}),
        ),
        ("length_constraints:number_words", json!({"relation": "at least"})),
        (
            "length_constraints:nth_paragraph_first_word",
            json!({"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"}),
        ),
        ("language:response_language", json!({"language": "sw"})),
        ("combination:repeat_prompt", json!({"prompt_to_repeat": " "})),
        (
            "change_case:capital_word_frequency",
            json!({"capital_frequency": 2, "capital_relation": "at least"}),
        ),
    ] {
        assert!(
            Instruction::new(id, args.as_object().unwrap()).is_err(),
            "{id} {args}"
        );
    }
}

#[test]
fn loosely_each_of_eight_versions_may_follow() {
    let end = json!({"end_phrase": "the end"});
    let version = |response| {
        let verdict = check_instruction(
            "startend:end_checker",
            end.as_object().unwrap(),
            response,
            Strictness::Loose,
        );
        (verdict.score, verdict.reason.into_owned())
    };
    let yes = |how: &str| (Some(1.0), how.to_owned());
    assert_eq!(version("the end"), yes("followed"));
    assert_eq!(version("the end*"), yes("followed without asterisks"));
    assert_eq!(version("the end\nbye"), yes("followed without the last line"));
    assert_eq!(
        version("the *end*\nbye"),
        yes("followed without the last line and asterisks")
    );
    assert_eq!(
        version("the end\nbye\nbye"),
        (Some(0.0), "not followed".to_owned())
    );
    let quoted = |response| {
        let verdict = check_instruction("startend:quotation", &Map::new(), response, Strictness::Loose);
        verdict.reason.into_owned()
    };
    assert_eq!(quoted("Here:\n\"a\""), "followed without the first line");
    assert_eq!(
        quoted("Here:\n \"a\"\nBye"),
        "followed without the first and last line"
    );
    assert_eq!(
        quoted("Here:\n*\"a\"*"),
        "followed without the first line and asterisks"
    );
    assert_eq!(
        quoted("Here:\n*\"a\"*\nBye"),
        "followed without the first and last line and asterisks"
    );
}

#[test]
fn nothing_follows_from_silence() {
    for id in INSTRUCTIONS {
        let args = sample(id);
        let instruction = Instruction::new(id, args.as_object().unwrap()).unwrap();
        for silence in ["", " \n\t", "\u{1c}\n\u{a0}"] {
            assert!(!instruction.follows(silence, Strictness::Loose), "{id}");
        }
    }
}

/// Arguments that the instruction takes.
fn sample(id: &str) -> Value {
    match id {
        "combination:repeat_prompt" => json!({"prompt_to_repeat": "a"}),
        "detectable_content:number_placeholders" => json!({"num_placeholders": 0}),
        "detectable_content:postscript" => json!({"postscript_marker": "P.S."}),
        "detectable_format:multiple_sections" => json!({"section_spliter": "a", "num_sections": 1}),
        "detectable_format:number_bullet_lists" => json!({"num_bullets": 0}),
        "detectable_format:number_highlighted_sections" => json!({"num_highlights": 0}),
        "keywords:existence" => json!({"keywords": ["a"]}),
        "keywords:forbidden_words" => json!({"forbidden_words": ["a"]}),
        "keywords:frequency" => json!({"keyword": "a", "frequency": 0, "relation": "at least"}),
        "keywords:letter_frequency" => json!({"letter": "a", "let_frequency": 0, "let_relation": "at least"}),
        "language:response_language" => json!({"language": "en"}),
        "length_constraints:nth_paragraph_first_word" => {
            json!({"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "a"})
        }
        "length_constraints:number_paragraphs" => json!({"num_paragraphs": 0}),
        "length_constraints:number_words" => json!({"num_words": 9, "relation": "less than"}),
        "startend:end_checker" => json!({"end_phrase": "a"}),
        _ => json!({}),
    }
}

#[test]
fn hostile_responses_are_read_in_time() {
    let instructions = INSTRUCTIONS.map(|id| Instruction::new(id, sample(id).as_object().unwrap()).unwrap());
    for piece in [
        "*", "**", "[", "\n", "\n\n", "<<", "P.", "p. p. ", "```", " ", "***", "******", "-\n", "[[",
        "{\"a\":", "a",
    ] {
        let response = piece.repeat(100_000 / piece.len());
        for instruction in &instructions {
            let strict = instruction.follows(&response, Strictness::Strict);
            assert!(!strict || instruction.follows(&response, Strictness::Loose));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_response_panics_and_loose_accepts_whatever_strict_does(
        response in "([a-zA-Z*\\[\\]<>,.'\"`{}:0-9 \n\u{1c}é-]|Section 1|P\\.S\\.|\\*\\*\\*){0,40}",
    ) {
        for id in INSTRUCTIONS {
            let instruction = Instruction::new(id, sample(id).as_object().unwrap()).unwrap();
            let strict = instruction.follows(&response, Strictness::Strict);
            prop_assert!(!strict || instruction.follows(&response, Strictness::Loose), "{}", id);
            let any = loose_versions(&response).iter().any(|v| instruction.follows(v, Strictness::Strict));
            prop_assert_eq!(any, instruction.follows(&response, Strictness::Loose));
        }
    }

    #[test]
    fn json_is_accepted_wherever_a_strict_reader_accepts_it(text in "[\\[\\]{}\",:0-9eE.+ntrue\\\\-]{0,12}") {
        let strict = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert!(!strict || super::json::is_python_json(&text));
    }

    #[test]
    fn json_that_was_written_is_read_and_never_with_a_tail(value in json_value()) {
        let text = value.to_string();
        prop_assert!(super::json::is_python_json(&text));
        let tailed = text + "]";
        prop_assert!(!super::json::is_python_json(&tailed));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}
