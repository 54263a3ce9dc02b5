//! Numbers as people read them.

/// Decimals that show a number of this size with at least two significant digits, three below 10.
pub(crate) fn decimals(scale: f64) -> usize {
    let scale = scale.abs();
    if !scale.is_finite() || scale >= 1000.0 {
        0
    } else if scale >= 100.0 {
        1
    } else if scale >= 10.0 {
        2
    } else if scale < 1e-300 {
        3
    } else {
        (1.0 - scale.log10().floor()).clamp(3.0, 9.0) as usize
    }
}

/// Fixed decimals, never `-0.000`.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => text,
    }
}

/// A metric value.
pub(crate) fn value(value: f64) -> String {
    fixed(value, decimals(value))
}

/// A metric value, or a dash.
pub(crate) fn maybe(found: Option<f64>) -> String {
    found.map_or_else(|| "-".to_owned(), value)
}

/// A value with its sign, `+0.041`.
pub(crate) fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    if text.starts_with('-') {
        text
    } else {
        format!("+{text}")
    }
}

/// A p-value: three decimals, `<0.001` below.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 {
        "<0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// A count with separators, `1,234,567`.
pub(crate) fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Wall time, `42 s`, `3 min 20 s`, `1 h 04 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !(seconds.is_finite() && seconds >= 0.0) {
        return "-".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// The first characters of a digest.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!(value(0.041_23), "0.041");
        assert_eq!(value(-0.000_01), "-0.000010");
        assert_eq!(value(12.345), "12.35");
        assert_eq!(value(1234.5), "1234");
        assert_eq!(value(0.0), "0.000");
        assert_eq!(signed(-0.000_04, 3), "+0.000");
        assert_eq!(signed(-0.5, 2), "-0.50");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(999.0), "999");
        assert_eq!(p_value(0.0004), "<0.001");
        assert_eq!(maybe(None), "-");
    }

    #[test]
    fn durations_change_their_unit() {
        assert_eq!(duration(3.12), "3.1 s");
        assert_eq!(duration(59.7), "1 min 00 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(3840.0), "1 h 04 min");
        assert_eq!(duration(f64::NAN), "-");
    }
}
