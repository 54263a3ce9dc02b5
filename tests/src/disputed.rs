//! Golden cases whose numbers contradict themselves.
//!
//! A case stands here only with a proof that the file is wrong, in `docs/decisions/`.  It must go on failing: one that
//! passes has been corrected, and its line here is then an error.

/// A case that is known to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disputed {
    /// Slug of its file.
    pub slug: &'static str,
    /// Its name.
    pub case: &'static str,
    /// What is wrong, and where the proof stands.
    pub why: &'static str,
}

/// Every disputed case.
pub const DISPUTED: &[Disputed] = &[Disputed {
    slug: "ton",
    case: "short answer gets the larger step per token",
    why: "`grad_logp` is not the derivative of `loss`: the sign of the KL term is reversed (decision 013)",
}];

/// What is wrong with a case, if it is disputed.
pub fn find(slug: &str, case: &str) -> Option<&'static str> {
    let entry = DISPUTED.iter().find(|d| d.slug == slug && d.case == case)?;
    Some(entry.why)
}
