//! Bytes of a checkpoint: a magic word, the format's number, the shape, then little-endian numbers.
//!
//! `magic, format u32, shape, version u64, parameters f64.., has_reference u8, reference f64..`; the shape is `states
//! u64, actions u64` of a table, `weights u64` of a linear policy.

use groupwise_core::seams::PolicyError;

const FORMAT: u32 = 1;

/// What a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Logits of every state and action.
    Table { states: usize, actions: usize },
    /// Weights of features.
    Linear { weights: usize },
}

impl Shape {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Table { .. } => b"gw-table",
            Self::Linear { .. } => b"gw-theta",
        }
    }

    fn whose(self) -> &'static str {
        match self {
            Self::Table { .. } => "a table",
            Self::Linear { .. } => "a linear policy",
        }
    }

    fn parameters(self) -> &'static str {
        match self {
            Self::Table { .. } => "logits",
            Self::Linear { .. } => "weights",
        }
    }

    fn numbers(self) -> Vec<u64> {
        match self {
            Self::Table { states, actions } => vec![states as u64, actions as u64],
            Self::Linear { weights } => vec![weights as u64],
        }
    }

    fn n_parameters(self) -> usize {
        match self {
            Self::Table { states, actions } => states * actions,
            Self::Linear { weights } => weights,
        }
    }

    fn check(self, reader: &mut Reader<'_>) -> Result<(), PolicyError> {
        let expected = self.numbers();
        let mut found = Vec::with_capacity(expected.len());
        for _ in &expected {
            found.push(u64::from_le_bytes(reader.take()?));
        }
        if found == expected {
            return Ok(());
        }
        let text = match (found.as_slice(), expected.as_slice()) {
            ([s, a], [t, b]) => format!("{s} states x {a} actions, the world has {t} x {b}"),
            ([weights], [of_world]) => format!("{weights} weights, the world has {of_world}"),
            _ => "another shape".to_owned(),
        };
        Err(PolicyError::Checkpoint(text))
    }
}

/// What a checkpoint holds.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) version: u64,
    pub(crate) parameters: Vec<f64>,
    pub(crate) reference: Option<Vec<f64>>,
}

/// Parameters and reference as bytes.
pub(crate) fn write(shape: Shape, version: u64, parameters: &[f64], reference: Option<&[f64]>) -> Vec<u8> {
    let mut bytes = shape.magic().to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    for number in shape.numbers() {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(version.to_le_bytes());
    push(&mut bytes, parameters);
    bytes.push(u8::from(reference.is_some()));
    push(&mut bytes, reference.unwrap_or_default());
    bytes
}

fn push(bytes: &mut Vec<u8>, values: &[f64]) {
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}

/// Parameters and reference from bytes of this shape.
pub(crate) fn read(bytes: &[u8], shape: Shape) -> Result<Saved, PolicyError> {
    let fault = |what: String| PolicyError::Checkpoint(what);
    let mut reader = Reader(bytes);
    if reader.take::<8>()? != *shape.magic() {
        return Err(fault(format!("not a checkpoint of {}", shape.whose())));
    }
    let format = u32::from_le_bytes(reader.take()?);
    if format != FORMAT {
        return Err(fault(format!("format {format}, this build reads {FORMAT}")));
    }
    shape.check(&mut reader)?;
    let version = u64::from_le_bytes(reader.take()?);
    let parameters = reader.values(shape.parameters(), shape.n_parameters())?;
    let reference = match reader.take()? {
        [0] => None,
        [1] => Some(reader.values("reference", shape.n_parameters())?),
        [flag] => return Err(fault(format!("reference flag {flag}"))),
    };
    if !reader.0.is_empty() {
        return Err(fault(format!("{} bytes too many", reader.0.len())));
    }
    Ok(Saved {
        version,
        parameters,
        reference,
    })
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], PolicyError> {
        let (head, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| PolicyError::Checkpoint("cut short".into()))?;
        self.0 = rest;
        Ok(*head)
    }

    fn values(&mut self, name: &str, n: usize) -> Result<Vec<f64>, PolicyError> {
        let mut values = Vec::with_capacity(n);
        for _ in 0..n {
            let value = f64::from_le_bytes(self.take()?);
            if !value.is_finite() {
                return Err(PolicyError::Checkpoint(format!("{name} hold {value}")));
            }
            values.push(value);
        }
        Ok(values)
    }
}
