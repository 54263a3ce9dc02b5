//! `language:response_language` and `change_case:*`: which language a text is in, and whether it has capitals.

use whatlang::Lang;

use super::args::{Args, InstructionError};
use super::text::{is_lower, is_upper};

#[derive(Debug)]
pub(super) enum Language {
    Only(Lang),
    EnglishCapitals,
    EnglishLowercase,
}

impl Language {
    pub(super) fn parse(id: &str, args: Args<'_>) -> Result<Option<Self>, InstructionError> {
        Ok(Some(match id {
            "language:response_language" => {
                args.only(&["language"])?;
                let known = by_code(args.text("language")?);
                Self::Only(
                    known.ok_or_else(|| args.wrong("language", "the ISO 639-1 code of a known language"))?,
                )
            }
            "change_case:english_capital" => args.only(&[]).map(|()| Self::EnglishCapitals)?,
            "change_case:english_lowercase" => args.only(&[]).map(|()| Self::EnglishLowercase)?,
            "change_case:capital_word_frequency" => {
                return Err(InstructionError::Unsupported {
                    id: args.id.to_owned(),
                    reason: "words are told apart by the punkt model, which is not part of this crate",
                });
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Only(language) => is_in(response, *language),
            Self::EnglishCapitals => is_upper(response) && is_in(response, Lang::Eng),
            Self::EnglishLowercase => is_lower(response) && is_in(response, Lang::Eng),
        }
    }
}

/// True if `text` is in `language`, and if no language can be told at all (a text without letters).
///
/// The trigrams decide where they are sure.  Where they are not, which on a few words is the rule, a second opinion is
/// heard, and one of the two suffices.
fn is_in(text: &str, language: Lang) -> bool {
    /// More characters change no verdict, but take time.
    const READ: usize = 10_000;
    // Both models were made from texts with few capitals.
    let text: String = text.chars().take(READ).flat_map(char::to_lowercase).collect();
    match whatlang::detect(&text) {
        None => true,
        Some(found) if found.is_reliable() || found.lang() == language => found.lang() == language,
        Some(_) => whichlang::detect_language(&text).three_letter_code() == language.code(),
    }
}

/// Languages by the codes of the data set, which are ISO 639-1, and by the two that its detector has for Chinese.
const CODES: [(&str, Lang); 58] = [
    ("af", Lang::Afr),
    ("ar", Lang::Ara),
    ("be", Lang::Bel),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("cy", Lang::Cym),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("et", Lang::Est),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("gu", Lang::Guj),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hr", Lang::Hrv),
    ("hu", Lang::Hun),
    ("hy", Lang::Hye),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ka", Lang::Kat),
    ("kn", Lang::Kan),
    ("ko", Lang::Kor),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("mk", Lang::Mkd),
    ("ml", Lang::Mal),
    ("mr", Lang::Mar),
    ("ne", Lang::Nep),
    ("nl", Lang::Nld),
    ("no", Lang::Nob),
    ("pa", Lang::Pan),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("si", Lang::Sin),
    ("sk", Lang::Slk),
    ("sl", Lang::Slv),
    ("sr", Lang::Srp),
    ("sv", Lang::Swe),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("th", Lang::Tha),
    ("tl", Lang::Tgl),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("vi", Lang::Vie),
    ("zh", Lang::Cmn),
    ("zh-cn", Lang::Cmn),
    ("zh-tw", Lang::Cmn),
];

fn by_code(code: &str) -> Option<Lang> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, language)| *language)
}
