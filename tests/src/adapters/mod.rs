//! One adapter per method: a case in, the method's own numbers out.
//!
//! To add one: a file in this folder with `pub(super) fn run(case: &Case) -> Result<Answer, Fault>`, and two
//! lines here.  Read every parameter the specification names with its default there, then `finish` the
//! parameters, so that a case which sets an unknown one fails instead of passing by luck.

mod action_grouping;
mod aepo;
mod answers;
mod arpo_replay;
mod baselines;
mod conciser;
mod craft_gui;
mod cures;
mod curriculum_length;
mod disco;
mod dr_irl;
mod e_grpo;
mod flow_grpo;
mod gcpo;
mod gigpo;
mod grao;
mod grpo_d;
mod gtpo;
mod gui_critic_r1;
mod hi_agent;
mod hrpo;
mod knapsack_rl;
mod listener_reward;
mod llds;
mod m_grpo;
mod multi_objective_grpo;
mod multirole_r1;
mod off_policy_reinforce;
mod open_rs;
mod otc_po;
mod p3o;
mod prefix_grouper;
mod pta_grpo;
mod rank_grpo;
mod reg_grpo;
mod relative;
mod reward_ensembles;
mod salt;
mod sari;
mod scaf_grpo;
mod seagent;
mod seed_grpo;
mod seele;
mod srpo;
mod step_grpo;
mod temporal_r1;
mod tempsamp_r1;
mod thinking_sparks;
mod ton;
mod training_free_grpo;
mod ttrv;
mod tw_grpo;
mod uav_vl_r1;
mod unlikeliness;
mod vade;
mod vas;
mod vgc_bench;
mod video_com;
mod vlaa_thinker;
mod wirelessmathlm;

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::Spread;

use crate::{Answer, Case, Fault};

/// Runs one case of a method.
pub type Adapter = fn(&Case) -> Result<Answer, Fault>;

/// Every adapter, by the slug of its golden file.
const ADAPTERS: &[(&str, Adapter)] = &[
    ("baselines", baselines::run),
    ("knapsack-rl", knapsack_rl::run),
    ("rank-grpo", rank_grpo::run),
    ("grpo-d", grpo_d::run),
    ("seagent", seagent::run),
    ("curriculum-length", curriculum_length::run),
    ("vade", vade::run),
    ("cures", cures::run),
    ("vas", vas::run),
    ("seed-grpo", seed_grpo::run),
    ("dr-irl", dr_irl::run),
    ("unlikeliness", unlikeliness::run),
    ("open-rs", open_rs::run),
    ("video-com", video_com::run),
    ("uav-vl-r1", uav_vl_r1::run),
    ("gcpo", gcpo::run),
    ("gtpo", gtpo::run),
    ("tempsamp-r1", tempsamp_r1::run),
    ("tw-grpo", tw_grpo::run),
    ("ton", ton::run),
    ("gigpo", gigpo::run),
    ("salt", salt::run),
    ("hrpo", hrpo::run),
    ("flow-grpo", flow_grpo::run),
    ("hi-agent", hi_agent::run),
    ("m-grpo", m_grpo::run),
    ("step-grpo", step_grpo::run),
    ("disco", disco::run),
    ("reg-grpo", reg_grpo::run),
    ("off-policy-reinforce", off_policy_reinforce::run),
    ("llds", llds::run),
    ("p3o", p3o::run),
    ("aepo", aepo::run),
    ("grao", grao::run),
    ("srpo", srpo::run),
    ("vlaa-thinker", vlaa_thinker::run),
    ("pta-grpo", pta_grpo::run),
    ("gui-critic-r1", gui_critic_r1::run),
    ("seele", seele::run),
    ("scaf-grpo", scaf_grpo::run),
    ("arpo-replay", arpo_replay::run),
    ("craft-gui", craft_gui::run),
    ("sari", sari::run),
    ("temporal-r1", temporal_r1::run),
    ("action-grouping", action_grouping::run),
    ("otc-po", otc_po::run),
    ("e-grpo", e_grpo::run),
    ("conciser", conciser::run),
    ("multi-objective-grpo", multi_objective_grpo::run),
    ("reward-ensembles", reward_ensembles::run),
    ("listener-reward", listener_reward::run),
    ("ttrv", ttrv::run),
    ("multirole-r1", multirole_r1::run),
    ("wirelessmathlm", wirelessmathlm::run),
    ("training-free-grpo", training_free_grpo::run),
    ("vgc-bench", vgc_bench::run),
    ("thinking-sparks", thinking_sparks::run),
    ("prefix-grouper", prefix_grouper::run),
];

/// The group-relative block with a mean and this deviation; a case may name the sample or the population one.
fn relative(spread: Spread, eps: f64) -> Result<GroupRelative, Fault> {
    if !matches!(spread, Spread::Sample | Spread::Population) {
        return Err(Fault::refused("`std` must be sample or population"));
    }
    Ok(GroupRelative::new(GroupRelativeConfig {
        spread,
        eps,
        ..GroupRelativeConfig::default()
    })?)
}

/// The adapter of a slug.
pub fn find(slug: &str) -> Option<Adapter> {
    ADAPTERS
        .iter()
        .find(|(name, _)| *name == slug)
        .map(|(_, run)| *run)
}
