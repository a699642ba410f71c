use std::cell::RefCell;

use super::*;

const ISSUE: &str = r#"{"number":7,"title":"Broken","state":"open","user":{"login":"ada"},"labels":[{"name":"bug","color":"f00"}],"comments":1,"updated_at":"2026-01-02T03:04:05Z","html_url":"https://github.com/acme/site/issues/7","body":"It is."}"#;

/// Answers each request with the next of its answers, and remembers what it was asked.
struct Fake {
    answers: RefCell<Vec<(u16, String)>>,
    asked: RefCell<Vec<String>>,
}

impl Fake {
    fn answering(answers: &[(u16, &str)]) -> Tracker<Self> {
        let answers = answers.iter().rev();
        let answers = answers.map(|(status, text)| (*status, (*text).to_owned()));
        let fake = Self {
            answers: RefCell::new(answers.collect()),
            asked: RefCell::default(),
        };
        Tracker::new(fake, "https://t.example/")
    }
}

impl Send for Fake {
    fn send(
        &self,
        url: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(u16, Vec<u8>), HttpError> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        self.asked.borrow_mut().push(format!("{url} {body}"));
        let (status, text) = self.answers.borrow_mut().pop().unwrap();
        Ok((status, text.into_bytes()))
    }
}

fn repository() -> Repository {
    "acme/site".to_owned().try_into().unwrap()
}

#[test]
fn a_list_has_issues_and_no_pull_requests() {
    let pull = ISSUE.replace("\"body\"", "\"pull_request\":{},\"body\"");
    let tracker = Fake::answering(&[(200, &format!("[{ISSUE},{pull}]"))]);
    let labels = ["a b".to_owned(), "c&d".to_owned()];
    let listed = tracker.list(&repository(), State::All, &labels, 2).unwrap();
    let [issue] = listed.issues.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (issue.number, &*issue.title, &*issue.author),
        (7, "Broken", "ada")
    );
    assert_eq!(
        (&*issue.labels, issue.comments),
        (&["bug".to_owned()][..], 1)
    );
    assert!(!listed.more);
    assert_eq!(
        tracker.send.asked.borrow()[0],
        "https://t.example/repos/acme/site/issues?state=all&per_page=30&page=2&labels=a%20b%2Cc%26d "
    );
}

#[test]
fn an_issue_is_shown_with_its_comments_and_long_texts_are_cut() {
    let long = "é".repeat(TEXT_CHARS_MAX + 1);
    let comment = format!(
        r#"[{{"user":null,"created_at":"2026-01-03T00:00:00Z","html_url":"x","body":"{long}"}}]"#
    );
    let tracker = Fake::answering(&[(200, ISSUE), (200, &comment)]);
    let shown = tracker.show(&repository(), Number(7)).unwrap();
    assert_eq!(shown.text, "It is.");
    assert_eq!(shown.discussion[0].author, "ghost");
    assert_eq!(shown.discussion[0].text.chars().count(), TEXT_CHARS_MAX);
    let asked = tracker.send.asked.borrow();
    assert_eq!(
        asked[1],
        "https://t.example/repos/acme/site/issues/7/comments?per_page=20 "
    );
}

#[test]
fn what_is_written_is_sent_as_it_is() {
    let comment = r#"{"created_at":"2026-01-03T00:00:00Z","html_url":"https://c"}"#;
    let tracker = Fake::answering(&[(201, ISSUE), (201, comment)]);
    let new = New {
        title: "Broken \"x\"".to_owned(),
        body: "It is.".to_owned(),
        labels: vec!["bug".to_owned()],
    };
    assert_eq!(tracker.create(&repository(), &new).unwrap().number, 7);
    let made = tracker
        .comment(&repository(), Number(7), "Me too.")
        .unwrap();
    assert_eq!((made.number, &*made.url), (7, "https://c"));
    let asked = tracker.send.asked.borrow();
    assert!(
        asked[0].contains(r#""title":"Broken \"x\"""#),
        "{}",
        asked[0]
    );
    assert_eq!(
        asked[1],
        "https://t.example/repos/acme/site/issues/7/comments {\"body\":\"Me too.\"}"
    );
}

#[test]
fn a_refusal_says_what_can_be_done_and_an_odd_answer_is_none() {
    let said = r#"{"message":"Validation Failed"}"#;
    for (status, answer, says) in [
        (401, said, "does not take the server's key"),
        (403, said, "Validation Failed"),
        (404, said, "no such repository or issue"),
        (422, said, "Validation Failed"),
        (301, "", "has moved"),
        (500, "<html>", "status 500"),
        (200, "<html>", "not what its API promises"),
    ] {
        let tracker = Fake::answering(&[(status, answer)]);
        let error = tracker.show(&repository(), Number(1)).unwrap_err();
        assert!(error.to_string().contains(says), "{status}: {error}");
    }
}

#[test]
fn a_repository_is_an_owner_and_a_name() {
    for good in ["acme/site", "a-b_c/d.e"] {
        assert!(Repository::try_from(good.to_owned()).is_ok(), "{good}");
    }
    for bad in [
        "", "acme", "/site", "acme/", "a/b/c", "a/..", "../a", "a/b%2f", "a/b c", "a/b?x",
    ] {
        assert!(Repository::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}
