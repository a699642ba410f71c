//! What one request of a guest carries: judged when the request is admitted, attached when it is sent, and masked in what
//! comes back.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};
use zeroize::Zeroizing;

use super::body::Veiled;
use super::sign::{BodyDigest, Manner, SignError, sign};
use super::value::{AccessKey, Value};
use super::whole::whole;
use super::{Bound, Lender, Lending, Values};
use crate::capability::{PathPrefix, Secret, SecretForm};
use crate::egress::{Admitted, EgressError, Reason};
use crate::problem::caused;
use crate::protect::{Lent, SecretValue};
use crate::revocation::Live;
use crate::sandbox::Effect;

/// The secrets that one request carries.
pub struct Loan {
    lending: Option<Arc<Lending>>,
    lent: Lent,
    due: Vec<Due>,
}

struct Due {
    secret: Secret,
    bound: Arc<Bound>,
    live: Live,
}

impl Lender {
    /// What an admitted request carries. Refused where a grant says that it carries a secret and it cannot: without its secret
    /// it would be another request.
    pub fn loan(
        &self,
        admitted: &Admitted,
        granted: &PathPrefix,
        fields: &HeaderMap,
    ) -> Result<Loan, EgressError> {
        let mut due: Vec<Due> = Vec::new();
        let lending = self.lending.as_ref();
        let scopes = lending.iter().flat_map(|lending| lending.scopes.iter());
        for (secret, live) in scopes {
            if !admitted.is_at(&secret.at) {
                continue;
            }
            let withheld = |why| Reason::SecretWithheld {
                secret: secret.name.clone(),
                why,
            };
            if live.is_revoked() {
                return Err(withheld("its consent was revoked").into());
            }
            let bound = lending.and_then(|lending| lending.secrets.bound(secret));
            let Some(bound) = bound else {
                return Err(withheld("no `[[secret]]` binds it for this host and form").into());
            };
            if !admitted.is_private() {
                return Err(withheld("the host is asked in plain text").into());
            }
            let form = &secret.form;
            let set = form.fields().any(|field| fields.contains_key(field))
                || form.parameters().any(|name| admitted.has_query(name));
            if set {
                return Err(withheld("the request sets its field itself").into());
            }
            // Such a field names an object elsewhere, which the service then reads or removes in the operator's name.
            let elsewhere = fields
                .keys()
                .any(|name| form.leads_elsewhere(name.as_str()));
            if elsewhere && !granted.is_root() {
                return Err(
                    withheld("a field of it leads beyond the path that was granted").into(),
                );
            }
            if due
                .iter()
                .any(|other| collide(&other.secret.form, &secret.form))
            {
                return Err(withheld("another secret has the same field").into());
            }
            due.push(Due {
                secret: secret.clone(),
                bound: Arc::clone(bound),
                live: live.clone(),
            });
        }
        // What is signed is what will be sent: everything else is put in before.
        due.sort_by_key(|due| due.secret.form.signs());
        Ok(Loan {
            lending: lending.cloned(),
            lent: self.lent.clone(),
            due,
        })
    }
}

fn collide(one: &SecretForm, other: &SecretForm) -> bool {
    let field = |field: &str| other.fields().any(|taken| taken == field);
    let parameter = |name: &str| {
        let mut taken = other.parameters();
        taken.any(|taken| taken.eq_ignore_ascii_case(name))
    };
    one.fields().any(field) || one.parameters().any(parameter)
}

impl Loan {
    /// For how long the request may go on: as long as its own consent, and that of every secret in it.
    pub fn live(&self, request: Live) -> Live {
        let due = self.due.iter().map(|due| due.live.clone());
        // In one order in every call: first what allows the request, then what it carries.
        due.fold(request, Live::both)
    }

    /// The body as it is sent: as it comes, or whole and with its digest where the request is signed.
    pub async fn body(
        &self,
        body: WasiBody,
        left: u64,
    ) -> Result<(WasiBody, Option<BodyDigest>), EgressError> {
        if !self.due.iter().any(|due| due.secret.form.signs()) {
            return Ok((body, None));
        }
        let (body, digest) = whole(body, left).await?;
        Ok((body, Some(digest)))
    }

    /// Puts the secrets into the request, and signs it by the digest of its body. To be driven inside the gate of
    /// [`Loan::live`].
    pub async fn attach(
        &self,
        mut admitted: Admitted,
        mut fields: HeaderMap,
        body: Option<&BodyDigest>,
    ) -> Result<(Admitted, HeaderMap), EgressError> {
        let Some(lending) = self.lending.as_ref().filter(|_| !self.due.is_empty()) else {
            return Ok((admitted, fields));
        };
        for due in &self.due {
            let name = &due.secret.name;
            let values = due.bound.values(&lending.holder).await.map_err(|error| {
                tracing::error!(secret = %name, error = %caused(&error), "a secret cannot be read, so a request is not sent");
                EgressError::SecretUnavailable
            })?;
            // Before anybody is told it, so that no answer is faster than the veil.
            for value in values.all().flat_map(|value| value.hidden()) {
                self.lent.add(name, value);
            }
            admitted = match &*values.now {
                Value::Text(value) => due.put(admitted, &mut fields, value.expose())?,
                Value::Key(key) => {
                    let signature = due.sign(&admitted, &mut fields, key, body)?;
                    self.lent.add(name, &Arc::new(signature));
                    admitted
                }
            };
            let once = Effect {
                count: 1,
                ..Effect::default()
            };
            let at = &due.secret.at;
            lending.meter.record(format!("secret {name} {at}"), once);
        }
        // What comes back is searched, so it must come whole. What is compressed is decompressed before.
        fields.remove(RANGE);
        fields.remove(IF_RANGE);
        Ok((admitted, fields))
    }

    /// What comes back, without what was lent.
    pub fn veil<P>(
        &self,
        answer: Result<(Response<WasiBody>, P), Error>,
    ) -> Result<(Response<WasiBody>, P), Error> {
        match self.lending {
            None => answer,
            Some(_) => veil(&self.lent, answer),
        }
    }
}

/// An answer in which nothing of this can be read, from now on and whatever is added to it meanwhile.
pub(in crate::host) fn veil<P>(
    lent: &Lent,
    answer: Result<(Response<WasiBody>, P), Error>,
) -> Result<(Response<WasiBody>, P), Error> {
    let (mut response, rest) = answer?;
    veil_fields(lent, response.headers_mut());
    let lent = lent.clone();
    let response = response.map(|body| Veiled::new(body, lent).boxed_unsync());
    Ok((response, rest))
}

impl Values {
    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.before.iter().chain([&self.now])
    }
}

impl Due {
    /// Puts in a signature, and gives it back: whoever has it can make this one request again, for as long as its time is near.
    fn sign(
        &self,
        admitted: &Admitted,
        fields: &mut HeaderMap,
        key: &AccessKey,
        body: Option<&BodyDigest>,
    ) -> Result<SecretValue, EgressError> {
        let withheld = |error: SignError| {
            let name = &self.secret.name;
            tracing::error!(secret = %name, error = %caused(&error), "a request cannot be signed, so it is not sent");
            match error {
                SignError::Field => EgressError::RequestMalformed("a field of it cannot be signed"),
                SignError::Request => EgressError::RequestMalformed("it cannot be signed"),
                SignError::Time => EgressError::SecretUnavailable,
            }
        };
        let (Some(scope), Some(body)) = (&self.bound.aws, body) else {
            return Err(withheld(SignError::Request));
        };
        let manner = Manner::of(&scope.service);
        let line = admitted.line();
        let now = self.bound.clock.now();
        let signed = sign(key, scope, manner, (&line, fields, body), now).map_err(withheld)?;
        for (name, value) in signed.fields {
            fields.insert(name, value);
        }
        Ok(signed.signature)
    }

    fn put(
        &self,
        admitted: Admitted,
        fields: &mut HeaderMap,
        value: &str,
    ) -> Result<Admitted, EgressError> {
        let malformed = |_| EgressError::RequestMalformed("a secret cannot stand in its field");
        let (name, text) = match &self.secret.form {
            SecretForm::Query(name) => return admitted.with_query(name, value),
            SecretForm::Bearer => ("authorization", Zeroizing::new(format!("Bearer {value}"))),
            SecretForm::Basic => {
                let pair = Zeroizing::new(format!("{}:{value}", self.bound.user));
                let letters = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                (
                    "authorization",
                    Zeroizing::new(format!("Basic {}", *letters)),
                )
            }
            SecretForm::Header(name) => (name.as_str(), Zeroizing::new(value.to_owned())),
            // Its value is an access key and no text.
            SecretForm::AwsSigV4 => return Err(EgressError::SecretUnavailable),
        };
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| EgressError::RequestMalformed("a secret has no field"))?;
        let mut text = HeaderValue::from_str(&text).map_err(malformed)?;
        text.set_sensitive(true);
        fields.insert(name, text);
        Ok(admitted)
    }
}

/// Fields in which nothing that was lent can be read. A field that is named by it is left out.
pub(super) fn veil_fields(lent: &Lent, fields: &mut HeaderMap) {
    let named = fields.keys().filter(|name| lent.is_named_in(name.as_str()));
    for name in named.cloned().collect::<Vec<_>>() {
        fields.remove(name);
    }
    for value in fields.values_mut() {
        if let Some(masked) = lent.bytes(value.as_bytes()) {
            // As many bytes, and none that a field cannot hold.
            *value = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static(""));
        }
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Loan({} secrets)", self.due.len())
    }
}
