//! Questions to the user, as they go over the wire.

use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitationSchema, InputRequest, InputRequests,
    InputRequiredResult,
};
use url::Url;

use crate::protect::clean;

/// One question in URL mode (P26); what the user decides there is looked up by us when the client comes back.
pub(super) fn link(url: &Url, message: &str) -> ElicitRequestParams {
    ElicitRequestParams::UrlElicitationParams {
        meta: None,
        message: clean(message).into_owned(),
        url: url.as_str().to_owned(),
        elicitation_id: String::new(),
    }
}

/// A form of a tool (P25). None where its schema is none that the SDK can send, which was seen before it came this far.
pub(super) fn form(message: &str, schema: &str) -> Option<ElicitRequestParams> {
    let requested_schema: ElicitationSchema = serde_json::from_str(schema)
        .inspect_err(|_| tracing::error!("a form that was taken cannot be written"))
        .ok()?;
    Some(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: clean(message).into_owned(),
        requested_schema,
    })
}

/// One question under its key; the call comes back with the answer and the state.
pub(super) fn input_required(
    key: &str,
    params: ElicitRequestParams,
    state: String,
) -> InputRequiredResult {
    let question = InputRequest::Elicitation(ElicitRequest::new(params));
    let questions = InputRequests::from([(key.to_owned(), question)]);
    InputRequiredResult::new(Some(questions), Some(state))
}
