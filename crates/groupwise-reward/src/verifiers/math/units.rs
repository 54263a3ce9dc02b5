//! Units of measure, as far as they must be told apart.

/// One spelling for each unit that is known; `None` for any other word.
pub(super) fn canonical(word: &str) -> Option<&'static str> {
    Some(match word {
        "mm" | "millimeter" | "millimeters" => "mm",
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => "cm",
        "meter" | "meters" | "metre" | "metres" => "m",
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => "km",
        "in" | "inch" | "inches" => "in",
        "ft" | "foot" | "feet" => "ft",
        "yd" | "yard" | "yards" => "yd",
        "mi" | "mile" | "miles" => "mi",
        "mg" | "milligram" | "milligrams" => "mg",
        "gram" | "grams" => "g",
        "kg" | "kilogram" | "kilograms" => "kg",
        "lb" | "lbs" | "pound" | "pounds" => "lb",
        "oz" | "ounce" | "ounces" => "oz",
        "ml" | "mL" | "milliliter" | "milliliters" => "ml",
        "liter" | "liters" | "litre" | "litres" => "l",
        "sec" | "second" | "seconds" => "s",
        "min" | "minute" | "minutes" => "min",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "week",
        "month" | "months" => "month",
        "year" | "years" => "year",
        "cent" | "cents" => "cent",
        "dollar" | "dollars" | "USD" => "dollar",
        "euro" | "euros" | "EUR" => "euro",
        "mph" => "mph",
        "kph" | "km/h" => "km/h",
        "a.m" | "am" | "AM" => "am",
        "p.m" | "pm" | "PM" => "pm",
        "radian" | "radians" | "rad" => "rad",
        _ => return None,
    })
}

/// True if both are known units, and different ones: `5 cm` is not `5 km`.
pub(super) fn conflict(a: &str, b: &str) -> bool {
    let known = |text: &str| text.split_whitespace().last().and_then(canonical);
    matches!((known(a), known(b)), (Some(a), Some(b)) if a != b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_agree_and_units_differ() {
        assert!(!conflict("cm", "square centimeters"));
        assert!(conflict("hours", "minutes"));
        assert!(!conflict("apples", "pears"), "words are no units");
    }
}
