//! Replies written as blocks in tags.

/// What stands before the first block, and the contents of the blocks, if the text ends with exactly these blocks in
/// this order: each tag as often as it is listed, white space between and after allowed.
pub(super) fn blocks<'a, const N: usize>(text: &'a str, tags: [&str; N]) -> Option<(&'a str, [&'a str; N])> {
    let pairs = tags.map(|tag| (format!("<{tag}>"), format!("</{tag}>")));
    for (tag, (open, close)) in tags.iter().zip(&pairs) {
        let wanted = tags.iter().filter(|other| *other == tag).count();
        if [open, close]
            .iter()
            .any(|t| text.matches(t.as_str()).count() != wanted)
        {
            return None;
        }
    }
    let (before, mut rest) = text.split_at(text.find(pairs.first()?.0.as_str())?);
    let mut contents = [""; N];
    for (slot, (open, close)) in contents.iter_mut().zip(&pairs) {
        let inside = rest.trim_start().strip_prefix(open.as_str())?;
        (*slot, rest) = inside.split_once(close.as_str())?;
    }
    rest.trim().is_empty().then_some((before, contents))
}

/// Contents of the closed blocks of one tag, in order.
pub(super) fn contents<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((inside, after)) = rest
        .split_once(open.as_str())
        .and_then(|(_, inside)| inside.split_once(close.as_str()))
    {
        out.push(inside);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_in_order_each_as_often_as_listed() {
        let text = "so <a>1</a>\n<b></b> <a>2</a>\n";
        assert_eq!(blocks(text, ["a", "b", "a"]), Some(("so ", ["1", "", "2"])));
        for other in [
            "<a>1</a><a>2</a><b></b>",
            "<a>1</a>x<b></b><a>2</a>",
            "<a>1</a><b></b><a>2</a>x",
            "<a>1</a><b></b><a>2</a></a>",
            "<a>1</a><b></b><b></b><a>2</a>",
            "<a>1</a><b></b>",
            "<a>1<b></a></b><a>2</a>",
            "<a>1<a></a><b></b>2</a>",
            "",
        ] {
            assert_eq!(blocks(other, ["a", "b", "a"]), None, "{other}");
        }
    }

    #[test]
    fn contents_are_those_of_closed_blocks() {
        assert_eq!(contents("<a>1</a> <a>2 <a>3</a> <a>4", "a"), ["1", "2 <a>3"]);
        assert!(contents("</a><a>", "a").is_empty());
    }
}
