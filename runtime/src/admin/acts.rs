//! What administrators see and do. Everything is bounded; a list says where it goes on.

use serde_json::{Value, json};
use uuid::Uuid;

use super::AdminParts;
use super::request::{Page, Sought, Taken, Wanted};
use crate::audit::Entry;
use crate::catalog::Tool;
use crate::config::LogLevel;
use crate::consent::{TicketError, as_json, is_live, is_revocable};
use crate::limits::{ADMIN_PAGE_MAX, ADMIN_PROBLEMS_MAX, ADMIN_REVOKED_MAX};
use crate::policy::AdminPermit;
use crate::problem::Problem;
use crate::store::{ConsentFilter, ConsentRow, ConsentState};

impl AdminParts {
    /// Does what is wanted, as far as the permit reaches.
    pub(super) async fn act(
        &self,
        permit: &AdminPermit,
        wanted: Wanted,
        entry: &mut Entry,
    ) -> Result<Value, TicketError> {
        Ok(match wanted {
            Wanted::Status => self.status(),
            Wanted::Tools(page) => self.tools(&page),
            Wanted::Rules(page) => self.rules(&page),
            Wanted::Consents(sought) => self.consents(permit, &sought).await?,
            Wanted::Revoke(taken) => self.revoke(permit, &taken, entry).await?,
            Wanted::Log(said) => self.say(said.level, entry),
        })
    }

    fn status(&self) -> Value {
        let standing = (self.standing)();
        let reasons = standing.reasons();
        let rules = self.rules.load();
        let snapshot = self.catalog.snapshot();
        let refused = snapshot.refused.iter().take(ADMIN_PROBLEMS_MAX);
        let refused: Vec<_> = refused
            .map(|one| json!({"file": one.file, "reason": one.reason}))
            .collect();
        json!({
            "ready": reasons.is_empty(),
            "reasons": reasons,
            "warnings": standing.warnings(),
            "version": env!("CARGO_PKG_VERSION"),
            "rules": {
                "digest": rules.digest(),
                "count": rules.len(),
                "warnings": problems(rules.warnings()),
                "problems": problems(&standing.problems),
            },
            "tools": {"served": snapshot.tools.len(), "refused": refused},
        })
    }

    /// From now on the log says this. Until the server starts anew; then it says what its configuration says.
    fn say(&self, level: LogLevel, entry: &mut Entry) -> Value {
        let changed = self.log.as_ref().is_some_and(|log| log.set(level));
        entry.fact("level", level.as_str());
        entry.fact("changed", changed);
        if changed {
            tracing::warn!(says = level.as_str(), event = %entry.id(), "an administrator changed what the log says");
        }
        json!({"level": level.as_str(), "changed": changed})
    }

    fn tools(&self, page: &Page) -> Value {
        let snapshot = self.catalog.snapshot();
        let tools = snapshot.tools.values();
        let all = tools.map(|tool| (tool.name().as_str(), tool));
        paged(page, all, |tool| self.tool(tool))
    }

    fn tool(&self, tool: &Tool) -> Value {
        let package = tool.package();
        let manifest = package.manifest();
        let needs = tool.needs().map(|need| {
            let capabilities: Vec<_> = need.capabilities.iter().map(ToString::to_string).collect();
            json!({"id": need.id, "capabilities": capabilities, "optional": need.optional})
        });
        json!({
            "name": tool.name(),
            "package": manifest.name,
            "version": manifest.version,
            "publisher": tool.publisher(),
            "component_digest": package.component_digest(),
            "definition_digest": tool.definition_digest(),
            "manifest_digest": package.manifest_digest(),
            "tier": format!("{:?}", tool.wants().tier()),
            "needs": needs.collect::<Vec<_>>(),
            "tags": self.tags.get(tool.name().as_str()).cloned().unwrap_or_default(),
        })
    }

    fn rules(&self, page: &Page) -> Value {
        let rules = self.rules.load();
        let all = rules.told().iter().map(|rule| (rule.id.as_str(), rule));
        let mut told = paged(page, all, |rule| json!(rule));
        if let Some(told) = told.as_object_mut() {
            told.insert("digest".to_owned(), json!(rules.digest()));
        }
        told
    }

    async fn consents(&self, permit: &AdminPermit, sought: &Sought) -> Result<Value, TicketError> {
        let filter = sought.filter(permit.tenant());
        let rows = self.consents.find(&filter).await?;
        let now = self.clock.now();
        let full = u32::try_from(rows.len()).ok() == filter.limit;
        let next = rows.last().filter(|_| full).map(|row| row.id);
        let shown = rows
            .iter()
            .filter(|row| sought.all || is_live(row, now))
            .map(|row| as_json(row, now));
        Ok(json!({"items": shown.collect::<Vec<_>>(), "next": next}))
    }

    /// Takes back what is named, or all that fits, one transaction with its record for each. When it returns, no call has an
    /// effect under any of them.
    async fn revoke(
        &self,
        permit: &AdminPermit,
        taken: &Taken,
        entry: &mut Entry,
    ) -> Result<Value, TicketError> {
        let mut done = Done::default();
        if taken.ids.is_empty() {
            self.revoke_fitting(taken.filter(permit.tenant()), entry.id(), &mut done)
                .await?;
        }
        for id in &taken.ids {
            let one = ConsentFilter {
                id: Some(*id),
                tenant: permit.tenant().cloned(),
                ..ConsentFilter::default()
            };
            match self.consents.find(&one).await?.pop() {
                Some(row) => self.revoke_row(&row, entry.id(), &mut done).await?,
                // What belongs to another tenant is as unknown as what never was.
                None => done.unknown.push(*id),
            }
        }
        entry.fact("revoked", done.revoked.len());
        Ok(json!({
            "revoked": done.revoked,
            "ended_before": done.ended_before,
            "unknown": done.unknown,
            "more": done.more,
        }))
    }

    async fn revoke_fitting(
        &self,
        mut filter: ConsentFilter,
        request: Uuid,
        done: &mut Done,
    ) -> Result<(), TicketError> {
        loop {
            let rows = self.consents.find(&filter).await?;
            for row in &rows {
                if row.state == ConsentState::Denied || !is_revocable(row, self.clock.now()) {
                    continue;
                }
                if done.revoked.len() == ADMIN_REVOKED_MAX {
                    done.more = true;
                    return Ok(());
                }
                self.revoke_row(row, request, done).await?;
            }
            match rows.last() {
                Some(last) if rows.len() == ADMIN_PAGE_MAX => filter.before = Some(last.id),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn revoke_row(
        &self,
        row: &ConsentRow,
        request: Uuid,
        done: &mut Done,
    ) -> Result<(), TicketError> {
        let now = self.clock.now();
        let revoked = self.consents.revoke_for_admin(row, request, now).await?;
        match revoked {
            true => done.revoked.push(row.id),
            false => done.ended_before.push(row.id),
        }
        Ok(())
    }
}

/// What became of the consents that were to be taken back.
#[derive(Default)]
struct Done {
    revoked: Vec<Uuid>,
    ended_before: Vec<Uuid>,
    unknown: Vec<Uuid>,
    /// Whether more of them fit than one request takes back.
    more: bool,
}

/// A page of things that are sorted by their names.
fn paged<'a, T>(
    page: &Page,
    all: impl Iterator<Item = (&'a str, T)>,
    view: impl Fn(T) -> Value,
) -> Value {
    let after = page.after.as_deref().unwrap_or_default();
    let mut rest = all.filter(|(name, _)| *name > after).peekable();
    let (mut items, mut last) = (Vec::new(), "");
    while items.len() < page.limit()
        && let Some((name, one)) = rest.next()
    {
        items.push(view(one));
        last = name;
    }
    let next = rest.peek().map(|_| last);
    json!({"items": items, "next": next})
}

fn problems(all: &[Problem]) -> Vec<Value> {
    let some = all.iter().take(ADMIN_PROBLEMS_MAX);
    some.map(
        |one| json!({"file": one.file, "line": one.line, "message": one.message, "help": one.help}),
    )
    .collect()
}
