//! What the log and a sealed state say of a caller, a tool and a run: names, sizes and digests.

use crate::audit::{DecisionFacts, EffectUse, ToolFacts, TrialFacts, Used};
use crate::catalog::Tool;
use crate::consent::StateFacts;
use crate::identity::Caller;
use crate::ids::Digest;
use crate::policy::{Observation, Permit, Refusal};
use crate::sandbox::Usage;

/// The tool as the log names it.
pub(super) fn tool_facts(tool: &Tool) -> ToolFacts {
    let package = tool.package();
    ToolFacts {
        name: tool.name().clone(),
        version: package.manifest().version.clone(),
        publisher: tool.publisher().clone(),
        component_digest: package.component_digest(),
        definition_digest: tool.definition_digest(),
        manifest_digest: package.manifest_digest(),
    }
}

/// What the rules said, and what those under trial would have changed. Names rules and questions, never a value.
pub(super) fn decision_facts(
    permit: &Result<Permit, Refusal>,
    observed: &[Observation],
    policy_digest: Digest,
) -> DecisionFacts {
    let (rules, erred) = match permit {
        Ok(permit) => (permit.rules(), &[][..]),
        Err(refusal) => (refusal.rules(), refusal.erred()),
    };
    let trial = observed.iter().map(|seen| TrialFacts {
        bounds: seen.bounds.as_ref().map(ToString::to_string),
        from: seen.decided().to_string(),
        question: seen.question.clone(),
        rules: seen.rules.clone(),
        to: seen.would.to_string(),
    });
    DecisionFacts {
        erred: erred.to_vec(),
        policy_digest,
        rules: rules.to_vec(),
        trial: trial.collect(),
    }
}

/// What a sealed state is bound to.
pub(super) fn state_facts(caller: &Caller, tool: &Tool, arguments: Digest) -> StateFacts {
    StateFacts {
        tenant: caller.tenant().clone(),
        user: caller.user().clone(),
        client: caller.client().clone(),
        tool: tool.name().clone(),
        component: tool.package().component_digest(),
        arguments,
    }
}

/// What a run took, in the words of the log.
pub(super) fn used(usage: Usage) -> Used {
    let effects = usage.effects.into_iter().map(|(name, effect)| {
        let effect = EffectUse {
            count: effect.count,
            refused: effect.refused,
            bytes_out: effect.bytes_out,
            bytes_in: effect.bytes_in,
        };
        (name, effect)
    });
    Used {
        wall_ms: u64::try_from(usage.wall.as_millis()).unwrap_or(u64::MAX),
        memory_bytes_peak: usage.memory_bytes_peak,
        reply_bytes: usage.reply_bytes,
        log_lines: usage.log_lines,
        effects: effects.collect(),
    }
}
