use proptest::prelude::*;

use super::*;

#[test]
fn references_are_read_or_refused_with_the_reason() {
    let stdin =
        CodeTests::parse(r#"{"kind": "stdin_stdout", "tests": [{"stdin": "1", "stdout": "2"}], "id": "x"}"#);
    let test = StdinTest {
        stdin: "1".to_owned(),
        stdout: "2".to_owned(),
    };
    assert_eq!(stdin, Ok(CodeTests::StdinStdout(vec![test])));
    let asserts = CodeTests::parse(r#"{"kind": "asserts", "tests": ["assert f(1) == 2"]}"#);
    assert_eq!(
        asserts,
        Ok(CodeTests::Asserts(vec!["assert f(1) == 2".to_owned()]))
    );
    for (reference, reason) in [
        (
            "4",
            "`kind` of the reference: must be `stdin_stdout` or `asserts`",
        ),
        (
            r#"{"kind": "asserts", "tests": []}"#,
            "the reference has no tests",
        ),
        (
            r#"{"kind": "stdin_stdout", "tests": [{"stdin": "1"}]}"#,
            "`tests` of the reference: missing field `stdout`",
        ),
    ] {
        assert_eq!(CodeTests::parse(reference), Err(reason.to_owned()));
    }
    assert!(
        CodeTests::parse("{")
            .unwrap_err()
            .starts_with("the reference is not JSON")
    );
}

#[test]
fn the_last_closed_block_is_the_program() {
    let of = |text| ProgramPart::LastBlock.of(text);
    assert_eq!(of("```python\na\n```\n```python\nb"), Some("a\n"));
    assert_eq!(of("```\na\n```"), None);
    assert_eq!(of("```python\n```"), Some(""));
}

proptest! {
    #[test]
    fn the_block_written_last_is_taken_and_an_open_one_never(
        before in "[a-z `\n]{0,20}", program in "[a-z\n ]{0,20}", after in "[a-z \n]{0,20}", open in any::<bool>(),
    ) {
        let closed = format!("\n```\n{after}");
        let end = if open { "" } else { closed.as_str() };
        let response = format!("{before}\n~\n```python\n{program}{end}");
        let found = ProgramPart::LastBlock.of(&response);
        if open {
            prop_assert_eq!(found, None);
        } else {
            prop_assert_eq!(found, Some(format!("{program}\n")).as_deref());
        }
        prop_assert_eq!(ProgramPart::Whole.of(&response), Some(response.as_str()));
    }
}

#[cfg(not(all(feature = "sandbox", unix)))]
#[test]
fn without_the_feature_the_part_says_so_when_built() {
    let refused = CodeTestsConfig::default().build(&()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`verifier` = code-tests: must be another verifier: programs are not run: this build of groupwise-reward lacks the \
         feature `sandbox`, or the system is no Unix"
    );
}

#[cfg(all(feature = "sandbox", unix))]
mod runs {
    use groupwise_core::StopReason;
    use serde_json::json;

    use super::super::super::testing::trajectory;
    use super::*;

    fn score(config: Value, reference: &Value, reply: &str) -> Score {
        let config: CodeTestsConfig = serde_json::from_value(config).unwrap();
        let reply = trajectory(&[(reply, 0.0)], StopReason::EndToken);
        config
            .build(&())
            .unwrap()
            .score(&Task::new("t", "", reference.to_string()), &reply)
    }

    #[test]
    fn replies_earn_what_their_program_does() {
        let tests = json!({"kind": "asserts", "tests": ["assert f(1) == 2", "assert f(2) == 5"]});
        let right = "<think>```python\n0\n```</think>So:\n```python\ndef f(x): return x * x + 1\n```";
        assert_eq!(score(json!({}), &tests, right), Score::Value(1.0));
        let half = "```python\ndef f(x): return 2 * x\n```";
        assert_eq!(score(json!({}), &tests, half), Score::Value(0.0));
        assert_eq!(score(json!({"credit": "share"}), &tests, half), Score::Value(0.5));
        let bare = "def f(x): return x * x + 1";
        assert_eq!(score(json!({}), &tests, bare), Score::Value(0.0));
        assert_eq!(
            score(json!({"program": "whole"}), &tests, bare),
            Score::Value(1.0)
        );
        let thought = "<think>```python\ndef f(x): return x * x + 1\n```";
        assert_eq!(score(json!({}), &tests, thought), Score::Value(0.0));
    }

    #[test]
    fn a_machine_without_python_gives_no_score_and_says_so() {
        let tests = json!({"kind": "asserts", "tests": ["assert f(1) == 2"]});
        let found = score(
            json!({"sandbox": {"python": "no-such-python"}, "program": "whole"}),
            &tests,
            "0",
        );
        let Score::Unscorable(reason) = found else {
            panic!("{found:?}");
        };
        assert!(
            reason.starts_with("task `t`: Python (`python` = `no-such-python`) cannot be run: "),
            "{reason}"
        );
    }

    #[test]
    fn the_verdict_names_the_first_test_that_does_not_pass() {
        let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
        let tests = ["assert f(1) == 1", "assert f(2) == 3, 'two'", "assert f(3) == 3"].map(str::to_owned);
        let verdict = code_tests(
            &sandbox,
            &CodeTests::Asserts(tests.to_vec()),
            "def f(x): return x",
            Credit::Share,
        );
        assert_eq!(verdict.reason, "test 2 of 3: fail, assertion failed: two");
        assert_eq!(verdict.score, Some(2.0 / 3.0));
    }
}
