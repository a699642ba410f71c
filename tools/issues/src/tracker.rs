//! The part of the REST API that the tools use. What sends the requests is a parameter, so that it can be tested without a host.

use std::time::Duration;

use bailiwick_sdk::http::HttpError;
use bailiwick_sdk::{Http, ToolError};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Issues on one page.
const PAGE: usize = 30;
/// Comments that are shown of an issue.
const COMMENTS_MAX: usize = 20;
/// Characters of one text that are shown: an issue and 20 comments fit into a reply.
const TEXT_CHARS_MAX: usize = 4_000;
/// Largest answer of the tracker, in bytes: 30 issues with long texts.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest wait for one answer.
const WAIT: Duration = Duration::from_secs(10);

/// A repository: `owner/name`, in which no path can hide.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Repository(String);

impl TryFrom<String> for Repository {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = |part: &str| {
            (1..=100).contains(&part.len())
                && !matches!(part, "." | "..")
                && part
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
        };
        match text.split_once('/') {
            Some((owner, name)) if fits(owner) && fits(name) => Ok(Self(text)),
            _ => Err("write the repository as `owner/name`"),
        }
    }
}

/// The number of an issue, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
pub struct Number(u32);

impl TryFrom<u32> for Number {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            0 => Err("issues are numbered from 1 on"),
            number => Ok(Self(number)),
        }
    }
}

/// Which issues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Open,
    Closed,
    All,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::All => "all",
        }
    }
}

/// A page of issues.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Issues {
    /// The issues, the newest first.
    pub issues: Vec<Summary>,
    /// Whether there may be more on the next page.
    pub more: bool,
}

/// One issue in a list.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Its number.
    pub number: u32,
    /// What it is about.
    pub title: String,
    /// `open` or `closed`.
    pub state: String,
    /// Who opened it.
    pub author: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// How many comments it has.
    pub comments: u32,
    /// When it was changed last.
    pub updated: String,
}

/// One issue with its text.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Issue {
    /// What a list says of it.
    pub issue: Summary,
    /// Its page.
    pub url: String,
    /// Its text; cut after 4000 characters.
    pub text: String,
    /// Its first comments.
    pub discussion: Vec<Comment>,
}

/// One comment.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Comment {
    /// Who wrote it.
    pub author: String,
    /// When.
    pub at: String,
    /// The text; cut after 4000 characters.
    pub text: String,
}

/// What was written.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Created {
    /// The number of the issue.
    pub number: u32,
    /// Its page, or that of the comment.
    pub url: String,
}

/// An issue to open.
#[derive(Debug, Serialize)]
pub struct New {
    pub title: String,
    pub body: String,
    pub labels: Vec<String>,
}

/// Sends requests.
pub trait Send {
    /// The status and the body of the answer. A body makes it a `POST`.
    fn send(
        &self,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(u16, Vec<u8>), HttpError>;
}

impl Send for Http {
    fn send(
        &self,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(u16, Vec<u8>), HttpError> {
        let request = match body {
            Some(body) => self.post(url).json(body),
            None => self.get(url),
        };
        let response = request
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .header("user-agent", "bailiwick-issues/0.1")
            .limit(ANSWER_BYTES_MAX)
            .timeout(WAIT)
            .send()?;
        Ok((response.status(), response.body().to_vec()))
    }
}

/// A tracker under its address.
pub struct Tracker<S> {
    send: S,
    api: String,
}

#[derive(Deserialize)]
struct RawIssue {
    number: u32,
    title: String,
    state: String,
    user: Option<RawUser>,
    #[serde(default)]
    labels: Vec<RawLabel>,
    #[serde(default)]
    comments: u32,
    updated_at: String,
    html_url: String,
    body: Option<String>,
    /// GitHub lists pull requests among the issues.
    pull_request: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawUser {
    login: String,
}

#[derive(Deserialize)]
struct RawLabel {
    name: String,
}

#[derive(Deserialize)]
struct RawComment {
    user: Option<RawUser>,
    created_at: String,
    html_url: String,
    body: Option<String>,
}

#[derive(Deserialize)]
struct RawError {
    message: String,
}

impl<S: Send> Tracker<S> {
    pub fn new(send: S, api: &str) -> Self {
        Self {
            send,
            api: api.trim_end_matches('/').to_owned(),
        }
    }

    pub fn list(
        &self,
        repository: &Repository,
        state: State,
        labels: &[String],
        page: u32,
    ) -> Result<Issues, ToolError> {
        let mut query = format!("?state={}&per_page={PAGE}&page={page}", state.as_str());
        if !labels.is_empty() {
            query.push_str(&format!("&labels={}", escaped(&labels.join(","))));
        }
        let all: Vec<RawIssue> = self.get(repository, &query)?;
        let more = all.len() == PAGE;
        let issues = all.into_iter().filter(|one| one.pull_request.is_none());
        Ok(Issues {
            issues: issues.map(|one| summary(&one)).collect(),
            more,
        })
    }

    pub fn show(&self, repository: &Repository, number: Number) -> Result<Issue, ToolError> {
        let issue: RawIssue = self.get(repository, &format!("/{}", number.0))?;
        let discussion: Vec<RawComment> = match issue.comments {
            0 => Vec::new(),
            _ => self.get(
                repository,
                &format!("/{}/comments?per_page={COMMENTS_MAX}", number.0),
            )?,
        };
        let comment = |one: RawComment| Comment {
            author: login(one.user.as_ref()),
            at: one.created_at,
            text: cut(one.body.unwrap_or_default()),
        };
        Ok(Issue {
            issue: summary(&issue),
            url: issue.html_url,
            text: cut(issue.body.unwrap_or_default()),
            discussion: discussion
                .into_iter()
                .take(COMMENTS_MAX)
                .map(comment)
                .collect(),
        })
    }

    pub fn create(&self, repository: &Repository, new: &New) -> Result<Created, ToolError> {
        let body = serde_json::to_value(new).map_err(ToolError::failed)?;
        let made: RawIssue = self.ask(repository, "", Some(&body))?;
        Ok(Created {
            number: made.number,
            url: made.html_url,
        })
    }

    pub fn comment(
        &self,
        repository: &Repository,
        number: Number,
        text: &str,
    ) -> Result<Created, ToolError> {
        let body = serde_json::json!({"body": text});
        let rest = format!("/{}/comments", number.0);
        let made: RawComment = self.ask(repository, &rest, Some(&body))?;
        Ok(Created {
            number: number.0,
            url: made.html_url,
        })
    }

    fn get<T: DeserializeOwned>(
        &self,
        repository: &Repository,
        rest: &str,
    ) -> Result<T, ToolError> {
        self.ask(repository, rest, None)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        repository: &Repository,
        rest: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ToolError> {
        let url = format!("{}/repos/{}/issues{rest}", self.api, repository.0);
        let (status, answer) = self.send.send(&url, body)?;
        if !(200..300).contains(&status) {
            let said = serde_json::from_slice::<RawError>(&answer).map(|error| error.message);
            return Err(refused(status, &cut(said.unwrap_or_default())));
        }
        serde_json::from_slice(&answer)
            .map_err(|_| ToolError::failed("the tracker's answer is not what its API promises"))
    }
}

/// What a model can make of a refusal.
fn refused(status: u16, said: &str) -> ToolError {
    match status {
        401 => ToolError::failed("the tracker does not take the server's key; tell the operator"),
        403 | 429 => ToolError::failed(format_args!(
            "the tracker does not let the server's key do this, or not so often: {said}"
        )),
        404 | 410 => ToolError::failed(
            "there is no such repository or issue, or the server's key does not open it",
        ),
        422 => ToolError::invalid_arguments(format_args!("the tracker does not take this: {said}")),
        300..=399 => ToolError::failed("the repository has moved; use its new name"),
        status => ToolError::failed(format_args!(
            "the tracker answered with status {status}: {said}"
        )),
    }
}

fn summary(issue: &RawIssue) -> Summary {
    Summary {
        number: issue.number,
        title: issue.title.clone(),
        state: issue.state.clone(),
        author: login(issue.user.as_ref()),
        labels: issue
            .labels
            .iter()
            .map(|label| label.name.clone())
            .collect(),
        comments: issue.comments,
        updated: issue.updated_at.clone(),
    }
}

/// A user who was deleted has no name.
fn login(user: Option<&RawUser>) -> String {
    user.map_or_else(|| "ghost".to_owned(), |user| user.login.clone())
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
