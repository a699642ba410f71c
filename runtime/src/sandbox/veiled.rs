//! What a guest answers, without the secrets that its call lent to its requests.

use super::outcome::{Ending, Reply};
use crate::dialogue::{Asked, Question};
use crate::protect::Lent;

/// Why a reply is not shown.
const NUMBER: &str = "it holds a secret of this server as a number";

/// The same ending, in which no secret can be read.
pub(super) fn veiled(ending: Ending, lent: &Lent) -> Ending {
    let text = |text: String| lent.text(&text).into_owned();
    match ending {
        Ending::Replied(reply) => match of_reply(reply, lent) {
            Some(reply) => Ending::Replied(reply),
            None => Ending::ReplyWithheld(NUMBER.to_owned()),
        },
        Ending::InvalidArguments(why) => Ending::InvalidArguments(text(why)),
        Ending::Denied(why) => Ending::Denied(text(why)),
        Ending::Failed(why) => Ending::Failed(text(why)),
        Ending::ReplyInvalid(why) => Ending::ReplyInvalid(text(why)),
        Ending::ReplyWithheld(why) => Ending::ReplyWithheld(text(why)),
        Ending::Asked(asked) => {
            let Asked { question, answered } = *asked;
            Ending::Asked(Box::new(Asked {
                question: Question {
                    message: text(question.message),
                    schema: text(question.schema),
                    ..question
                },
                answered,
            }))
        }
        Ending::Fault(detail) => Ending::Fault(text(detail)),
        Ending::AskedOtherwise
        | Ending::CalleeAsks(_)
        | Ending::Trapped
        | Ending::Exited
        | Ending::Lost
        | Ending::OutOfTime
        | Ending::OutOfBounds
        | Ending::ReplyTooLarge
        | Ending::Cancelled
        | Ending::Revoked
        | Ending::Overloaded => ending,
    }
}

/// None where something that cannot be masked holds one.
fn of_reply(reply: Reply, lent: &Lent) -> Option<Reply> {
    let mut structured = reply.structured;
    let fits = structured.as_mut().is_none_or(|value| lent.json(value));
    let mut text = |text: String| lent.text(&text).into_owned();
    let mut bytes = |bytes: Vec<u8>| lent.bytes(&bytes).unwrap_or(bytes);
    let content = reply.content.into_iter();
    let content = content.map(|one| one.map(&mut text, &mut bytes)).collect();
    fits.then_some(Reply {
        content,
        structured,
        masked: reply.masked,
        encrypted: reply.encrypted,
        marked: reply.marked,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::protect::SecretValue;
    use crate::sandbox::{Body, Content};

    const VALUE: &str = "canary-value-71";

    fn lent() -> Lent {
        let lent = Lent::default();
        let value = SecretValue::of(VALUE.as_bytes()).unwrap();
        lent.add(&"tracker".parse().unwrap(), &Arc::new(value));
        lent
    }

    fn everywhere() -> Reply {
        let text = || format!("a {VALUE} b");
        let some = || Some(text());
        let resource = |body| Content::Resource {
            uri: text(),
            mime_type: some(),
            body,
        };
        let bytes = || text().into_bytes();
        Reply {
            content: vec![
                Content::Text(text()),
                Content::Image {
                    data: bytes(),
                    mime_type: text(),
                },
                Content::Audio {
                    data: bytes(),
                    mime_type: text(),
                },
                Content::Link {
                    uri: text(),
                    name: text(),
                    title: some(),
                    description: some(),
                    mime_type: some(),
                    size: None,
                },
                resource(Body::Text(text())),
                resource(Body::Blob(bytes())),
            ],
            structured: Some(json!({"to": text(), VALUE: [text(), {"a": VALUE}]})),
            masked: Default::default(),
            encrypted: Default::default(),
            marked: Default::default(),
        }
    }

    #[test]
    fn a_reply_is_masked_wherever_a_secret_can_stand() {
        let lent = lent();
        let Ending::Replied(reply) = veiled(Ending::Replied(everywhere()), &lent) else {
            panic!()
        };
        let shown = reply.said();
        assert!(!shown.contains(VALUE), "{shown}");
        assert_eq!(shown.matches("a *************** b").count(), 18, "{shown}");
        assert_eq!(lent.masked()[&"tracker".parse().unwrap()], 20);
    }

    #[test]
    fn without_a_secret_a_reply_is_as_it_was() {
        let kept = veiled(Ending::Replied(everywhere()), &Lent::default());
        let Ending::Replied(kept) = kept else {
            panic!()
        };
        assert_eq!(kept, everywhere());
    }

    #[test]
    fn every_text_of_an_ending_is_masked() {
        let lent = lent();
        let question = Question {
            digest: crate::ids::Digest::of(b""),
            message: VALUE.to_owned(),
            schema: format!("{{\"title\":\"{VALUE}\"}}"),
            again: false,
        };
        let asked = Asked {
            question,
            answered: Vec::new(),
        };
        for ending in [
            Ending::InvalidArguments(VALUE.to_owned()),
            Ending::Denied(VALUE.to_owned()),
            Ending::Failed(VALUE.to_owned()),
            Ending::ReplyInvalid(VALUE.to_owned()),
            Ending::ReplyWithheld(VALUE.to_owned()),
            Ending::Fault(VALUE.to_owned()),
        ] {
            let ending = veiled(ending, &lent);
            let shown = ending.said();
            assert!(!shown.contains(VALUE) && shown.contains("****"), "{shown}");
        }
        let Ending::Asked(asked) = veiled(Ending::Asked(Box::new(asked)), &lent) else {
            panic!()
        };
        assert!(!asked.question.message.contains(VALUE) && !asked.question.schema.contains(VALUE));
    }

    #[test]
    fn a_number_that_is_a_secret_is_not_shown() {
        let lent = Lent::default();
        let value = SecretValue::of(b"1234567890").unwrap();
        lent.add(&"pin".parse().unwrap(), &Arc::new(value));
        let reply = |structured| {
            Ending::Replied(Reply {
                structured: Some(structured),
                ..Reply::default()
            })
        };
        let withheld = veiled(reply(json!({"n": [1_234_567_890]})), &lent);
        assert!(matches!(withheld, Ending::ReplyWithheld(_)), "{withheld:?}");
        let shown = veiled(reply(json!({"n": [123_456_789]})), &lent);
        assert!(matches!(shown, Ending::Replied(_)), "{shown:?}");
    }
}
