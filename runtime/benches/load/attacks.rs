//! The attacks of the soak, and how each of them ends: an answer that says something else is none.

use serde_json::Value;

/// How a call ended, by what its caller reads.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Replied,
    OutOfTime,
    Trapped,
    Exited,
    OutOfBounds,
    ReplyTooLarge,
    ReplyInvalid,
}

impl End {
    /// What the answer says, if it is no reply.
    fn says(self) -> Option<&'static str> {
        match self {
            Self::Replied => None,
            Self::OutOfTime => Some("did not answer in time"),
            Self::Trapped => Some("the tool crashed"),
            Self::Exited => Some("ended without a reply"),
            Self::OutOfBounds => Some("in one host call than it may have"),
            Self::ReplyTooLarge => Some("larger than a reply may be"),
            Self::ReplyInvalid => Some("is not what it promises"),
        }
    }

    /// Whether this answer says so.
    pub fn is_of(self, answer: &Value) -> bool {
        let is_error = answer.pointer("/result/isError").and_then(Value::as_bool);
        let text = answer.pointer("/result/content/0/text");
        match self.says() {
            None => answer.pointer("/result/content").is_some() && is_error != Some(true),
            Some(says) => {
                let said = text.and_then(Value::as_str);
                is_error == Some(true) && said.is_some_and(|said| said.contains(says))
            }
        }
    }
}

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// The name of its guest.
    pub name: &'static str,
    /// The endings that are right, as in `guests.toml`.
    ends: &'static [End],
}

impl Attack {
    /// Whether this answer is one of those to it.
    pub fn ended_by(&self, answer: &Value) -> bool {
        self.ends.iter().any(|end| end.is_of(answer))
    }
}

const fn attack(name: &'static str, ends: &'static [End]) -> Attack {
    Attack { name, ends }
}

/// Those that need nothing from outside.
pub const ATTACKS: [Attack; 18] = [
    attack("spin", &[End::OutOfTime]),
    attack("host_call_loop", &[End::OutOfTime]),
    attack("bulk_fill", &[End::OutOfTime]),
    attack("memory_grow", &[End::Replied, End::OutOfBounds]),
    attack("trap", &[End::Trapped]),
    attack("panic", &[End::Trapped]),
    attack("exit", &[End::Exited]),
    attack("recurse", &[End::Trapped]),
    attack("recurse_memory", &[End::Trapped]),
    attack(
        "reply_flood",
        &[End::ReplyTooLarge, End::Trapped, End::OutOfBounds],
    ),
    attack(
        "reply_blocks",
        &[End::ReplyTooLarge, End::Trapped, End::OutOfBounds],
    ),
    attack("reply_not_json", &[End::ReplyInvalid]),
    attack("log_flood", &[End::Replied, End::OutOfTime]),
    attack("stdout_flood", &[End::Replied, End::OutOfTime]),
    attack("handle_loop", &[End::OutOfBounds, End::Trapped]),
    attack("random_flood", &[End::Trapped, End::OutOfBounds]),
    attack("poll_list", &[End::OutOfBounds, End::Trapped]),
    attack("residue_memory", &[End::Replied]),
];
