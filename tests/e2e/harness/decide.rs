//! What users decide, as the page would do it for them, and take back.

use std::time::Duration;

use bailiwick::clock::{Clock, SystemClock, Timestamp};
use bailiwick::consent::{Answer as Decision, Choice, PageFacts, Question, SignInFacts, TicketId};
use bailiwick::ids::{Digest, TenantUser};
use bailiwick::store::{ConsentRow, ConsentState};

use super::server::Server;

impl Server {
    /// What a link asks of this user, each capability by its text and in the order of the page.
    pub async fn asked(&self, link: &str, user: &str) -> Vec<String> {
        let (_, question) = self.question(link, user).await;
        let asked = question.asked.iter();
        asked.map(|asked| asked.capability.to_string()).collect()
    }

    /// The question behind a link, and the user as its tenant knows them.
    async fn question(&self, link: &str, user: &str) -> (TenantUser, Question) {
        let ticket = ticket(link);
        let row = self.running.store.ticket(ticket.hash()).await.unwrap();
        let who = TenantUser {
            tenant: row.unwrap().key.tenant,
            ..self.user(user)
        };
        let consents = &self.running.stages.consents;
        let question = consents.question(&ticket, &who, SystemClock.now());
        let question = question.await.unwrap();
        (who, question)
    }

    /// Decides all that a link asks, as the page would after its user signed in.
    pub async fn decide(&self, link: &str, user: &str, choice: Choice) -> bool {
        let choices = |_: &str| choice;
        self.decide_each(link, user, choices).await
    }

    /// Decides each capability that a link asks for.
    pub async fn decide_each(
        &self,
        link: &str,
        user: &str,
        choice: impl Fn(&str) -> Choice,
    ) -> bool {
        let (user, question) = self.question(link, user).await;
        let (ticket, now) = (ticket(link), SystemClock.now());
        let consents = &self.running.stages.consents;
        let answers: Vec<_> = question
            .asked
            .into_iter()
            .map(|asked| Decision {
                choice: choice(&asked.capability.to_string()),
                capability: asked.capability,
            })
            .collect();
        // Just now, and in a way that suffices for what is asked about at every call.
        let signed_in = SignInFacts {
            acr: Some("e2e".to_owned()),
            auth_time: Some(now),
            ..SignInFacts::default()
        };
        let page = PageFacts {
            digest: Digest::of(b"a page"),
            locale: "en",
        };
        let decided = consents.decide(&ticket, &user, &answers, page, &signed_in, now);
        decided.await.unwrap().allowed
    }

    /// All that a user decided, the newest first.
    pub async fn decisions(&self, who: &TenantUser) -> Vec<ConsentRow> {
        let store = &self.running.store;
        store.consents_before(who, None, u32::MAX).await.unwrap()
    }

    /// Takes back the consent of this user to a capability whose text begins so.
    pub async fn take_back(&self, user: &str, capability: &str) {
        self.take_back_where(user, capability, |_| true).await;
    }

    /// The same of this tool.
    pub async fn take_back_of(&self, user: &str, tool: &str, capability: &str) {
        let of = |row: &ConsentRow| row.key.tool.as_str() == tool;
        self.take_back_where(user, capability, of).await;
    }

    async fn take_back_where(
        &self,
        user: &str,
        capability: &str,
        also: impl Fn(&ConsentRow) -> bool,
    ) {
        let who = self.user(user);
        let rows = self.decisions(&who).await;
        let live = rows.iter().filter(|row| row.state == ConsentState::Active);
        let of =
            |row: &&ConsentRow| row.capability.to_string().starts_with(capability) && also(row);
        let row = { live }.find(of);
        let id = row
            .unwrap_or_else(|| panic!("no consent to `{capability}`"))
            .id;
        let consents = &self.running.stages.consents;
        assert!(consents.revoke(&who, id, SystemClock.now()).await.unwrap());
    }
}

/// The ticket of a link to the consent page.
pub fn ticket(link: &str) -> TicketId {
    link.rsplit('/').next().unwrap().parse().unwrap()
}

/// Allowed for the next hour, or for this call where nothing longer can be.
pub fn allowed(capability: &str) -> Choice {
    match capability.split(' ').next() {
        Some("reveal" | "deliver") => Choice::Once,
        _ => for_an_hour(),
    }
}

/// Allowed for the next hour.
pub fn for_an_hour() -> Choice {
    Choice::Until(Timestamp(SystemClock.now().0).plus(Duration::from_secs(3600)))
}
