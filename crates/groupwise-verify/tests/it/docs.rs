//! The sessions shown in `docs/verify.md` are what happens, and the document names every family.

use groupwise_verify::{CHECKED, FAMILIES, Family, Options, run, settings};

const TEXT: &str = include_str!("../../../../docs/verify.md");

/// Standard output of `printf '%s\n' LINE | groupwise verify FAMILY FLAGS`.
fn shell(command: &str) -> String {
    let (line, flags) = command
        .strip_prefix("printf '%s\\n' '")
        .and_then(|rest| rest.split_once("' | groupwise verify "))
        .unwrap();
    let mut flags = flags.split(' ');
    let name = flags.next().unwrap();
    let (mut explain, mut pairs) = (false, Vec::new());
    while let Some(flag) = flags.next() {
        match flag {
            "--explain" => explain = true,
            "--set" => pairs.push(flags.next().unwrap()),
            other => panic!("{other}"),
        }
    }
    let options = Options {
        family: Family::new(name, &settings(&pairs).unwrap()).unwrap(),
        explain,
    };
    let mut out = Vec::new();
    run(line.as_bytes(), &mut out, &options).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_session_of_the_document_is_what_happens() {
    let sessions = TEXT.split("```console\n$ ").skip(1);
    let mut n_sessions = 0;
    for session in sessions {
        let (command, rest) = session.split_once('\n').unwrap();
        assert_eq!(shell(command), rest.split("```").next().unwrap(), "{command}");
        n_sessions += 1;
    }
    assert!(n_sessions >= 1);
}

#[test]
fn the_document_names_every_family() {
    for (name, _) in FAMILIES {
        assert!(TEXT.contains(&format!("`{name}`")), "{name}");
    }
    assert!(CHECKED.is_sorted());
}
