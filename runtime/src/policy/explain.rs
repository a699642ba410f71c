//! Every step of a decision, for people: which rules decided it, and how far they let it go.

use super::{Caller, Ceilings, Circumstances, Rules, Step, Tool, demanded};
use crate::capability::Capability;

impl Rules {
    /// What each of the rules that decided a step bounds.
    pub fn bounds_of<'a>(
        &'a self,
        step: &'a Step,
    ) -> impl Iterator<Item = (&'a str, &'a Ceilings)> {
        let bounding = |rule: &'a String| Some((rule.as_str(), self.ceilings.get(rule)?));
        step.rules.iter().filter_map(bounding)
    }

    /// Every step of the decision, whatever the earlier ones say.
    pub fn explain<'a>(
        &self,
        caller: &Caller,
        tool: &Tool,
        call: impl Into<Circumstances<'a>>,
    ) -> Vec<Step> {
        let call = call.into();
        let uses = tool.needs().flat_map(|need| need.capabilities.iter());
        let called = self.call_step(caller, tool, call);
        let of_call = self.bounds(&called.rules);
        let mut steps = vec![self.list_step(caller, tool), called];
        steps.extend(uses.map(|capability| {
            let mut step = self.use_step(caller, tool, capability, call.now);
            let bounds = of_call.meet(&self.bounds(&step.rules));
            if step.allowed && !bounds.allows(capability) {
                step.allowed = false;
                let (own, tier) = (capability.tier(), bounds.raised(capability.tier()));
                let raised = if own == tier { "" } else { " by the rules" };
                let is = match capability {
                    Capability::Data(class) if bounds.allows_tier(own) => {
                        format!("it is of class `{class}`")
                    }
                    _ => format!("it is of tier {tier:?}{raised}"),
                };
                step.errors = vec![format!("{is}, and the rules bound it: {bounds}")];
            }
            step
        }));
        if let Err(refusal) = demanded(caller, tool) {
            steps.insert(
                0,
                Step {
                    question: "requires".to_owned(),
                    allowed: false,
                    rules: Vec::new(),
                    errors: vec![refusal.to_string()],
                    erred: Vec::new(),
                },
            );
        }
        steps
    }
}
