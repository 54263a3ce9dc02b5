//! Burn is compiled once: every command that builds it asks for the same features of everything it depends on.
//!
//! Cargo unites features over the packages of one command, so `-p a` and `-p a -p b` may build a shared dependency
//! differently, and with it all that stands on it.  The features named in `crates/groupwise-model/Cargo.toml` prevent it.
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in tests but not in their helpers"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::super::forward;
use super::{Work, stages};
use crate::repo;

/// Packages, each with its features, and what they depend on.
#[derive(Default)]
struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// From the output of `cargo tree --prefix depth`; what it printed before (`(*)`) it prints without dependencies.
    fn parse(tree: &str) -> Self {
        let mut graph = Self::default();
        let mut path: Vec<String> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
            let depth: usize = line[..line.len() - name.len()].parse().unwrap();
            let node = name.trim_end_matches("(*)").trim().to_owned();
            path.truncate(depth);
            if let Some(parent) = path.last() {
                graph.edges.get_mut(parent).unwrap().insert(node.clone());
            }
            graph.edges.entry(node.clone()).or_default();
            path.push(node);
        }
        graph
    }

    /// Every package of a name and everything it depends on.
    fn below(&self, name: &str) -> BTreeSet<&str> {
        let starts = |node: &&String| node.split(' ').next() == Some(name);
        let mut pending: Vec<&String> = self.edges.keys().filter(starts).collect();
        let mut seen = BTreeSet::new();
        while let Some(node) = pending.pop() {
            if seen.insert(node.as_str()) {
                pending.extend(&self.edges[node]);
            }
        }
        seen
    }
}

/// Options of `cargo tree` that resolve features as a cargo command does; `None` if it builds nothing with burn.
fn resolution(line: &[String]) -> Option<Vec<String>> {
    let ("cargo", command) = (line[0].as_str(), line[1].as_str()) else {
        return None;
    };
    let with_tests = match command {
        "nextest" | "test" | "bench" => true,
        "clippy" | "build" | "doc" => line.iter().any(|word| word == "--all-targets"),
        _ => return None,
    };
    let edges = if with_tests {
        "normal,build,dev"
    } else {
        "normal,build"
    };
    let mut out = vec!["-e".to_owned(), edges.to_owned()];
    for pair in line
        .windows(2)
        .filter(|pair| ["-p", "--features"].contains(&pair[0].as_str()))
    {
        out.extend_from_slice(pair);
    }
    Some(out)
}

fn graph(resolution: &[String]) -> Graph {
    let output = repo::cargo()
        .args(["tree", "--prefix", "depth", "--format", "{p} {f}"])
        .args(resolution)
        .current_dir(repo::root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Graph::parse(&String::from_utf8(output.stdout).unwrap())
}

/// Every command that builds burn: those of CI, what `cargo xtask ablate` builds, and what people type.
fn commands() -> Vec<Vec<String>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let forwarded = [&["cargo"], forward::BUILD].concat().join(" ");
    let mut out = vec![
        words(&forwarded),
        words("cargo bench -p groupwise-learner"),
        words("cargo test --release -p groupwise-model"),
        words("cargo test --release -p groupwise-learner"),
        words("cargo build --release -p groupwise --features groupwise/burn"),
    ];
    for stage in stages(true).into_iter().filter(|s| s.needs_burn) {
        if let Work::Command { line, .. } = stage.work {
            out.push(line);
        }
    }
    out
}

#[test]
fn burn_has_the_same_features_in_every_command() {
    let commands: BTreeSet<Vec<String>> = commands().iter().filter_map(|line| resolution(line)).collect();
    assert!(commands.len() > 5, "{commands:?}");
    let graphs: Vec<(String, Graph)> = commands.iter().map(|c| (c.join(" "), graph(c))).collect();
    let (first, reference) = &graphs[0];
    let reference = reference.below("burn");
    assert!(reference.len() > 100, "{} packages below burn", reference.len());
    for (command, graph) in &graphs[1..] {
        let found = graph.below("burn");
        let difference: Vec<_> = found.symmetric_difference(&reference).collect();
        assert!(
            difference.is_empty(),
            "`{command}` and `{first}` build these differently; name their features in \
             crates/groupwise-model/Cargo.toml:\n{difference:#?}"
        );
    }
}

#[test]
fn smoke_and_the_tests_of_the_command_line_run_the_same_binary() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let find = |name: &str| stages(true).into_iter().find(|s| s.name == name).unwrap().work;
    let Work::Command { line: build, .. } = find("build") else {
        panic!("builds nothing");
    };
    let Work::Command { line: test, .. } = find("tests (cli)") else {
        panic!("tests nothing");
    };
    // `cargo xtask ablate`, which the smoke stage runs, builds the same way as the build stage.
    assert_eq!(build, words(&[&["cargo"], forward::BUILD].concat().join(" ")));
    let (built, tested) = (
        graph(&resolution(&build).unwrap()),
        graph(&resolution(&test).unwrap()),
    );
    // What the tests need for themselves comes on top.
    let missing: Vec<_> = built
        .edges
        .keys()
        .filter(|node| !tested.edges.contains_key(*node))
        .collect();
    assert!(
        missing.is_empty(),
        "the tests build these differently: {missing:#?}"
    );
}

#[test]
fn a_tree_is_read_with_its_features() {
    let tree = "0a v1 (/a) \n1burn v2 std\n2c v3 x,y\n3d v1 \n1e v1 \n2c v3 x,y (*)\n\n0f v1\n1d v1  z\n";
    let graph = Graph::parse(tree);
    let below: Vec<_> = graph.below("burn").into_iter().collect();
    assert_eq!(below, ["burn v2 std", "c v3 x,y", "d v1"]);
    assert_eq!(graph.below("e").len(), 3, "printed once, meant twice");
    assert_eq!(graph.below("f").len(), 2);
    let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        resolution(&line(
            "cargo clippy --release -p a -p b --all-targets -- -D warnings"
        ))
        .unwrap()
        .join(" "),
        "-e normal,build,dev -p a -p b"
    );
    assert_eq!(
        resolution(&line("cargo build --release -p a --features a/burn"))
            .unwrap()
            .join(" "),
        "-e normal,build -p a --features a/burn"
    );
    assert_eq!(resolution(&line("cargo xtask ablate x.toml")), None);
}
