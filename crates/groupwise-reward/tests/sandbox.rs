//! Programs in the sandbox: what passes, what does not, and what they cannot reach.
#![cfg(all(feature = "sandbox", unix))]

mod common;

use groupwise_reward::sandbox::{Isolation, ProgramReport, Sandbox, SandboxConfig, StdinTest, TestStatus};

fn sandbox(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = SandboxConfig {
        time_s: 20.0,
        ..SandboxConfig::default()
    };
    change(&mut config);
    Sandbox::new(config).expect("limits in range")
}

fn asserts(sandbox: &Sandbox, program: &str, tests: &[&str]) -> ProgramReport {
    let tests: Vec<String> = tests.iter().map(|&t| t.to_owned()).collect();
    sandbox.assertions(program, &tests).expect("Python runs")
}

fn output(sandbox: &Sandbox, program: &str, stdout: &str) -> ProgramReport {
    let test = StdinTest {
        stdin: "1 2\n".to_owned(),
        stdout: stdout.to_owned(),
    };
    sandbox.stdin_tests(program, &[test]).expect("Python runs")
}

fn all_pass(program: &str, tests: &[&str]) {
    let report = asserts(&sandbox(|_| ()), program, tests);
    assert_eq!(report.overall(), TestStatus::Pass, "{report:?}");
}

fn none_passes(program: &str, tests: &[&str]) {
    let report = asserts(&sandbox(|_| ()), program, tests);
    assert_eq!(report.fraction(), Some(0.0), "{report:?}");
}

const ADD: [&str; 2] = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"];

#[test]
fn outputs_are_compared_whole() {
    let sandbox = sandbox(|_| ());
    let status = |program, stdout| output(&sandbox, program, stdout).tests[0].status;
    let add = "a, b = map(int, input().split())\nprint(a + b)";
    assert_eq!(status(add, "3"), TestStatus::Pass);
    assert_eq!(status(add, "3\n4"), TestStatus::Fail);
    assert_eq!(status("print(3, end=' \\n\\n')", "3\n"), TestStatus::Pass);
    assert_eq!(status("print(3)\nprint(4)", "3\n"), TestStatus::Fail);
    assert_eq!(status("print(3)\n1 / 0", "3\n"), TestStatus::Error);
    assert_eq!(
        status("import os\nprint(3, flush=True)\nos._exit(1)", "3\n"),
        TestStatus::Error
    );
    assert_eq!(
        status("import sys\nprint(3)\nsys.exit(0)", "3\n"),
        TestStatus::Pass
    );
    assert_eq!(
        status("print('\u{e9}\u{4e2d}')", "\u{e9}\u{4e2d}\n"),
        TestStatus::Pass
    );
    assert_eq!(status("pass", ""), TestStatus::Pass);
    assert_eq!(status("def", ""), TestStatus::Error);
}

#[test]
fn the_error_is_told() {
    let report = output(&sandbox(|_| ()), "1 / 0", "");
    assert_eq!(report.tests[0].why, "ZeroDivisionError: division by zero");
}

#[test]
fn limits_hold() {
    let sandbox = sandbox(|config| {
        config.memory_mb = 128;
        config.output_kb = 8;
        config.folder_kb = 64;
        config.open_files = 32;
    });
    let status = |program| output(&sandbox, program, "done\n").tests[0].status;
    assert_eq!(status("b = bytearray(1 << 20)\nprint('done')"), TestStatus::Pass);
    assert_eq!(status("b = bytearray(1 << 28)\nprint('done')"), TestStatus::Error);
    assert_eq!(status("while True: print('x' * 1000)"), TestStatus::Fail);
    assert_eq!(
        status("open('f', 'wb').write(b'x' * 1000)\nprint('done')"),
        TestStatus::Pass
    );
    assert_eq!(
        status("open('f', 'wb').write(b'x' * (1 << 20))\nprint('done')"),
        TestStatus::Error
    );
    assert_eq!(
        status("f = [open('/dev/null') for _ in range(64)]\nprint('done')"),
        TestStatus::Error
    );
}

#[test]
fn time_is_limited_and_the_whole_group_ends() {
    let sandbox = sandbox(|config| config.time_s = 1.0);
    let status = |program| output(&sandbox, program, "").tests[0].status;
    assert_eq!(status("while True: pass"), TestStatus::Timeout);
    assert_eq!(status("import time\ntime.sleep(60)"), TestStatus::Timeout);
    // A child that holds the output open would make a naive runner wait for it.
    assert_eq!(
        status("import os, time\nif os.fork() == 0:\n    time.sleep(60)\n"),
        TestStatus::Pass
    );
    let report = asserts(
        &sandbox,
        "def f():\n    while True: pass",
        &["assert True", "assert f()", "assert True"],
    );
    let statuses: Vec<TestStatus> = report.tests.iter().map(|t| t.status).collect();
    assert_eq!(
        statuses,
        [TestStatus::Pass, TestStatus::Timeout, TestStatus::Timeout]
    );
    assert_eq!(report.overall(), TestStatus::Timeout);
}

#[test]
fn the_working_folder_is_empty_and_writable_and_goes_away() {
    let sandbox = sandbox(|_| ());
    let program = "import os\nprint(os.listdir('.'))\nopen('f', 'w').write('x')\nprint(os.listdir('.'))";
    for _ in 0..2 {
        let report = output(&sandbox, program, "[]\n['f']\n");
        assert_eq!(report.overall(), TestStatus::Pass, "{report:?}");
    }
}

#[test]
fn runs_are_reproducible_and_see_no_variable_of_ours() {
    let sandbox = sandbox(|_| ());
    let report = output(
        &sandbox,
        "import os\nprint('CARGO_MANIFEST_DIR' in os.environ)",
        "False",
    );
    assert_eq!(report.overall(), TestStatus::Pass);
    // A random seed would shuffle sets of texts.
    let seeded = "import sys\ndef shuffled(): return sys.flags.hash_randomization";
    assert_eq!(
        asserts(&sandbox, seeded, &["assert shuffled() == 0"]).overall(),
        TestStatus::Pass
    );
}

#[test]
fn namespaces_shut_the_rest_of_the_machine_out() {
    let sandbox = sandbox(|config| config.isolation = Isolation::Auto);
    if sandbox.isolation() != Ok(Isolation::Namespaces) {
        return println!("skipped: this machine grants no namespaces");
    }
    let program = "
import os, socket
def reach():
    try:
        socket.create_connection(('127.0.0.1', 9), 2)
    except OSError as error:
        return type(error).__name__
    return 'reached'
def write(path):
    try:
        open(path, 'w').close()
    except OSError as error:
        return error.errno
    return 0
def others():
    return len([p for p in os.listdir('/proc') if p.isdigit()])
def capabilities():
    return [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')]
def interfaces():
    return [name for _, name in socket.if_nameindex()]
";
    let outside = std::env::temp_dir().join("x");
    let report = asserts(
        &sandbox,
        program,
        &[
            "assert reach() == 'OSError'",
            &format!("assert write({outside:?}) == 30 and write('x') == 0"),
            "assert others() == 2",
            "assert int(capabilities()[0], 16) == 0",
            "assert interfaces() == ['lo']",
        ],
    );
    assert_eq!(report.overall(), TestStatus::Pass, "{report:?}");
}

#[test]
fn right_functions_pass() {
    all_pass("def add(a, b):\n    print('noise' * 100)\n    return a + b", &ADD);
    all_pass("def sum(a, b): return a + b", &["assert sum(1, 2) == 3"]);
    all_pass(
        "n = 3\nwords = {'a': (1, [2.5, None])}",
        &["assert n == 3", "assert words == {'a': (1, [2.5, None])}"],
    );
}

#[test]
fn data_of_every_built_in_type_travels() {
    let same = "def same(x): return x";
    let tests = [
        "True",
        "-7",
        "10 ** 5000",
        "0.1",
        "float('inf')",
        "1 - 2j",
        "'a\\ud800\\n'",
        "b'\\x00'",
        "bytearray(b'a')",
        "range(1, 9, 3)",
        "[1, [2]]",
        "(1, (2,))",
        "{1, 2}",
        "frozenset({1})",
        "{(1, 2): {'a': [None]}}",
        "__import__('fractions').Fraction(1, 3)",
        "__import__('decimal').Decimal('0.10')",
        "__import__('collections').deque([1, 2])",
    ];
    let tests = tests.map(|x| format!("assert same({x}) == {x} and type(same({x})) is type({x})"));
    all_pass(same, &tests.each_ref().map(String::as_str));
}

#[test]
fn objects_and_callbacks_go_through() {
    let program = "
class Counter:
    def __init__(self, n): self.n = n
    def inc(self): self.n += 1; return self
    def __eq__(self, other): return self.n == other.n
    def __len__(self): return self.n
    def __getitem__(self, i): return i * self.n
def sort(items): items.sort()
def each(f, items): return [f(x) for x in items]
def count():
    yield 1
    yield [2]
def refuse(): raise ValueError('no')
";
    all_pass(
        program,
        &[
            "c = Counter(1)\nc.inc()\nassert c.n == 2 and len(c) == 2 and c[4] == 8\nc.n = 5\nassert c.n == 5",
            "assert Counter(1).inc() == Counter(2) and Counter(1) != Counter(2)",
            "assert isinstance(Counter(1), Counter) and not isinstance(3, Counter)",
            "a = [3, 1, 2]\nsort(a)\nassert a == [1, 2, 3]",
            "assert each(lambda x: x + 1, [1, 2]) == [2, 3] and each(len, ['ab']) == [2]",
            "assert list(count()) == [1, [2]]",
            "try:\n    refuse()\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'no'",
        ],
    );
}

#[test]
fn programs_cannot_pass_by_ending_or_changing_the_tests() {
    none_passes("def add(a, b): return a - b - 7", &ADD);
    none_passes("x = 1", &ADD);
    none_passes(
        "import os\ndef add(a, b):\n    os.write(1, b'pass'); os.write(2, b'[\"pass\", \"\"]\\n'); os._exit(0)",
        &ADD,
    );
    none_passes("import sys\ndef add(a, b): sys.exit(0)", &ADD);
    none_passes("import os\nos._exit(0)", &ADD);
    none_passes(
        "import builtins\nclass AssertionError(Exception): pass\nbuiltins.AssertionError = AssertionError\ndef add(a, b): return 9",
        &ADD,
    );
    none_passes("def add(a, b): print(a + b)", &ADD);
    none_passes("raise SystemExit(0)", &ADD);
    // A program that talks to the other process by itself.
    none_passes(
        "import gc, os\nfor fd in range(3, 20):\n    try:\n        os.write(fd, b'[\"names\", []]\\n[\"done\", [\"b\", true], []]\\n')\n    except OSError: pass",
        &ADD,
    );
}

#[test]
fn objects_equal_to_everything_equal_nothing() {
    let equal = "
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __sub__(self, other): return 0
    __rsub__ = __lt__ = __gt__ = __contains__ = __sub__
    def __iter__(self): return iter([])
class Number(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
";
    none_passes(&format!("{equal}def add(a, b): return Equal()"), &ADD);
    none_passes(&format!("{equal}def add(a, b): return Number(8)"), &ADD);
    none_passes(
        &format!("{equal}def add(a, b): return [Equal()]"),
        &["assert add(1, 2) == [3]", "assert 3 in add(1, 2)"],
    );
    let near = ["assert abs(add(1, 2) - 3) < 1e-9", "assert 2 < add(1, 2) < 4"];
    none_passes(&format!("{equal}def add(a, b): return Equal()"), &near);
    none_passes("abs = lambda x: 0\ndef add(a, b): return 8", &near);
}

#[test]
fn the_process_of_the_tests_is_not_to_be_looked_into() {
    let program = "
def add(a, b): return a + b
def peek(f):
    try:
        return f.__globals__
    except Exception as error:
        return 'refused'
def ask(f):
    try:
        return f._ask('getattr', '__globals__')
    except TypeError:
        return 'refused'
";
    all_pass(
        program,
        &[
            "assert peek(lambda: 0) == 'refused'",
            "assert ask(lambda: 0) == 'refused'",
        ],
    );
}

#[test]
fn a_process_group_serves_where_namespaces_are_not_wanted() {
    let sandbox = sandbox(|config| config.isolation = Isolation::ProcessGroup);
    assert_eq!(sandbox.isolation(), Ok(Isolation::ProcessGroup));
    let report = asserts(&sandbox, "def add(a, b): return a + b", &ADD);
    assert_eq!(report.overall(), TestStatus::Pass, "{report:?}");
    assert_eq!(output(&sandbox, "print(3)", "3").overall(), TestStatus::Pass);
    assert_eq!(output(&sandbox, "1 / 0", "").overall(), TestStatus::Fail);
}

#[test]
fn every_row_agrees() {
    let Some(rows) = common::rows("verifiers/code_tests_examples.jsonl") else {
        return;
    };
    let sandbox = sandbox(|config| config.time_s = 4.0);
    let mut wrong = Vec::new();
    for row in &rows {
        let program = row["program"].as_str().expect("a program");
        let found = match row["kind"].as_str() {
            Some("stdin_stdout") => {
                let tests: Vec<StdinTest> = serde_json::from_value(row["tests"].clone()).expect("tests");
                let report = sandbox.stdin_tests(program, &tests).expect("Python runs");
                let statuses: Vec<TestStatus> = report.tests.iter().map(|t| t.status).collect();
                serde_json::json!([statuses, report.fraction()])
            }
            _ => {
                let tests: Vec<String> = serde_json::from_value(row["tests"].clone()).expect("tests");
                let report = sandbox.assertions(program, &tests).expect("Python runs");
                serde_json::json!([report.overall(), null])
            }
        };
        let expected = serde_json::json!([row["expected"], row.get("fraction")]);
        if found != expected {
            wrong.push(format!("{row}: {found}"));
        }
    }
    assert!(!rows.is_empty());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}
