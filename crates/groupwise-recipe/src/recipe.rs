//! What stands in a recipe, as plain data.

use groupwise_advantage::AdvantageSpec;
use groupwise_core::ParamError;
use groupwise_core::architecture::{AdamWConfig, LinearConfig, TabularConfig, TransformerConfig};
use groupwise_core::schedule::{Ramp, Shape};
use groupwise_env::WorldSpec;
use groupwise_objective::ObjectiveSpec;
use groupwise_reward::{ShaperSpec, VerifierSpec};
use groupwise_sampler::{AllocatorSpec, FilterSpec, RepairSpec, SamplerSpec, ScaffoldSpec};
use serde::{Deserialize, Serialize};

/// One resolved run: every part with every value that changes a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Batch arithmetic, optimizer steps, evaluation.
    pub run: RunConfig,
    /// The world tasks come from.
    pub env: WorldSpec,
    /// What is trained.
    pub policy: PolicySpec,
    /// Supervised start, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<WarmStartConfig>,
    /// Which prompts.
    #[serde(default = "default_sampler")]
    pub sampler: SamplerSpec,
    /// How many rollouts each.
    #[serde(default = "default_allocator")]
    pub allocator: AllocatorSpec,
    /// Which groups enter the update.
    #[serde(default = "default_filter")]
    pub filter: FilterSpec,
    /// How a prompt is put.
    #[serde(default = "default_scaffold")]
    pub scaffold: ScaffoldSpec,
    /// What is put into a group from elsewhere.
    #[serde(default = "default_repair")]
    pub repair: RepairSpec,
    /// What an answer is worth.
    #[serde(default = "default_verifier")]
    pub verifier: VerifierSpec,
    /// What is done to the rewards of a group, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shapers: Vec<ShaperSpec>,
    /// Rewards to advantages.
    #[serde(default = "default_advantage")]
    pub advantage: AdvantageSpec,
    /// Log-probabilities to a loss.
    #[serde(default = "default_objective")]
    pub objective: ObjectiveSpec,
}

fn default_sampler() -> SamplerSpec {
    SamplerSpec::Shuffled(Default::default())
}

fn default_allocator() -> AllocatorSpec {
    AllocatorSpec::Uniform(Default::default())
}

fn default_filter() -> FilterSpec {
    FilterSpec::None(Default::default())
}

fn default_scaffold() -> ScaffoldSpec {
    ScaffoldSpec::Plain(Default::default())
}

fn default_repair() -> RepairSpec {
    RepairSpec::None(Default::default())
}

fn default_verifier() -> VerifierSpec {
    VerifierSpec::Environment(Default::default())
}

fn default_advantage() -> AdvantageSpec {
    AdvantageSpec::Grpo(Default::default())
}

fn default_objective() -> ObjectiveSpec {
    ObjectiveSpec::Grpo(Default::default())
}

/// The policy that is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PolicySpec {
    /// Softmax table with exact gradients.
    #[serde(rename = "tabular")]
    Tabular(TabularConfig),
    /// Softmax over a world's features with exact gradients.
    #[serde(rename = "linear")]
    Linear(LinearConfig),
    /// Decoder-only transformer from scratch.
    #[serde(rename = "transformer")]
    Transformer(TransformerPolicyConfig),
}

/// A transformer, its optimizer and where it lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerPolicyConfig {
    /// Device by name: `flex` (pure Rust, CPU).
    pub device: String,
    /// Shape of the network.
    pub model: TransformerConfig,
    /// How it is trained.
    pub optimizer: AdamWConfig,
}

impl Default for TransformerPolicyConfig {
    fn default() -> Self {
        Self {
            device: "flex".into(),
            model: TransformerConfig::default(),
            optimizer: AdamWConfig::default(),
        }
    }
}

/// Shape of the learning-rate schedule after warm-up, in TRL's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerType {
    /// Constant after warm-up.
    #[default]
    Constant,
    /// Linear to 0.
    Linear,
    /// Half a cosine to 0.
    Cosine,
}

/// Which trajectories are written to `rollouts.jsonl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompletionLog {
    /// None.
    None,
    /// The first member of each group.
    #[default]
    First,
    /// All, with token ids and log-probabilities: enough to replay the update.
    All,
}

/// Batch arithmetic, optimizer steps and evaluation.  Names follow TRL where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Training steps: generation batches.
    pub steps: u64,
    /// Prompts of a generation batch.
    pub prompts_per_step: usize,
    /// Rollouts per prompt; with an allocator, the mean.
    pub num_generations: u32,
    /// Most tokens of one answer, end token included.
    pub max_completion_length: usize,
    /// Sampling temperature.
    pub temperature: f64,
    /// Passes over a generation batch.
    pub num_iterations: u32,
    /// Optimizer steps per pass; groups are dealt out among them.
    pub mini_batches: u32,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the schedule.
    pub lr_scheduler_type: SchedulerType,
    /// Share of the steps spent warming up.
    pub warmup_ratio: f64,
    /// Stop once this many rollouts are billed, all kinds counted; absent: only `steps` counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rollouts: Option<u64>,
    /// Evaluate every so many steps, and before the first and after the last.
    pub eval_steps: u64,
    /// Evaluation tasks used, from the front; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_eval_tasks: Option<usize>,
    /// Samples per evaluation task.
    pub eval_samples: u32,
    /// Temperature of evaluation samples; 0: greedy.
    pub eval_temperature: f64,
    /// Checkpoint every so many steps; the last one is kept.
    pub save_steps: u64,
    /// What `rollouts.jsonl` holds.
    pub log_completions: CompletionLog,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts_per_step: 16,
            num_generations: 8,
            max_completion_length: 32,
            temperature: 1.0,
            num_iterations: 1,
            mini_batches: 1,
            learning_rate: 1e-3,
            lr_scheduler_type: SchedulerType::Constant,
            warmup_ratio: 0.0,
            max_rollouts: None,
            eval_steps: 10,
            num_eval_tasks: None,
            eval_samples: 1,
            eval_temperature: 1.0,
            save_steps: 10,
            log_completions: CompletionLog::First,
        }
    }
}

impl RunConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let at_least_1 = [
            ("steps", self.steps),
            ("prompts_per_step", self.prompts_per_step as u64),
            ("num_generations", u64::from(self.num_generations)),
            ("max_completion_length", self.max_completion_length as u64),
            ("num_iterations", u64::from(self.num_iterations)),
            ("mini_batches", u64::from(self.mini_batches)),
            ("eval_steps", self.eval_steps),
            ("eval_samples", u64::from(self.eval_samples)),
            ("save_steps", self.save_steps),
            ("max_rollouts", self.max_rollouts.unwrap_or(1)),
            ("num_eval_tasks", self.num_eval_tasks.unwrap_or(1) as u64),
        ];
        for (key, value) in at_least_1 {
            ParamError::check(value >= 1, key, value, ">= 1")?;
        }
        let (hot, eval) = (self.temperature, self.eval_temperature);
        ParamError::check(
            hot > 0.0 && hot.is_finite(),
            "temperature",
            hot,
            "a finite number > 0",
        )?;
        ParamError::check_coefficient("eval_temperature", eval)?;
        let fits = u64::from(self.mini_batches) <= self.prompts_per_step as u64;
        let range = format!("at most prompts_per_step {}", self.prompts_per_step);
        ParamError::check(fits, "mini_batches", self.mini_batches, &range)?;
        self.schedule().map(|_| ())
    }

    /// The learning-rate schedule.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn schedule(&self) -> Result<Ramp, ParamError> {
        let rate = self.learning_rate;
        ParamError::check_coefficient("learning_rate", rate)?;
        let shape = match self.lr_scheduler_type {
            SchedulerType::Constant => Shape::Constant,
            SchedulerType::Linear => Shape::Linear,
            SchedulerType::Cosine => Shape::Cosine,
        };
        Ramp::new(rate, shape, self.warmup_ratio, 0.0)
    }

    /// Rollouts of a generation batch.
    pub fn budget(&self) -> u32 {
        self.prompts_per_step as u32 * self.num_generations
    }
}

/// Supervised start on demonstrations: minimises `-mean logp` of the world's reference texts.
///
/// The resulting weights are cached by the content hash of everything they depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmStartConfig {
    /// Optimizer steps.
    pub steps: u64,
    /// Demonstrations per step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the schedule.
    pub lr_scheduler_type: SchedulerType,
    /// Share of the steps spent warming up.
    pub warmup_ratio: f64,
}

impl Default for WarmStartConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            batch_size: 64,
            learning_rate: 1e-3,
            lr_scheduler_type: SchedulerType::Constant,
            warmup_ratio: 0.1,
        }
    }
}

impl WarmStartConfig {
    /// Checks every value and gives the schedule.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn schedule(&self) -> Result<Ramp, ParamError> {
        ParamError::check(self.steps >= 1, "steps", self.steps, ">= 1")?;
        ParamError::check(self.batch_size >= 1, "batch_size", self.batch_size, ">= 1")?;
        let run = RunConfig {
            learning_rate: self.learning_rate,
            lr_scheduler_type: self.lr_scheduler_type,
            warmup_ratio: self.warmup_ratio,
            ..RunConfig::default()
        };
        run.schedule()
    }
}
