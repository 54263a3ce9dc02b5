//! Characters outside ASCII, written in ASCII and LaTeX before anything else reads a text.

use std::borrow::Cow;

/// First digits of scripts whose ten digits stand in a row.
const ZEROS: [u32; 12] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0E50, 0xFF10,
];
const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ";
const SUBSCRIPTS: &str = "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢ";
const PLAIN: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '-', '(', ')', 'n', 'i',
];

/// The text with every known symbol outside ASCII replaced; what is unknown stays.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::to_ascii;
/// assert_eq!(to_ascii("−2√3·x²"), r"-2\sqrt{3}\cdot x^{2}");
/// ```
pub fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii() {
            out.push(c);
        } else if is_script(c, SUPERSCRIPTS) {
            push_script(&mut out, '^', c, SUPERSCRIPTS, &mut chars);
        } else if is_script(c, SUBSCRIPTS) {
            push_script(&mut out, '_', c, SUBSCRIPTS, &mut chars);
        } else if let Some(root) = root(c) {
            out.push_str(root);
            let digits = |c: &char| c.is_ascii_digit();
            if chars.peek().is_some_and(digits) {
                out.push('{');
                while let Some(digit) = chars.next_if(digits) {
                    out.push(digit);
                }
                out.push('}');
            }
        } else if let Some(digit) = digit(c) {
            out.push(digit);
        } else if let Some(name) = symbol(c) {
            out.push_str(name);
            // A command ends where a letter would go on with it.
            let glues = name.ends_with(|c: char| c.is_ascii_alphabetic()) && name.starts_with('\\');
            if glues && chars.peek().is_some_and(char::is_ascii_alphabetic) {
                out.push(' ');
            }
        } else if let Some(plain) = full_width(c) {
            out.push(plain);
        } else if c.is_whitespace() || c == '\u{2800}' {
            out.push(' ');
        } else if !is_invisible(c) {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_script(c: char, script: &str) -> bool {
    script.contains(c)
}

fn push_script(
    out: &mut String,
    mark: char,
    first: char,
    script: &str,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
) {
    let plain = |c: char| {
        let at = script.chars().position(|s| s == c);
        at.and_then(|at| PLAIN.get(at)).copied().unwrap_or(c)
    };
    out.push(mark);
    out.push('{');
    out.push(plain(first));
    while let Some(next) = chars.next_if(|c| is_script(*c, script)) {
        out.push(plain(next));
    }
    out.push('}');
}

fn root(c: char) -> Option<&'static str> {
    match c {
        '√' => Some("\\sqrt"),
        '∛' => Some("\\sqrt[3]"),
        '∜' => Some("\\sqrt[4]"),
        _ => None,
    }
}

fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

fn full_width(c: char) -> Option<char> {
    let code = u32::from(c);
    if (0xFF01..=0xFF5E).contains(&code) {
        return char::from_u32(code - 0xFEE0);
    }
    None
}

/// Zero-width characters, joiners, direction marks, soft hyphens, variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFE00..=0xFE0F | 0xFEFF)
}

fn symbol(c: char) -> Option<&'static str> {
    operator(c).or_else(|| greek(c)).or_else(|| fraction(c))
}

fn operator(c: char) -> Option<&'static str> {
    Some(match c {
        '−' | '‐' | '‑' | '‒' | '–' | '﹣' => "-",
        '×' | '✕' | '⨯' => "\\times",
        '·' | '⋅' | '∙' | '•' | '∗' => "\\cdot",
        '÷' => "\\div",
        '∕' | '⁄' => "/",
        '±' => "\\pm",
        '∓' => "\\mp",
        '≤' | '⩽' | '≦' => "\\le",
        '≥' | '⩾' | '≧' => "\\ge",
        '≠' => "\\ne",
        '≈' | '≃' | '≅' => "\\approx",
        '≡' => "\\equiv",
        '∈' => "\\in",
        '⊂' => "\\subset",
        '⊆' => "\\subseteq",
        '∪' => "\\cup",
        '∩' => "\\cap",
        '∖' => "\\setminus",
        '∅' | '⌀' => "\\emptyset",
        '∞' => "\\infty",
        '→' | '⟶' => "\\to",
        '⇒' | '⟹' => "\\Rightarrow",
        '∑' => "\\sum",
        '∏' => "\\prod",
        '∫' => "\\int",
        '°' | 'º' | '˚' => "^\\circ",
        '′' | '’' | '‘' | '‵' => "'",
        '″' | '“' | '”' => "\"",
        '‰' => "\\permille",
        '€' | '£' | '¥' | '₹' | '₽' | '₩' => "\\$",
        'ℝ' => "\\mathbb{R}",
        'ℤ' => "\\mathbb{Z}",
        'ℕ' => "\\mathbb{N}",
        'ℚ' => "\\mathbb{Q}",
        'ℂ' => "\\mathbb{C}",
        '⟨' | '〈' => "\\langle",
        '⟩' | '〉' => "\\rangle",
        '⌊' => "\\lfloor",
        '⌋' => "\\rfloor",
        '⌈' => "\\lceil",
        '⌉' => "\\rceil",
        '∣' => "|",
        '∠' => "\\angle",
        '△' | '∆' => "\\triangle",
        '…' | '⋯' => "\\ldots",
        '，' | '、' => ",",
        'ℯ' => "e",
        'ⅈ' => "i",
        _ => return None,
    })
}

fn greek(c: char) -> Option<&'static str> {
    Some(match c {
        'α' => "\\alpha",
        'β' => "\\beta",
        'γ' => "\\gamma",
        'δ' => "\\delta",
        'ε' | 'ϵ' => "\\epsilon",
        'ζ' => "\\zeta",
        'η' => "\\eta",
        'θ' | 'ϑ' => "\\theta",
        'ι' => "\\iota",
        'κ' => "\\kappa",
        'λ' => "\\lambda",
        'μ' | 'µ' => "\\mu",
        'ν' => "\\nu",
        'ξ' => "\\xi",
        'π' | '𝜋' => "\\pi",
        'ρ' => "\\rho",
        'σ' | 'ς' => "\\sigma",
        'τ' => "\\tau",
        'υ' => "\\upsilon",
        'φ' | 'ϕ' => "\\phi",
        'χ' => "\\chi",
        'ψ' => "\\psi",
        'ω' => "\\omega",
        'Γ' => "\\Gamma",
        'Δ' => "\\Delta",
        'Θ' => "\\Theta",
        'Λ' => "\\Lambda",
        'Ξ' => "\\Xi",
        'Π' => "\\Pi",
        'Σ' => "\\Sigma",
        'Φ' => "\\Phi",
        'Ψ' => "\\Psi",
        'Ω' => "\\Omega",
        _ => return None,
    })
}

fn fraction(c: char) -> Option<&'static str> {
    Some(match c {
        '½' => "\\frac{1}{2}",
        '⅓' => "\\frac{1}{3}",
        '⅔' => "\\frac{2}{3}",
        '¼' => "\\frac{1}{4}",
        '¾' => "\\frac{3}{4}",
        '⅕' => "\\frac{1}{5}",
        '⅖' => "\\frac{2}{5}",
        '⅗' => "\\frac{3}{5}",
        '⅘' => "\\frac{4}{5}",
        '⅙' => "\\frac{1}{6}",
        '⅚' => "\\frac{5}{6}",
        '⅐' => "\\frac{1}{7}",
        '⅛' => "\\frac{1}{8}",
        '⅜' => "\\frac{3}{8}",
        '⅝' => "\\frac{5}{8}",
        '⅞' => "\\frac{7}{8}",
        '⅑' => "\\frac{1}{9}",
        '⅒' => "\\frac{1}{10}",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_become_commands() {
        assert_eq!(to_ascii("2×3 ≤ π"), r"2\times3 \le \pi");
        assert_eq!(to_ascii("πr"), r"\pi r");
        assert_eq!(to_ascii("10⁻³"), "10^{-3}");
        assert_eq!(to_ascii("x₁₂"), "x_{12}");
        assert_eq!(to_ascii("√(2) ∛27"), r"\sqrt(2) \sqrt[3]{27}");
        assert_eq!(to_ascii("45° ½"), r"45^\circ \frac{1}{2}");
    }

    #[test]
    fn digits_of_other_scripts_and_full_width_forms_become_ascii() {
        assert_eq!(to_ascii("\u{663}\u{664}"), "34");
        assert_eq!(to_ascii("（４２＋ｘ）"), "(42+x)");
    }

    #[test]
    fn invisible_characters_vanish_and_odd_blanks_become_blanks() {
        assert_eq!(to_ascii("5\u{200b}\u{fe0f}"), "5");
        assert_eq!(to_ascii("1\u{a0}5\u{202f}6"), "1 5 6");
    }

    #[test]
    fn what_is_unknown_stays() {
        assert_eq!(to_ascii("été 猫"), "été 猫");
    }
}
