//! What a guest is told of its user: the claims that its call was granted, one by one, for as long as the grant lives.
//!
//! Scope, limit, act, record. Of the token there is nothing here but these values.

use super::meter::Meter;
use crate::capability::ClaimName;
use crate::limits::CLAIM_VALUE_BYTES_MAX;
use crate::revocation::Live;
use crate::sandbox::Effect;

/// The tool is not granted this claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the call has no grant for this claim")]
pub struct Untold;

/// What could be told: the pseudonym and the claims of one call, as texts. Made for the grant, so it holds nothing else.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Told(Vec<(ClaimName, String)>);

impl Told {
    /// These values: JSON texts, and the pseudonym as it is.
    pub fn new(values: Vec<(ClaimName, String)>) -> Self {
        Self(values)
    }

    fn of(&self, name: &ClaimName) -> Option<&str> {
        let known = self.0.iter().find(|(one, _)| one == name);
        known.map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for Told {
    /// Names; what a token says of a user gets into no log.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Tells a guest what it may know.
#[derive(Debug)]
pub struct Teller {
    scopes: Vec<(ClaimName, Live)>,
    told: Told,
    meter: Meter,
}

impl Teller {
    /// Of these claims, as far as there is something to tell.
    pub fn new(scopes: Vec<(ClaimName, Live)>, told: Told, meter: Meter) -> Self {
        Self {
            scopes,
            told,
            meter,
        }
    }

    /// The pseudonym of the user.
    pub fn subject(&self) -> Result<String, Untold> {
        let value = self.tell(|name| name.is_pseudonym())?;
        value.ok_or(Untold)
    }

    /// One claim, as the text of its value.
    pub fn claim(&self, name: &str) -> Result<Option<String>, Untold> {
        self.tell(|one| !one.is_pseudonym() && one.as_str() == name)
    }

    fn tell(&self, is_it: impl Fn(&ClaimName) -> bool) -> Result<Option<String>, Untold> {
        // scope
        let Some((name, live)) = self.scopes.iter().find(|(name, _)| is_it(name)) else {
            // A guest may invent names; none of its inventions gets into a record.
            self.record("claims (refused)".to_owned(), true, 0);
            return Err(Untold);
        };
        // limit and act
        let value = live.pass(|| {
            let value = self.told.of(name);
            let fits = value.filter(|value| value.len() <= CLAIM_VALUE_BYTES_MAX);
            fits.map(str::to_owned)
        });
        // record: sizes, not values
        let size = value.as_ref().ok().and_then(|value| value.as_ref());
        let size = size.map_or(0, String::len);
        self.record(format!("claims {name}"), value.is_err(), size);
        value.map_err(|_| Untold)
    }

    fn record(&self, effect: String, refused: bool, received: usize) {
        // What is told can be told again.
        self.meter.note(
            effect,
            Effect {
                count: 1,
                refused: u64::from(refused),
                bytes_out: 0,
                bytes_in: u64::try_from(received).unwrap_or(u64::MAX),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ClaimName {
        text.parse().unwrap()
    }

    fn teller(scopes: &[&str]) -> (Teller, Meter) {
        let told = Told::new(vec![
            (name("subject"), "0f".to_owned()),
            (name("email"), "\"a@b.example\"".to_owned()),
            (name("picture"), "x".repeat(CLAIM_VALUE_BYTES_MAX + 1)),
        ]);
        let scopes = scopes.iter().map(|one| (name(one), Live::free())).collect();
        let meter = Meter::default();
        (Teller::new(scopes, told, meter.clone()), meter)
    }

    #[test]
    fn a_granted_claim_is_told_and_no_other() {
        let (teller, meter) = teller(&["email", "name", "picture"]);
        assert_eq!(
            teller.claim("email"),
            Ok(Some("\"a@b.example\"".to_owned()))
        );
        assert_eq!(teller.claim("name"), Ok(None), "the token does not have it");
        assert_eq!(teller.claim("picture"), Ok(None), "it is too large");
        for other in ["subject", "EMAIL", "email ", "jti", "sub", ""] {
            assert_eq!(teller.claim(other), Err(Untold), "{other}");
        }
        assert_eq!(teller.subject(), Err(Untold));
        let recorded = meter.snapshot();
        assert_eq!(recorded["claims (refused)"].count, 7);
        assert_eq!(recorded["claims email"].bytes_in, 13);
        assert!(!meter.has_acted());
    }

    #[test]
    fn the_pseudonym_is_no_claim() {
        let (teller, _) = teller(&["subject"]);
        assert_eq!(teller.subject().as_deref(), Ok("0f"));
        assert_eq!(teller.claim("subject"), Err(Untold));
        assert_eq!(teller.claim("email"), Err(Untold));
    }

    #[test]
    fn what_can_be_told_stays_out_of_logs() {
        let (teller, _) = teller(&["email"]);
        assert!(!format!("{teller:?}").contains("b.example"));
    }
}
