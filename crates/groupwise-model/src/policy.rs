//! Generation: one key-value cache per distinct prefix, one batch per chunk of sequences.

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{Continuation, Member, Policy, PolicyError, Prefix, Sampling};
use groupwise_core::{DataError, ParamError, StopReason};
use rayon::prelude::*;

use crate::decoder::{Decoder, Segment, Sequence, as_slice};
use crate::scores::{Choice, RowSoftmax};
use crate::tokenizer::{CharTokenizer, END};
use crate::weights::SharedWeights;

/// Most sequences decoded together while the weights fit in a processor's last-level cache: few, so that keys,
/// values and activations of a chunk stay close to the core; three tiles of burn-flex's matrix product.
const SMALL_CHUNK: usize = 18;
/// Most sequences decoded together when the weights stream from memory: many, so that each read of them pays.
const LARGE_CHUNK: usize = 96;
/// Parameters up to which a model counts as small.
const SMALL_MODEL: usize = 4_000_000;
/// Prompt tokens encoded together.
const PREFILL_TOKENS: usize = 512;

/// A transformer that writes text.
///
/// # Shapes
/// Every prefix holds at least one token (shared or tail).
///
/// # Edge cases
/// A member that fills the context stops with [`StopReason::Length`]; one that has no room for a single new
/// token is an error.  `max_new_tokens` = 0 gives empty continuations.
#[derive(Clone, Debug)]
pub struct TransformerPolicy {
    weights: SharedWeights,
    tokenizer: Arc<CharTokenizer>,
    decoder: Option<(u64, Arc<Decoder>)>,
}

/// A prefix after its shared tokens: the cache and the last hidden row (none if no token is shared).
struct Encoded {
    segment: Arc<Segment>,
    hidden: Vec<f32>,
}

/// One member on its way through generation.
struct Job<'a> {
    /// Place in the result.
    place: usize,
    prefix: usize,
    member: &'a Member,
    limit: usize,
}

impl TransformerPolicy {
    /// A policy over shared weights.
    pub fn new(weights: SharedWeights, tokenizer: Arc<CharTokenizer>) -> Self {
        Self {
            weights,
            tokenizer,
            decoder: None,
        }
    }

    /// The weights it reads.
    pub fn weights(&self) -> &SharedWeights {
        &self.weights
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &CharTokenizer {
        &self.tokenizer
    }

    /// Generation weights of the current revision.
    fn decoder(&mut self) -> Result<Arc<Decoder>, PolicyError> {
        let weights = self.weights.read();
        if let Some((revision, decoder)) = &self.decoder
            && *revision == weights.revision()
        {
            return Ok(decoder.clone());
        }
        let decoder = Arc::new(Decoder::new(&weights)?);
        self.decoder = Some((weights.revision(), decoder.clone()));
        Ok(decoder)
    }
}

impl Policy for TransformerPolicy {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        self.tokenizer.encode(text)
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens)
    }

    fn end_token(&self) -> Option<u32> {
        Some(END)
    }

    fn extend(
        &mut self,
        prefixes: &[Prefix<'_>],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Continuation>>, PolicyError> {
        let temperature = sampling.temperature;
        ParamError::check(
            temperature > 0.0 && temperature.is_finite(),
            "temperature",
            temperature,
            "a finite number > 0",
        )
        .map_err(|e| DataError::value("sampling", e.to_string()))?;
        let (context, parameters) = {
            let weights = self.weights.read();
            let config = weights.config();
            (
                config.max_position_embeddings,
                config.n_parameters(weights.vocab_size()),
            )
        };
        let jobs = plan(prefixes, sampling.max_new_tokens, context)?;
        if sampling.max_new_tokens == 0 {
            return Ok(prefixes
                .iter()
                .map(|p| p.members.iter().map(|_| empty()).collect())
                .collect());
        }
        let decoder = self.decoder()?;
        let encoded = encode_prefixes(&decoder, prefixes)?;
        let run = |jobs: &[Job<'_>]| {
            let chunk = Chunk {
                decoder: &decoder,
                jobs,
                encoded: &encoded,
            };
            chunk.run(sampling)
        };
        let done: Vec<Vec<(usize, Continuation)>> = jobs
            .par_chunks(chunk_size(jobs.len(), parameters))
            .map(run)
            .collect::<Result<_, _>>()?;
        let mut done: Vec<(usize, Continuation)> = done.into_iter().flatten().collect();
        done.sort_by_key(|(place, _)| *place);
        let mut done = done.into_iter().map(|(_, c)| c);
        Ok(prefixes
            .iter()
            .map(|p| done.by_ref().take(p.members.len()).collect())
            .collect())
    }

    fn version(&self) -> u64 {
        self.weights.read().version()
    }
}

/// Sequences per chunk: equal chunks, an even number of them.  A function of the work alone, so that the number of
/// threads cannot change the shape of a product.
fn chunk_size(n: usize, parameters: usize) -> usize {
    let most = if parameters <= SMALL_MODEL {
        SMALL_CHUNK
    } else {
        LARGE_CHUNK
    };
    match n.div_ceil(most) {
        0 | 1 => n.max(1),
        chunks => n.div_ceil(chunks.next_multiple_of(2)),
    }
}

/// Checks every prefix and lists the members in order.
fn plan<'a>(prefixes: &'a [Prefix<'_>], max_new: usize, context: usize) -> Result<Vec<Job<'a>>, PolicyError> {
    let mut jobs = Vec::new();
    for (prefix, p) in prefixes.iter().enumerate() {
        for (m, member) in p.members.iter().enumerate() {
            let length = p.shared.len() + member.tail.len();
            if length == 0 {
                let place = format!("prefix {prefix}, member {m}");
                return Err(DataError::value(place, "has no token to continue").into());
            }
            if length >= context {
                return Err(PolicyError::Context {
                    length: length + 1,
                    limit: context,
                });
            }
            jobs.push(Job {
                place: jobs.len(),
                prefix,
                member,
                limit: max_new.min(context - length),
            });
        }
    }
    Ok(jobs)
}

/// Encodes each distinct shared prefix once.
fn encode_prefixes(decoder: &Decoder, prefixes: &[Prefix<'_>]) -> Result<Vec<Arc<Encoded>>, PolicyError> {
    let mut index: BTreeMap<&[u32], usize> = BTreeMap::new();
    let mut distinct: Vec<&[u32]> = Vec::new();
    for p in prefixes.iter().filter(|p| !p.shared.is_empty()) {
        index.entry(p.shared).or_insert_with(|| {
            distinct.push(p.shared);
            distinct.len() - 1
        });
    }
    let empty = Arc::new(decoder.segment());
    let fresh = || Sequence {
        shared: empty.clone(),
        own: decoder.segment(),
    };
    let encode = |batch: &Vec<&[u32]>| -> Result<Vec<Arc<Encoded>>, PolicyError> {
        let mut sequences: Vec<Sequence> = batch.iter().map(|_| fresh()).collect();
        let hidden = decoder.advance(&mut sequences, batch)?;
        let rows = hidden.chunks_exact(decoder.width());
        Ok(sequences
            .into_iter()
            .zip(rows)
            .map(|(sequence, row)| {
                Arc::new(Encoded {
                    segment: Arc::new(sequence.own),
                    hidden: row.to_vec(),
                })
            })
            .collect())
    };
    let encoded: Vec<Vec<Arc<Encoded>>> = cut(&distinct).par_iter().map(encode).collect::<Result<_, _>>()?;
    let encoded: Vec<Arc<Encoded>> = encoded.into_iter().flatten().collect();
    let nothing = Arc::new(Encoded {
        segment: empty.clone(),
        hidden: Vec::new(),
    });
    Ok(prefixes
        .iter()
        .map(|p| {
            index
                .get(p.shared)
                .map_or_else(|| nothing.clone(), |i| encoded[*i].clone())
        })
        .collect())
}

/// Runs of texts of at most [`PREFILL_TOKENS`] together, at least one text each.
fn cut<'a>(texts: &[&'a [u32]]) -> Vec<Vec<&'a [u32]>> {
    let mut batches: Vec<Vec<&[u32]>> = Vec::new();
    let mut used = 0;
    for text in texts {
        match batches.last_mut() {
            Some(batch) if used + text.len() <= PREFILL_TOKENS => batch.push(text),
            _ => {
                batches.push(vec![text]);
                used = 0;
            }
        }
        used += text.len();
    }
    batches
}

/// A chunk of sequences that are decoded in step; a finished one leaves at once.
struct Chunk<'a> {
    decoder: &'a Decoder,
    jobs: &'a [Job<'a>],
    encoded: &'a [Arc<Encoded>],
}

impl Chunk<'_> {
    /// One continuation per job, with its place.
    fn run(&self, sampling: &Sampling) -> Result<Vec<(usize, Continuation)>, PolicyError> {
        let (mut sequences, mut hidden) = self.start()?;
        let mut live: Vec<Live<'_>> = self.jobs.iter().map(Live::new).collect();
        let mut finished = Vec::with_capacity(live.len());
        let mut row = RowSoftmax::default();
        let mut stays = Vec::with_capacity(live.len());
        loop {
            let logits = self.decoder.logits(&hidden)?;
            stays.clear();
            for (l, logits) in live
                .iter_mut()
                .zip(as_slice(&logits)?.chunks_exact(self.decoder.vocab_size()))
            {
                stays.push(l.draw(logits, &mut row, sampling)?);
            }
            if stays.contains(&false) {
                let mut flags = stays.iter();
                sequences.retain(|_| flags.next() == Some(&true));
                let (staying, leaving): (Vec<_>, Vec<_>) =
                    live.into_iter().zip(&stays).partition(|(_, stays)| **stays);
                finished.extend(leaving.into_iter().map(|(l, _)| (l.job.place, l.out)));
                live = staying.into_iter().map(|(l, _)| l).collect();
            }
            if live.is_empty() {
                return Ok(finished);
            }
            let tokens: Vec<&[u32]> = live.iter().map(Live::last).collect();
            hidden = self.decoder.advance(&mut sequences, &tokens)?;
        }
    }

    /// Sequences after their tails, and their last hidden rows.
    fn start(&self) -> Result<(Vec<Sequence>, Vec<f32>), PolicyError> {
        let fresh = |job: &Job<'_>| Sequence {
            shared: self.encoded[job.prefix].segment.clone(),
            own: self.decoder.segment(),
        };
        let tailed: Vec<&Job<'_>> = self.jobs.iter().filter(|j| !j.member.tail.is_empty()).collect();
        let tails: Vec<&[u32]> = tailed.iter().map(|j| j.member.tail.as_slice()).collect();
        let mut advanced: Vec<Sequence> = tailed.into_iter().map(fresh).collect();
        let (mut rows, mut done) = (Vec::new(), 0);
        for batch in cut(&tails) {
            let sequences = &mut advanced[done..done + batch.len()];
            rows.extend(self.decoder.advance(sequences, &batch)?);
            done += batch.len();
        }
        let mut advanced = advanced.into_iter().zip(rows.chunks_exact(self.decoder.width()));
        let mut sequences = Vec::with_capacity(self.jobs.len());
        let mut hidden = Vec::with_capacity(self.jobs.len() * self.decoder.width());
        for job in self.jobs {
            let next = if job.member.tail.is_empty() {
                None
            } else {
                advanced.next()
            };
            if let Some((sequence, row)) = next {
                sequences.push(sequence);
                hidden.extend_from_slice(row);
            } else {
                sequences.push(fresh(job));
                hidden.extend_from_slice(&self.encoded[job.prefix].hidden);
            }
        }
        Ok((sequences, hidden))
    }
}

/// A sequence on its way.
struct Live<'a> {
    job: &'a Job<'a>,
    out: Continuation,
}

impl<'a> Live<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        Self { job, out: empty() }
    }

    fn last(&self) -> &[u32] {
        &self.out.tokens[self.out.tokens.len().saturating_sub(1)..]
    }

    /// Draws the next token; false if it was the last one.
    fn draw(
        &mut self,
        logits: &[f32],
        row: &mut RowSoftmax,
        sampling: &Sampling,
    ) -> Result<bool, PolicyError> {
        if !row.load(logits, sampling.temperature) {
            return Err(PolicyError::NonFinite {
                what: "log-probability",
                tensor: "logits".into(),
            });
        }
        let position = self.out.tokens.len() as u64;
        let draw = row.choose(match sampling.greedy {
            true => Choice::Greedy,
            false => Choice::Uniform(self.job.member.key.token(position).uniform()),
        });
        self.out.tokens.push(draw.token);
        self.out.logp.push(draw.logp);
        self.out.entropy.push(draw.entropy);
        if draw.token == END {
            self.out.stop = StopReason::EndToken;
            return Ok(false);
        }
        Ok(self.out.tokens.len() < self.job.limit)
    }
}

fn empty() -> Continuation {
    Continuation {
        tokens: Vec::new(),
        logp: Vec::new(),
        entropy: Vec::new(),
        stop: StopReason::Length,
    }
}
