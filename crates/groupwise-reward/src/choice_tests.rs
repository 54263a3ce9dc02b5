use proptest::prelude::*;

use super::*;

const OPTIONS: [char; 4] = ['A', 'B', 'C', 'D'];

fn found(text: &str) -> Option<char> {
    match find_choice(text, &OPTIONS) {
        Choice::Option { index, .. } => OPTIONS.get(index).copied(),
        Choice::Missing(_) => None,
    }
}

#[test]
fn one_letter_is_found_wherever_answers_stand() {
    for (text, letter) in [
        ("B", 'B'),
        ("b", 'B'),
        ("(D)", 'D'),
        ("D.", 'D'),
        ("**C**", 'C'),
        ("B) the red one", 'B'),
        ("(B) the red one", 'B'),
        ("**B.** the red one", 'B'),
        ("A. It fits; B does not", 'A'),
        ("first line\nC: yes", 'C'),
        ("The answer is A.", 'A'),
        ("The answer is A because B is wrong.", 'A'),
        ("the ANSWER IS d", 'D'),
        ("The answer is: (c).", 'C'),
        ("Answer: a) the lamp", 'A'),
        ("The answer is option c, the lamp", 'C'),
        ("The answer is A, not B", 'A'),
        ("The answer is A and not B", 'A'),
        ("The correct answer is option B.", 'B'),
        ("The answer to the question is **B**", 'B'),
        ("Answer: b", 'B'),
        ("**Answer:** C", 'C'),
        ("Answer:\n\nC", 'C'),
        ("Answer - hm\nAnswer: C) a lamp", 'C'),
        ("Final answer is D. I hope it is right", 'D'),
        ("The final answer is $\\boxed{B}$.", 'B'),
        ("\\boxed{\\text{B}}", 'B'),
        ("\\boxed{\\mathrm{\\textbf{(c)}}}", 'C'),
        ("\\boxed{\\textbf{(B)}\\ 12}", 'B'),
        ("The answer is $\\text{B}$", 'B'),
        ("\\(\\mathrm{D}\\)", 'D'),
        ("I'd say \\text{C}", 'C'),
        ("\\boxed{A} no, \\boxed{C}", 'C'),
        ("\\boxed{B. a lamp}", 'B'),
        ("The answer is A. No: the answer is B.", 'B'),
        ("It must be B", 'B'),
        ("I choose A here", 'A'),
        ("A is right", 'A'),
        ("Option A makes sense", 'A'),
        ("We say B and once more B.", 'B'),
        ("It is (A) that fits", 'A'),
    ] {
        assert_eq!(found(text), Some(letter), "{text}");
    }
}

#[test]
fn lists_strangers_articles_and_denials_are_no_answer() {
    for text in [
        "",
        "A or B",
        "A, B, C and D",
        "A/B",
        "The answer is A or B.",
        "The answer is A and C.",
        "The answer is A, B",
        "The answer is A/B.",
        "Answer: (a) or (b)",
        "\\boxed{A, B}",
        "\\boxed{AB}",
        "The answer is E.",
        "Answer: E",
        "The answer is not B.",
        "The answer is neither A nor B",
        "The answer is a lamp.",
        "The answer is in the text",
        "ABCD",
        "A man walked in. A dog, too.",
        "cab",
        "Is it B? Is it C?",
        "A: no. B: yes.",
        "\\text{A} or \\text{B}",
        "\\alpha A\\beta",
        "A. one\nB. two\nC. three",
        "\\boxed{",
    ] {
        assert_eq!(found(text), None, "{text}");
    }
}

#[test]
fn a_pronoun_is_an_option_only_where_it_is_named() {
    let options: Vec<char> = ('A'..='J').collect();
    let is = |text: &str, letter: char| matches!(find_choice(text, &options), Choice::Option { index, .. } if options.get(index) == Some(&letter));
    assert!(is("The answer I found is J.", 'J'));
    assert!(is("The answer is I.", 'I'));
    assert!(is("I say J", 'J'));
    assert!(is("option I is right", 'I'));
}

proptest! {
    #[test]
    fn any_text_chooses_an_option_or_says_why_not(text in any::<String>(), near in "(answer|final| is|[A-Ea-c.:,() \n]|\\\\boxed\\{|\\}|or ){0,16}") {
        for text in [text, near] {
            if let Choice::Option { index, .. } = find_choice(&text, &OPTIONS) {
                let letter = OPTIONS[index];
                prop_assert!(text.contains(letter) || text.contains(letter.to_ascii_lowercase()));
            }
        }
    }

    #[test]
    fn renaming_the_options_renames_the_choice(text in "(answer is |answer: |[CD]|or |and |, |\\. |\n|the ){0,12}") {
        let renamed: String = text.chars().map(|c| match c { 'C' => 'D', 'D' => 'C', c => c }).collect();
        let swapped = found(&renamed).map(|c| match c { 'C' => 'D', 'D' => 'C', c => c });
        prop_assert_eq!(found(&text), swapped);
    }
}
