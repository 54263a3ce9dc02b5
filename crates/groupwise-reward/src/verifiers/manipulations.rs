//! Manipulations of a video as a reply writes them, and how many of them hit annotated evidence.

use std::collections::{BTreeMap, BTreeSet};

use groupwise_core::DataError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::geometry::BoxCorners;
use crate::geometry::shared_and_united;

/// What a reply looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manipulations {
    /// Segments, each once.
    pub segments: BTreeSet<u64>,
    /// Frames, each once.
    pub frames: BTreeSet<u64>,
    /// Boxes in order, repeated ones kept, with the frame that was current; `None` before any frame.
    pub boxes: Vec<(Option<u64>, BoxCorners)>,
}

/// Reads the manipulations of a reply, line by line.
///
/// # Formula
/// `FIND_SEGMENT(..) = [i, j]` or `= i`; `FIND_FRAME(..) = [i, j]` or `= i`, the last number becoming the current frame;
/// `SPATIAL_ZOOM(..) = [x1, y1, x2, y2, ..]` in fours, `= (x1, y1, x2, y2)` or `= x1, y1, x2, y2`.
///
/// # Edge cases
/// - One call of a name per line and form; numbers that do not make up four corners are left out.
/// - A list holds digits, commas and white space only; an entry that is not one number is skipped.
/// - A number above 2^64 - 1 counts as that one: it hits nothing.
///
/// # Source
/// `reward_utils.py` of mbzuai-oryx/Video-CoM.  There the scalar form of a segment reads the description instead of the
/// number and gives up on the whole reply; here it is read as meant.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::parse_manipulations;
/// let seen = parse_manipulations("FIND_SEGMENT(car) = 3\nFIND_FRAME(plate) = [9, 12]\nSPATIAL_ZOOM(plate) = [1, 2, 3, 4]");
/// assert_eq!(seen.segments.iter().collect::<Vec<_>>(), [&3]);
/// assert_eq!(seen.boxes, [(Some(12), [1.0, 2.0, 3.0, 4.0])]);
/// ```
pub fn parse_manipulations(text: &str) -> Manipulations {
    let mut out = Manipulations::default();
    let mut current = None;
    for line in text.split('\n') {
        if let Some(numbers) = assigned(line, "FIND_SEGMENT(", |v| list(v).or_else(|| scalar(v))) {
            out.segments.extend(numbers);
        }
        if let Some(numbers) = assigned(line, "FIND_FRAME(", |v| list(v).or_else(|| scalar(v))) {
            current = numbers.last().copied().or(current);
            out.frames.extend(numbers);
        }
        let forms: [Form; 3] = [list, bracketed_four, four];
        for form in forms {
            let numbers = assigned(line, "SPATIAL_ZOOM(", form).unwrap_or_default();
            for corners in numbers.chunks_exact(4) {
                out.boxes.push((current, [0, 1, 2, 3].map(|k| corners[k] as f64)));
            }
        }
    }
    out
}

/// A way to write numbers: what it can read at the start of a text.
type Form = fn(&str) -> Option<Vec<u64>>;

/// The first value that `form` can read behind `name..) =` on this line.
///
/// A description may hold brackets, so every closing one is tried; those behind the first call of the name include
/// those behind any later one.
fn assigned(line: &str, name: &str, form: impl Fn(&str) -> Option<Vec<u64>>) -> Option<Vec<u64>> {
    let (_, rest) = line.split_once(name)?;
    rest.match_indices(')').find_map(|(i, _)| {
        let value = rest[i + 1..].trim_start().strip_prefix('=')?;
        form(value.trim_start())
    })
}

fn list(value: &str) -> Option<Vec<u64>> {
    let inside = value.strip_prefix('[')?;
    let end = inside.find(|c: char| !(c.is_ascii_digit() || c == ',' || c.is_whitespace()))?;
    let closed = inside[end..].starts_with(']') && end > 0;
    closed.then(|| {
        inside[..end]
            .split(',')
            .filter_map(|item| number(item.trim()))
            .collect()
    })
}

fn scalar(value: &str) -> Option<Vec<u64>> {
    digits(value).map(|(n, _)| vec![n])
}

fn bracketed_four(value: &str) -> Option<Vec<u64>> {
    let inside = value.strip_prefix('(')?;
    let (numbers, rest) = leading_four(inside)?;
    rest.starts_with(')').then_some(numbers)
}

fn four(value: &str) -> Option<Vec<u64>> {
    leading_four(value).map(|(numbers, _)| numbers)
}

/// Four numbers with commas between, and what follows.
fn leading_four(mut rest: &str) -> Option<(Vec<u64>, &str)> {
    let mut numbers = Vec::with_capacity(4);
    loop {
        let (n, after) = digits(rest)?;
        numbers.push(n);
        if numbers.len() == 4 {
            return Some((numbers, after));
        }
        rest = after.trim_start().strip_prefix(',')?.trim_start();
    }
}

/// The number a text begins with, and what follows.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((number(&text[..end])?, &text[end..]))
}

fn number(item: &str) -> Option<u64> {
    let is_number = !item.is_empty() && item.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| item.parse().unwrap_or(u64::MAX))
}

/// Annotated evidence of a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Segments that hold the answer.
    pub segments: BTreeSet<u64>,
    /// Ranges of frames that show it, both ends included.
    pub frames: Vec<(u64, u64)>,
    /// Its box, by frame.
    pub boxes: BTreeMap<u64, BoxCorners>,
}

/// Evidence as a row writes it.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Row {
    segments: Vec<u64>,
    frames: Vec<(u64, u64)>,
    boxes: Vec<(u64, BoxCorners)>,
}

impl Evidence {
    /// Reads the columns `segments` (a list), `frames` (a list of pairs) and `boxes` (a list of `[frame, [x1, y1, x2,
    /// y2]]`); an absent one is empty, others are left alone.
    ///
    /// # Errors
    /// A column of another form.
    pub fn from_columns(columns: &Map<String, Value>) -> Result<Self, DataError> {
        let row = Row::deserialize(Value::Object(columns.clone()))
            .map_err(|e| DataError::value("annotations", e.to_string()))?;
        let finite = row
            .boxes
            .iter()
            .flat_map(|(_, corners)| corners)
            .all(|x| x.is_finite());
        if !finite {
            return Err(DataError::value("annotations", "a corner of a box is not finite"));
        }
        Ok(Self {
            segments: row.segments.into_iter().collect(),
            frames: row.frames,
            boxes: row.boxes.into_iter().collect(),
        })
    }
}

/// What a prediction counts where nothing is annotated to check it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unannotated {
    /// Neither way.
    #[default]
    Ignored,
    /// As a miss.
    Wrong,
}

/// Hits among the checkable predictions of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HitShare {
    /// Predictions that hit.
    pub hits: usize,
    /// Predictions that could be checked.
    pub total: usize,
}

impl HitShare {
    /// `hits / total`; 0 if nothing could be checked.
    pub fn share(self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        self.hits as f64 / self.total as f64
    }

    fn count(&mut self, hit: bool) {
        self.hits += usize::from(hit);
        self.total += 1;
    }
}

/// Intersection over union of two boxes, with `1e-6` in the denominator so that two empty ones do not divide by 0.
///
/// # Edge cases
/// A box whose corners are swapped has no intersection: 0 or `-0`.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::box_iou;
/// let iou = box_iou([10.0, 10.0, 50.0, 24.0], [10.0, 10.0, 50.0, 50.0]);
/// assert!(iou < 0.35 && iou > 0.349999);
/// ```
pub fn box_iou(a: BoxCorners, b: BoxCorners) -> f64 {
    let (shared, united) = shared_and_united(a, b);
    shared / (united + 1e-6)
}

/// Counts the predictions of all types that hit the evidence.
///
/// # Formula
/// A segment hits if it is annotated; a frame if it lies in a range; a box if its frame is annotated and
/// `IoU >= iou_threshold`.  The share is hits over predictions that can be checked.
///
/// # Edge cases
/// - A type without annotation, and a box on a frame without one (or on none), are [`Unannotated`].
/// - One sure prediction and nothing else gives share 1: precision, not coverage.
///
/// # Source
/// `reasoning_reward` of mbzuai-oryx/Video-CoM, `reward_funcs.py` (`unannotated = ignored`).
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{parse_manipulations, step_share, Evidence, Unannotated};
/// let seen = parse_manipulations("FIND_SEGMENT(car) = [2, 5]\nFIND_FRAME(plate) = [9]");
/// let evidence = Evidence { segments: [2, 3].into(), frames: vec![(10, 14)], ..Default::default() };
/// assert_eq!(step_share(&seen, &evidence, 0.35, Unannotated::Ignored).share(), 1.0 / 3.0);
/// ```
pub fn step_share(
    seen: &Manipulations,
    evidence: &Evidence,
    iou_threshold: f64,
    unannotated: Unannotated,
) -> HitShare {
    let all = unannotated == Unannotated::Wrong;
    let mut out = HitShare::default();
    if all || !evidence.segments.is_empty() {
        for segment in &seen.segments {
            out.count(evidence.segments.contains(segment));
        }
    }
    if all || !evidence.frames.is_empty() {
        for frame in &seen.frames {
            out.count(
                evidence
                    .frames
                    .iter()
                    .any(|(first, last)| (first..=last).contains(&frame)),
            );
        }
    }
    for (frame, corners) in &seen.boxes {
        match frame.and_then(|frame| evidence.boxes.get(&frame)) {
            Some(truth) => out.count(box_iou(*corners, *truth) >= iou_threshold),
            None if all => out.count(false),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            segments: [2, 3].into(),
            frames: vec![(10, 14), (20, 20)],
            boxes: [(12, [10.0, 10.0, 50.0, 50.0])].into(),
        }
    }

    fn manipulations() -> impl Strategy<Value = Manipulations> {
        let corners = prop::array::uniform4(0u32..60).prop_map(|c| c.map(f64::from));
        (
            prop::collection::btree_set(0u64..6, 0..4),
            prop::collection::btree_set(8u64..22, 0..4),
            prop::collection::vec((prop::option::of(11u64..14), corners), 0..4),
        )
            .prop_map(|(segments, frames, boxes)| Manipulations {
                segments,
                frames,
                boxes,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn shares_lie_in_0_to_1_and_wrong_counts_more_misses(seen in manipulations(), tau in 0.01..1.0f64) {
            let ignored = step_share(&seen, &evidence(), tau, Unannotated::Ignored);
            let wrong = step_share(&seen, &evidence(), tau, Unannotated::Wrong);
            prop_assert!((0.0..=1.0).contains(&ignored.share()));
            prop_assert_eq!(ignored.hits, wrong.hits);
            prop_assert_eq!(wrong.total, seen.segments.len() + seen.frames.len() + seen.boxes.len());
            prop_assert!(ignored.total <= wrong.total);
        }

        #[test]
        fn raising_the_threshold_never_raises_a_share(seen in manipulations(), a in 0.01..1.0f64, b in 0.01..1.0f64) {
            let share = |tau| step_share(&seen, &evidence(), tau, Unannotated::Ignored).share();
            prop_assert!(share(a.max(b)) <= share(a.min(b)));
        }

        #[test]
        fn a_repeated_segment_or_frame_changes_nothing(i in 0u64..6, j in 8u64..22) {
            let once = format!("FIND_SEGMENT(a) = {i}\nFIND_FRAME(b) = [{j}]");
            prop_assert_eq!(parse_manipulations(&format!("{once}\n{once}")), parse_manipulations(&once));
        }

        #[test]
        fn written_manipulations_are_read_back(
            segments in prop::collection::btree_set(0u64..99, 1..4), frame in 0u64..99,
            corners in prop::collection::vec(prop::array::uniform4(0u64..99), 1..3),
        ) {
            let join = |items: Vec<String>| items.join(", ");
            let boxes: Vec<String> = corners.iter().flatten().map(u64::to_string).collect();
            let text = format!(
                "I look.\nFIND_SEGMENT(a (b)) = [{}]\nFIND_FRAME(c)={frame} there\nSPATIAL_ZOOM(d) = [{}]",
                join(segments.iter().map(u64::to_string).collect()), join(boxes),
            );
            let seen = parse_manipulations(&text);
            prop_assert_eq!(&seen.segments, &segments);
            prop_assert_eq!(seen.frames.iter().copied().collect::<Vec<_>>(), [frame]);
            let expected: Vec<_> = corners.iter().map(|c| (Some(frame), c.map(|x| x as f64))).collect();
            prop_assert_eq!(seen.boxes, expected);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in r"(FIND_FRAME|SPATIAL_ZOOM|FIND_SEGMENT|[\(\)\[\]=,0-9 ä\n])*") {
            let seen = parse_manipulations(&text);
            prop_assert!(seen.segments.len() + seen.frames.len() + seen.boxes.len() <= text.len());
        }

        #[test]
        fn overlap_is_symmetric_at_most_1_and_1_with_oneself(a in prop::array::uniform4(0u32..60), b in prop::array::uniform4(0u32..60)) {
            let proper = |c: [u32; 4]| {
                [c[0].min(c[2]), c[1].min(c[3]), c[0].max(c[2]) + 1, c[1].max(c[3]) + 1].map(f64::from)
            };
            let (a, b) = (proper(a), proper(b));
            prop_assert_eq!(box_iou(a, b), box_iou(b, a));
            prop_assert!((0.0..1.0).contains(&box_iou(a, b)));
            prop_assert!((box_iou(a, a) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn every_form_of_a_box_is_read_and_stands_on_the_current_frame() {
        let text = "SPATIAL_ZOOM(a) = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n\
                    FIND_FRAME(b) = [7, 5]\nSPATIAL_ZOOM(a) = ( 1 , 2,3 , 4)\nSPATIAL_ZOOM(a) = (1, 2, 3, 4)\n\
                    FIND_FRAME(c) = 6\nSPATIAL_ZOOM(a)=1,2, 3,4 and\nFIND_FRAME(d) = [ , ]\nSPATIAL_ZOOM(a) = 1, 2, 3";
        let corners = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            parse_manipulations(text).boxes,
            [
                (None, corners),
                (None, [5.0, 6.0, 7.0, 8.0]),
                (Some(5), corners),
                (Some(6), corners),
            ]
        );
        assert_eq!(parse_manipulations(text).frames, [5, 6, 7].into());
    }

    #[test]
    fn malformed_calls_predict_nothing() {
        for text in [
            "FIND_SEGMENT(a) = []",
            "FIND_SEGMENT(a) = [1; 2]",
            "FIND_SEGMENT(a) = [1, 2",
            "FIND_SEGMENT(a) = x",
            "FIND_SEGMENT(a = 1",
            "FIND_SEGMENT(a) 1",
            "find_segment(a) = 1",
        ] {
            assert_eq!(parse_manipulations(text), Manipulations::default(), "{text}");
        }
        let huge = parse_manipulations("FIND_SEGMENT(a) = [99999999999999999999999, 1 2, 3]");
        assert_eq!(huge.segments, [3, u64::MAX].into());
    }

    #[test]
    fn types_without_annotation_are_ignored_or_wrong() {
        let seen =
            parse_manipulations("FIND_SEGMENT(a) = 2\nFIND_FRAME(a) = 13\nSPATIAL_ZOOM(a) = [1, 2, 3, 4]");
        let share = |evidence: &Evidence, unannotated| step_share(&seen, evidence, 0.35, unannotated);
        let none = Evidence::default();
        assert_eq!(share(&none, Unannotated::Ignored).share(), 0.0);
        assert_eq!(share(&none, Unannotated::Ignored).total, 0);
        assert_eq!(share(&none, Unannotated::Wrong), HitShare { hits: 0, total: 3 });
        // Frame 13 has no box.
        assert_eq!(
            share(&evidence(), Unannotated::Ignored),
            HitShare { hits: 2, total: 2 }
        );
        assert_eq!(
            share(&evidence(), Unannotated::Wrong),
            HitShare { hits: 2, total: 3 }
        );
    }

    #[test]
    fn both_ends_of_a_range_and_the_threshold_itself_count() {
        let frames = |text: &str| {
            step_share(
                &parse_manipulations(text),
                &evidence(),
                0.35,
                Unannotated::Ignored,
            )
            .hits
        };
        assert_eq!(frames("FIND_FRAME(a) = [9, 10, 14, 15, 20]"), 3);
        // 14 of 40 rows overlap: 0.35 but for the 1e-6.
        let zoom = |y: u64, tau| {
            let seen = parse_manipulations(&format!("FIND_FRAME(a)=12\nSPATIAL_ZOOM(a)=[10,10,50,{y}]"));
            step_share(&seen, &evidence(), tau, Unannotated::Ignored).hits - 1
        };
        assert_eq!((zoom(24, 0.35), zoom(25, 0.35)), (0, 1));
        let exact = box_iou([10.0, 10.0, 50.0, 24.0], [10.0, 10.0, 50.0, 50.0]);
        assert_eq!(zoom(24, exact), 1);
    }

    #[test]
    fn annotations_of_another_form_are_refused() {
        let read = |text: &str| Evidence::from_columns(&serde_json::from_str(text).unwrap());
        let full = read(
            r#"{"segments": [3, 2], "frames": [[10, 14], [20, 20]], "boxes": [[12, [10, 10, 50, 50]]], "x": 1}"#,
        );
        assert_eq!(full.unwrap(), evidence());
        assert_eq!(read("{}").unwrap(), Evidence::default());
        for bad in [
            r#"{"segments": 2}"#,
            r#"{"frames": [[1]]}"#,
            r#"{"boxes": [[1, [1, 2, 3]]]}"#,
        ] {
            assert!(
                read(bad).unwrap_err().to_string().starts_with("annotations: "),
                "{bad}"
            );
        }
    }
}
