//! One folder per world: `mod.rs` holds the rules, `tasks.rs` the generator.

pub mod action_classes;
pub mod answer_pools;
pub mod answer_twice;
pub mod category_arms;
pub mod class_points;
pub mod digit_chain;
pub mod digit_completion;
pub mod effort_choice;
pub mod fact_chain;
pub mod interval_bins;
pub mod menu_screens;
pub mod opinion_table;
pub mod plan_choice;
pub mod reply_labels;
pub mod running_sum;
pub mod skill_chain;
pub mod trace_answer;
pub mod trace_dialects;

use groupwise_core::registry;
use groupwise_core::seams::World;

use crate::WorldContext;

registry! {
    /// Every world, as it stands in a recipe.
    ///
    /// # Example
    /// ```
    /// use groupwise_env::{WorldContext, WorldSpec};
    /// use groupwise_core::{Key, Stream};
    ///
    /// let spec: WorldSpec = serde_json::from_str(r#"{"digit-chain": {"n_tasks": 16, "max_carries": 4}}"#)?;
    /// let world = spec.build(&WorldContext::default())?;
    /// let tasks = world.train_tasks(Key::new(7, Stream::Tasks))?;
    /// assert_eq!(tasks.len(), 16);
    /// assert_eq!(tasks[3].difficulty, 4.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub enum WorldSpec => dyn World, WorldContext {
        /// Addition written out digit by digit; difficulty is the number of carries.
        DigitChain = "digit-chain": digit_chain::DigitChainConfig,
        /// Continuation of an arithmetic progression modulo a number.
        DigitCompletion = "digit-completion": digit_completion::DigitCompletionConfig,
        /// Tabular chain of skills shared by all tasks.
        SkillChain = "skill-chain": skill_chain::SkillChainConfig,
        /// Tabular spans, scored by overlap.
        IntervalBins = "interval-bins": interval_bins::IntervalBinsConfig,
        /// Tabular bandit whose many actions fall into few classes.
        ActionClasses = "action-classes": action_classes::ActionClassesConfig,
        /// Sum of digits modulo a number, with or without the sums on the way.
        RunningSum = "running-sum": running_sum::RunningSumConfig,
        /// Tabular choice of how many calls or tokens an answer spends.
        EffortChoice = "effort-choice": effort_choice::EffortChoiceConfig,
        /// Tabular chain of facts, every one to be named.
        FactChain = "fact-chain": fact_chain::FactChainConfig,
        /// Tabular choice of a plan, then of a way to carry it out.
        PlanChoice = "plan-choice": plan_choice::PlanChoiceConfig,
        /// Pools of answers with a true reward and an ensemble of learned ones.
        AnswerPools = "answer-pools": answer_pools::AnswerPoolsConfig,
        /// Points whose class a linear policy names.
        ClassPoints = "class-points": class_points::ClassPointsConfig,
        /// Screens of buttons on which a linear critic judges a proposed click.
        MenuScreens = "menu-screens": menu_screens::MenuScreensConfig,
        /// Tabular first answer, thrown away or not, and a second one.
        AnswerTwice = "answer-twice": answer_twice::AnswerTwiceConfig,
        /// Tabular trace that a listener reads, and an answer.
        TraceAnswer = "trace-answer": trace_answer::TraceAnswerConfig,
        /// Tabular replies of words under several labels.
        ReplyLabels = "reply-labels": reply_labels::ReplyLabelsConfig,
        /// Questions that roles answer differently, in replies of several voices.
        OpinionTable = "opinion-table": opinion_table::OpinionTableConfig,
        /// Sums of digits, reasoned about in a native dialect or an expert's.
        TraceDialects = "trace-dialects": trace_dialects::TraceDialectsConfig,
        /// Contextual bandits of common and of rare categories.
        CategoryArms = "category-arms": category_arms::CategoryArmsConfig,
    }
}
