//! Bytes of a checkpoint: a magic word, the format's number, the shape, then little-endian numbers.
//!
//! `magic, format u32, states u64, actions u64, version u64, logits f64.., has_reference u8, reference f64..`

use groupwise_core::seams::PolicyError;

use crate::table::Table;

const MAGIC: &[u8; 8] = b"gw-table";
const FORMAT: u32 = 1;

/// Table and reference as bytes.
pub(crate) fn write(table: &Table, reference: Option<&[f64]>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    for number in [table.logits.len() / table.n_actions, table.n_actions] {
        bytes.extend((number as u64).to_le_bytes());
    }
    bytes.extend(table.version.to_le_bytes());
    push(&mut bytes, &table.logits);
    bytes.push(u8::from(reference.is_some()));
    push(&mut bytes, reference.unwrap_or_default());
    bytes
}

fn push(bytes: &mut Vec<u8>, values: &[f64]) {
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}

/// Table and reference from bytes; the shape must be that of `like`.
pub(crate) fn read(bytes: &[u8], like: &Table) -> Result<(Table, Option<Vec<f64>>), PolicyError> {
    let fault = |what: String| PolicyError::Checkpoint(what);
    let mut reader = Reader(bytes);
    if reader.take::<8>()? != *MAGIC {
        return Err(fault("not a checkpoint of a table".into()));
    }
    let format = u32::from_le_bytes(reader.take()?);
    if format != FORMAT {
        return Err(fault(format!("format {format}, this build reads {FORMAT}")));
    }
    let shape = [
        u64::from_le_bytes(reader.take()?),
        u64::from_le_bytes(reader.take()?),
    ];
    let expected = [(like.logits.len() / like.n_actions) as u64, like.n_actions as u64];
    if shape != expected {
        let ([s, a], [t, b]) = (shape, expected);
        return Err(fault(format!(
            "{s} states x {a} actions, the world has {t} x {b}"
        )));
    }
    let version = u64::from_le_bytes(reader.take()?);
    let logits = reader.values("logits", like.logits.len())?;
    let reference = match reader.take()? {
        [0] => None,
        [1] => Some(reader.values("reference", like.logits.len())?),
        [flag] => return Err(fault(format!("reference flag {flag}"))),
    };
    if !reader.0.is_empty() {
        return Err(fault(format!("{} bytes too many", reader.0.len())));
    }
    Ok((
        Table {
            logits,
            n_actions: like.n_actions,
            version,
        },
        reference,
    ))
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
