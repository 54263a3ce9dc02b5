//! Named parts: a serde struct per method, a closed list per seam.

use crate::error::ParamError;

/// The raw, serialisable form of a part: what stands in a recipe under `[seam.name]`.
///
/// Derive `Serialize` and `Deserialize` with `#[serde(default, deny_unknown_fields)]`; `Default` is the vetted
/// setting of the method.  `build` validates every value, so that later errors are about data only.
/// `C` is what building needs besides the parameters (a pool size, a data folder).
pub trait Part<T: ?Sized, C: ?Sized = ()> {
    /// Paper and authors' code, and which of them is followed where they differ.
    const SOURCE: &'static str;

    /// The formula with this configuration's numbers, for `explain`.
    fn formula(&self) -> String;

    /// The validated part.
    ///
    /// # Errors
    /// Names key, value and range.
    fn build(&self, context: &C) -> Result<Box<T>, ParamError>;
}

/// What the documentation and `explain` say about a named part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// Name in recipes.
    pub name: &'static str,
    /// Formula at the default parameters.
    pub formula: String,
    /// Paper and code.
    pub source: &'static str,
    /// Default parameters.
    pub defaults: serde_json::Value,
}

/// Declares the closed list of parts of a seam: an externally tagged enum, so that a recipe reads
/// `[advantage.grpo]` and a typo is reported with the known names.
///
/// ```
/// use groupwise_core::part::Part;
/// use groupwise_core::{registry, ParamError};
/// use serde::{Deserialize, Serialize};
///
/// trait Shout: std::fmt::Debug {}
/// #[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// pub struct LoudConfig { volume: f64 }
/// #[derive(Debug)]
/// struct Loud;
/// impl Shout for Loud {}
/// impl Part<dyn Shout> for LoudConfig {
///     const SOURCE: &'static str = "none";
///     fn formula(&self) -> String { format!("volume {}", self.volume) }
///     fn build(&self, _: &()) -> Result<Box<dyn Shout>, ParamError> {
///         ParamError::check(self.volume >= 0.0, "volume", self.volume, ">= 0")?;
///         Ok(Box::new(Loud))
///     }
/// }
/// registry! {
///     /// Every way to shout.
///     enum ShoutSpec => dyn Shout, () {
///         /// Loudly.
///         Loud = "loud": LoudConfig,
///     }
/// }
/// let spec: ShoutSpec = serde_json::from_str(r#"{"loud": {"volume": 3.0}}"#).unwrap();
/// assert_eq!(spec.name(), "loud");
/// assert!(spec.build(&()).is_ok());
/// assert!(serde_json::from_str::<ShoutSpec>(r#"{"quiet": {}}"#).unwrap_err().to_string().contains("loud"));
/// ```
#[macro_export]
macro_rules! registry {
    (
        $(#[$outer:meta])*
        $vis:vis enum $spec:ident => $seam:ty, $context:ty {
            $( $(#[$inner:meta])* $variant:ident = $name:literal : $config:ty ),+ $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        $vis enum $spec {
            $( $(#[$inner])* #[serde(rename = $name)] $variant($config) ),+
        }

        impl $spec {
            /// Names of all parts, as they stand in recipes.
            $vis const NAMES: &'static [&'static str] = &[$($name),+];

            /// Name of this part.
            $vis fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => $name ),+ }
            }

            /// The part of that name at its default parameters.
            $vis fn named(name: &str) -> Option<Self> {
                match name {
                    $( $name => Some(Self::$variant(<$config>::default())), )+
                    _ => None,
                }
            }

            /// The formula with this configuration's numbers.
            $vis fn formula(&self) -> String {
                match self { $( Self::$variant(config) => <$config as $crate::part::Part<$seam, $context>>::formula(config) ),+ }
            }

            /// Paper and authors' code.
            $vis fn source(&self) -> &'static str {
                match self { $( Self::$variant(_) => <$config as $crate::part::Part<$seam, $context>>::SOURCE ),+ }
            }

            /// Validates and builds.
            ///
            /// # Errors
            /// Names key, value and range.
            $vis fn build(&self, context: &$context) -> Result<Box<$seam>, $crate::ParamError> {
                match self { $( Self::$variant(config) => <$config as $crate::part::Part<$seam, $context>>::build(config, context) ),+ }
            }

            /// What the documentation says about every part.
            $vis fn catalogue() -> Vec<$crate::part::PartInfo> {
                vec![$( $crate::part::PartInfo {
                    name: $name,
                    formula: <$config as $crate::part::Part<$seam, $context>>::formula(&<$config>::default()),
                    source: <$config as $crate::part::Part<$seam, $context>>::SOURCE,
                    defaults: ::serde_json::to_value(<$config>::default()).unwrap_or_default(),
                } ),+]
            }
        }
    };
}
