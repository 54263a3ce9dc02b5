//! Structure of the rendered reports: well-formed, self-contained, escaped, complete.

use std::fs;

use crate::small::*;
use crate::synthetic;
use groupwise_report::{Summary, read_ablation, render_html, render_markdown, render_text, summarize};
use proptest::prelude::*;

/// Names of all elements, after checking that tags balance and that no text holds a bare `<`.
fn elements(page: &str) -> Vec<String> {
    const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];
    let style = page.find("<style>").expect("a style")..page.find("</style>").expect("an end");
    let without_style = format!("{}<style>{}", &page[..style.start], &page[style.end..]);
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let mut rest = without_style.as_str();
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..end];
        assert!(!tag.contains('<'), "`<` inside a tag: {tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "unbalanced quotes: {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closes what is not open");
        } else {
            let name = tag.split([' ', '/']).next().expect("a name").to_owned();
            assert!(
                name.chars().all(|c| c.is_ascii_alphanumeric() || c == '!'),
                "no tag: {tag}"
            );
            if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                open.push(name.clone());
            }
            found.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

fn count(elements: &[String], name: &str) -> usize {
    elements.iter().filter(|e| *e == name).count()
}

fn synthetic_summary() -> Summary {
    let root = tempfile::tempdir().expect("reads");
    let dir = synthetic::write_ablation(root.path(), "synthetic", &synthetic::ARMS, &[0, 1, 2, 3], 30);
    summarize(&read_ablation(&dir).expect("reads"))
}

#[test]
fn a_full_report_is_well_formed_and_has_all_its_parts() {
    let page = render_html(&synthetic_summary());
    let found = elements(&page);
    // Forest, six curves, allocation, difficulty.
    assert_eq!(count(&found, "svg"), 9);
    assert_eq!(count(&found, "figure"), 9);
    for part in [
        "Findings: eval/success at equal rollouts",
        "Learning curves",
        "Paired differences",
        "Arms",
        "Cost",
        "Where the rollouts went",
        "What this report can and cannot say",
        "What differs between the arms",
        "Cells",
    ] {
        assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}");
    }
    assert!(page.contains("<b>Claim: "));
    assert!(
        !page.contains("NaN") && !page.contains("inf,"),
        "no number that is none"
    );
}

#[test]
fn a_report_fetches_nothing_and_runs_nothing() {
    let page = render_html(&synthetic_summary());
    for forbidden in [
        "<script",
        "src=",
        "<link",
        "@import",
        "url(",
        "onload",
        "javascript:",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let addresses: Vec<&str> = page
        .match_indices("http")
        .map(|(i, _)| &page[i..(i + 26).min(page.len())])
        .collect();
    assert!(
        addresses
            .iter()
            .all(|a| a.starts_with("http://www.w3.org/2000/svg") || a.starts_with("http-equiv")),
        "{addresses:?}"
    );
}

#[test]
fn the_synthetic_effect_is_found_and_every_seed_improves() {
    let summary = synthetic_summary();
    let area = summary
        .comparisons
        .iter()
        .find(|c| c.measure == groupwise_report::summary::Measure::AreaRollouts);
    let paired = area.unwrap().paired.as_ref().unwrap();
    assert_eq!((paired.improvement, paired.p_value), (1.0, 0.125));
    assert!(paired.is_resolved(), "{paired:?}");
}

#[test]
fn the_markdown_table_is_pinned() {
    let root = tempfile::tempdir().unwrap();
    let summary = summarize(&read_ablation(&write_pair(root.path())).unwrap());
    let page = render_markdown(&summary);
    let table: Vec<&str> = page
        .lines()
        .skip_while(|l| *l != "## Paired differences")
        .skip(2)
        .take(7)
        .collect();
    assert_eq!(
        table,
        [
            "| arm | metric | measure | seeds | difference [95%] | p | p (Holm) | verdict |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            "| vade | eval/success | at equal rollouts | 2 | +0.117 [-0.942, 1.176] | 0.500 | 0.500 | not resolved |",
            "| vade | eval/success | area, rollouts | 2 | +0.058 [-0.471, 0.588] | 0.500 | 0.500 | not resolved |",
            "| vade | eval/success | at equal tokens | 2 | +0.117 [-0.942, 1.176] | 0.500 | 0.500 | not resolved |",
            "| vade | eval/success | area, tokens | 2 | +0.058 [-0.471, 0.588] | 0.500 | 0.500 | not resolved |",
            "| vade | eval/success | last | 2 | +0.250 [-0.385, 0.885] | 0.500 | 0.500 | not resolved |",
        ]
    );
}

#[test]
fn the_text_form_is_pinned() {
    let root = tempfile::tempdir().unwrap();
    let summary = summarize(&read_ablation(&write_pair(root.path())).unwrap());
    assert_eq!(
        render_text(&summary),
        "small\n\
         2 arms, 2 seeds, compared with uniform; 4 of 4 cells finished. Primary metric: eval/success.\n\n\
         arm      seeds      at equal rollouts                   area  effective  rollouts  tokens\n\
         uniform      2  0.450 [-0.185, 1.085]  0.225 [-0.093, 0.543]      50.0%         8      80\n\
         vade         2   0.567 [0.143, 0.990]   0.283 [0.072, 0.495]      50.0%        10     100\n\n\
         eval/success at equal rollouts:\n\
         vade - uniform: +0.117 [-0.942, 1.176] not resolved\n"
    );
}

#[test]
fn one_run_one_seed_and_no_events_still_give_a_report() {
    let root = tempfile::tempdir().unwrap();
    for (name, events) in [
        ("full", rising(0, 0.4, 8)),
        ("begun", vec![start(0)]),
        ("empty", Vec::new()),
    ] {
        let dir = write_run(root.path(), name, "uniform", 0, &events);
        let summary = summarize(&read_ablation(&dir).unwrap());
        let page = render_html(&summary);
        elements(&page);
        assert!(page.contains("One seed per arm"), "{name}");
        assert!(!page.contains("NaN"), "{name}");
        assert!(render_markdown(&summary).contains("## Cells"));
        let shown = name == "full";
        assert_eq!(page.contains("<svg"), shown, "{name}: no empty panels");
        assert_eq!(summary.notes.is_empty(), shown, "{name}: {:?}", summary.notes);
    }
}

#[test]
fn unfinished_runs_are_reported_as_such() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_run(root.path(), "r", "uniform", 0, &rising(0, 0.4, 8));
    fs::remove_file(dir.join("done")).unwrap();
    let summary = summarize(&read_ablation(&dir).unwrap());
    assert_eq!(
        summary.notes,
        ["no cell has finished: every number is of runs under way and will change"]
    );
    assert_eq!(summary.arms[0].rollouts.mean, Some(8.0));
}

/// Names that try to break out of markup, tables and terminals.
fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "<b>",
            "\"",
            "'",
            "&",
            "</svg>",
            "|",
            "`",
            "](",
            "\u{1b}[2J",
            "\n",
            "a",
            "\u{e9}",
            " ",
        ]),
        1..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn hostile_names_break_nothing(name in hostile(), metric in hostile(), message in hostile()) {
        let root = tempfile::tempdir().unwrap();
        let dir = write_pair(root.path());
        let mut ablation = read_ablation(&dir).unwrap();
        ablation.manifest.name = name;
        ablation.manifest.description = message.clone();
        ablation.notes.push(message);
        let renamed = format!("vade{metric}");
        ablation.manifest.arms[1].clone_from(&renamed);
        for cell in ablation.cells.iter_mut().filter(|c| c.at.arm == "vade") {
            cell.at.arm.clone_from(&renamed);
        }
        for event in ablation.cells.iter_mut().filter_map(|c| c.record.as_mut()).flat_map(|r| &mut r.events) {
            if let groupwise_core::Event::Eval { metrics, .. } = event {
                metrics.insert(metric.clone(), metrics["eval/success"]);
            }
        }
        let summary = summarize(&ablation);
        elements(&render_html(&summary));
        let text = render_text(&summary);
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        let markdown = render_markdown(&summary);
        let columns = |l: &str| l.replace("\\|", "").matches('|').count();
        let table: Vec<usize> = markdown.lines().skip_while(|l| *l != "## Paired differences").skip(2)
            .take_while(|l| l.starts_with('|')).map(columns).collect();
        prop_assert!(table.windows(2).all(|w| w[0] == w[1]), "{:?}", table);
    }
}
