//! English.

use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::super::dates::written;
use super::super::standing::{Happened, Standing, Suspension};
use super::super::text::Deceptive;
use super::clients_en::CLIENT;
use super::notices_en::{NOTICES, WAYS};
use super::{
    ChangedWords, ConsentsWords, DecidedWords, Frame, HistoryWords, IdpWords, Meanings, Name,
    QuestionWords, Words,
};
use crate::capability::Capability;
use crate::clock::Timestamp;
use crate::store::Scope;

const DAY: StaticFormatDescription =
    format_description!("[day padding:none] [month repr:long] [year]");
const MOMENT: StaticFormatDescription =
    format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");

/// Every text in English.
pub(crate) static EN: Words = Words {
    tag: "en",
    day,
    moment,
    // The sentences that clients get as well.
    sentence: Capability::sentence,
    standing,
    frame: Frame {
        signed_in_as: ("Signed in as ", ""),
        nav: "Yours",
        my_consents: "My consents",
        history: "History",
        sign_out: "Sign out",
        sign_out_everywhere: "Sign out everywhere",
    },
    question: QuestionWords {
        title: ("May “", "” do this?"),
        intro: "A client called this tool for you. It can do nothing of what is listed below unless you allow it.",
        intro_within: "Another tool called this tool for you. It can do nothing of what is listed below unless you allow it.",
        beware_t2: "Some of it can change or delete things, or send your data out. It is marked below.",
        beware_t3: "Some of it can do lasting harm. It is marked below.",
        beware_opens: "Some of it lets the tool read data that was kept from it. It is marked below.",
        you: "You",
        at_issuer: (" at ", ""),
        client: "Client",
        tool: "Tool",
        called_by: "Asked by",
        called_by_note: "(another tool, which your client called; it waits for this one)",
        version: "version",
        build: ", build",
        publisher: "Publisher",
        publisher_unproven: "(as the tool says of itself; not verified)",
        purpose: "Purpose, in the author’s words",
        deceptive,
        tags: [
            "no effect outside",
            "reads",
            "changes or sends",
            "single use",
        ],
        caution: "Caution: this can change things or send data out.",
        caution_opens: "Caution: this lets the tool read data that was kept from it.",
        danger: "Danger: this can do lasting harm.",
        needed: "needed: the tool does not run without it",
        optional: "optional: the tool also works without it",
        meaning: Meanings {
            nothing: "This has no effect outside the tool.",
            reads_web: "It only reads. The web site sees what the tool asks it for.",
            reads_files: "It only reads. Nothing is changed.",
            writes_web: "It can change things there, and it can send there whatever it is given and whatever else it may read.",
            writes_files: "It can overwrite and delete what lies there. This cannot be undone here.",
            given_data: "Nothing of the kind reaches the tool without this: a call that holds it is refused, and in answers it is masked. What the tool is given it can also use wherever else it may write or send.",
            lends_secret: "The server puts the key into requests of the tool to this host, and to no other. There the tool can do what the key opens, as far as its other permissions let it ask.",
            signs: "The server signs requests of the tool to this host with the key, and requests to no other. To this host the tool is the holder of the key: it can do there what the key may, as far as its other permissions let it ask.",
            calls: "The other tool can do no more than what is allowed both here and to that tool itself. You are asked about that tool separately.",
            told: "Of what your sign-in says of you, the tool is told this and nothing else. What it is told it can also use wherever else it may write or send.",
            opens: "Until now the tool holds only a mark in place of the data. With this it reads the data itself, and can use it wherever else it may write or send. You are asked at every call, and your answer is good for exactly this one.",
            delivers: "The tool holds only a mark in place of the data and does not see it. The host named above gets the data itself, with whatever else the tool sends there. You are asked at every call, and your answer is good for exactly this one.",
            harms: "The operator of this server says that it can do lasting harm. So you are asked at every call, and your answer is good for exactly this one.",
            shared: "This store is not yours alone: the operator of this server has it shared by all users of your organization. Each of them who may use it finds what is kept there, and can change it.",
            shared_folder: "This folder is not yours alone: the operator of this server has it shared by all users of your organization. Each of them who may use it finds what lies there.",
            open_folder: "This folder is not yours alone: the operator of this server has it shared by all users of this server, also those of other organizations. Each of them who may use it finds what lies there.",
            raised: "The operator of this server has you asked about it more strictly than what it does calls for.",
        },
        why: "Why, in the author’s words:",
        exactly: "Exactly:",
        deny: "Do not allow",
        deny_30_days: "Do not allow, and do not ask again for 30 days",
        once_10_minutes: "Allow once, for one call within ten minutes",
        once_5_minutes: "Allow once, for one call within five minutes",
        session: |end| {
            format!(
                "Allow until I sign out in this browser, at the latest {end}. It goes on when I close the browser or leave it alone"
            )
        },
        proposed: "suggested",
        until: "Allow until the end of",
        last_day: "Last day on which this is allowed",
        at_most: |day, lapses| {
            let sooner = if lapses {
                "; ends sooner if 30 days pass without a call"
            } else {
                ""
            };
            format!("at most {day}{sooner}")
        },
        calls: ("for at most", "calls"),
        any_number: "any number",
        once_only: "Single use: this cannot be allowed for longer.",
        arguments: "The call, exactly as it will be made",
        arguments_note: "Your answer is good for this call with this content, once. Characters that show nothing are named, as in ⟨U+200B⟩.",
        sign_in_first: "To allow what is marked as single use, you must have signed in within the last five minutes. You can refuse it as you are.",
        no_acr: "What is marked as single use cannot be allowed here: your identity provider does not say how you signed in (“acr”), and signing in again does not change that. Tell the operator of this server. You can refuse it as you are.",
        refusal_first: "If you refuse what a tool needs twice within 24 hours, it is not asked about for 24 hours. You can change that under “My consents”.",
        refusal_second: "You refused this tool within the last 24 hours. If you refuse again what it needs, it is not asked about for 24 hours, and its calls fail until then. You can change that under “My consents”.",
        afterwards: |closes| {
            format!(
                "You can take back what you allow at any time, under “My consents”. Days end at midnight UTC. This question is open until {closes}."
            )
        },
        save: "Save my decision",
    },
    client: CLIENT,
    decided: DecidedWords {
        page: "Your decision",
        before: "You decided this before",
        before_text: "What you sent now changed nothing. This is what you decided:",
        allowed: "Decided: the tool may go on",
        refused: "Decided: the tool will not run",
        refused_text: "You did not allow something without which it does not work.",
        go_back: "You can close this page and go back to your client.",
        call_again: " If it does not go on by itself, let it call the tool again.",
    },
    changed: ChangedWords {
        publisher: |day, before| {
            format!(
                "This tool has another publisher than the one that you agreed to on {day}, which was “{before}”. What you agreed to then does not hold for this one."
            )
        },
        since: |day, version| {
            let version = version.map(|version| format!(" (version {version})"));
            format!(
                "The tool has changed since you agreed to something of it on {day}{}.",
                version.unwrap_or_default()
            )
        },
        needs: " It asks for other things than then.",
        texts_unknown: " What it said of itself then is not on record.",
        texts_same: " What it says of itself is the same; the program is another.",
        texts_differ: " What it says of itself differs:",
        title: "Title",
        description: "Description",
        input: "What it takes (schema)",
        output: "What it returns (schema)",
        gone: "Gone:",
        new: "New:",
        cut: "More has changed than is shown here.",
        legend: "Struck through: gone. Underlined: new. Characters that show nothing are named, as in ⟨U+200B⟩.",
    },
    consents: ConsentsWords {
        none: "No tool may do anything for you that needs your consent, and you refused nothing lately. You are asked when a tool needs something.",
        intro: "What you decided. What you take back holds no longer, from the next moment on; a tool that is running under it is stopped, and what it did until then stays done.",
        order: "Order",
        by_tool: "By tool",
        by_client: "By client",
        by_publisher: (" by ", ""),
        tool: "tool",
        client: "client",
        decided: |at| format!("Decided {at}"),
        decided_by_operator: |at| format!("Decided for you by the operator of this server, {at}"),
        last_used: |day| format!("last used {day}"),
        unused: "not used yet",
        receipt: "Receipt",
        changed: "The tool has changed since; your consent goes on as you gave it",
        take_back: "Take back",
        ask_again: "Ask me again",
        take_back_tool: |n| format!("Take back all {n} of this tool"),
        take_back_client: |n| format!("Take back all {n} of this client"),
        take_back_all: |n| format!("Take back all {n} consents"),
        earlier: "Earlier decisions",
        newest: "Newest decisions",
        ended: "Ended",
        see_history: "Everything that was decided, used and ended is in your history.",
    },
    history: HistoryWords {
        intro: "What you decided, the newest first, and what became of it. All times are in UTC.",
        none: "Nothing was decided yet.",
        happened,
        operator_says: "The operator says:",
        earlier: "Earlier decisions",
        newest: "Newest decisions",
        others: "Somebody else opened your question",
        others_text: "A question of yours was opened by somebody who was signed in under another name. They were told nothing and could decide nothing. If you sent them the link, that is why. If not, tell the operator of this server: somebody can read what your client shows you.",
        opened: |times, last| match times {
            1 => format!("once, on {last}"),
            2 => format!("twice, last on {last}"),
            _ => format!("{times} times, last on {last}"),
        },
    },
    notices: NOTICES,
    ways: WAYS,
    idp: IdpWords {
        title: "Sign in",
        note: |users| {
            format!(
                "This is the embedded identity provider for development. Its users are {}; the password is the name.",
                users.join(" and ")
            )
        },
        wrong: |user| format!("User and password do not fit. Try {user} with password {user}."),
        user: "User",
        password: "Password",
        sign_in: "Sign in",
        refused: "This sign-in cannot go on",
        incomplete: "The request of the client is not complete.",
        client: "The client is not known here.",
        redirect: "The redirect address is not the registered one.",
        flow: "Only the code flow with PKCE (S256) is served.",
        no_code: "The identity provider could not make a code.",
    },
};

fn day(at: Timestamp) -> String {
    written(at, DAY)
}

fn moment(at: Timestamp) -> String {
    written(at, MOMENT)
}

fn deceptive(name: Name, why: Deceptive) -> &'static str {
    match (name, why) {
        (Name::Title, Deceptive::Hidden) => {
            "The title of the tool holds characters that show nothing. They are named, as in ⟨U+200B⟩. It may be made to pass for another tool."
        }
        (Name::Title, Deceptive::Mixed) => {
            "The title of the tool mixes letters of different scripts in one word. It may be made to pass for another tool."
        }
        (Name::Title, Deceptive::Imitates) => {
            "The title of the tool looks like Latin letters but is written in others. It may be made to pass for another tool."
        }
        (Name::Client, Deceptive::Hidden) => {
            "The name of the client holds characters that show nothing. They are named, as in ⟨U+200B⟩. It may be made to pass for another client."
        }
        (Name::Client, Deceptive::Mixed) => {
            "The name of the client mixes letters of different scripts in one word. It may be made to pass for another client."
        }
        (Name::Client, Deceptive::Imitates) => {
            "The name of the client looks like Latin letters but is written in others. It may be made to pass for another client."
        }
        (Name::Publisher, Deceptive::Hidden) => {
            "The name of the publisher holds characters that show nothing. They are named, as in ⟨U+200B⟩. It may be made to pass for another publisher."
        }
        (Name::Publisher, Deceptive::Mixed) => {
            "The name of the publisher mixes letters of different scripts in one word. It may be made to pass for another publisher."
        }
        (Name::Publisher, Deceptive::Imitates) => {
            "The name of the publisher looks like Latin letters but is written in others. It may be made to pass for another publisher."
        }
    }
}

fn calls(n: u32) -> String {
    format!("{n} {}", if n == 1 { "call" } else { "calls" })
}

fn standing(standing: Standing) -> String {
    match standing {
        Standing::Once(end) => {
            format!("Allowed for one call, to be made before {}", moment(end))
        }
        Standing::Session(end) => format!(
            "Allowed until you sign out in the browser in which you allowed it, at the latest {}",
            moment(end)
        ),
        Standing::Later(from, end) => {
            format!("Allowed from {} until {}", moment(from), moment(end))
        }
        Standing::Until { end, left, lapses } => {
            let mut text = format!("Allowed until {}", moment(end));
            if let Some(left) = left {
                let noun = if left == 1 { "call" } else { "calls" };
                text.push_str(&format!(", for {left} more {noun}"));
            }
            if let Some(lapses) = lapses {
                text.push_str(&format!("; ends on {} if it is not used", day(lapses)));
            }
            text
        }
        Standing::Lapsed => "Was allowed, and ended because it was not used for 30 days".to_owned(),
        Standing::Passed(end) => format!("Allowed until {}, which has passed", moment(end)),
        Standing::RefusedTwice(end) => format!(
            "Not allowed, for the second time; you are not asked again before {} unless you choose to",
            moment(end)
        ),
        Standing::Refused(end) => {
            format!("Not allowed; you are asked again after {}", moment(end))
        }
        Standing::RefusedOnce => "Not allowed".to_owned(),
        Standing::CallsMade(n) => format!("Allowed for {}, which were made", calls(n)),
        Standing::CallRuns => {
            "Allowed for one call, which was made and may still be running".to_owned()
        }
        Standing::CallMade => "Allowed for one call, which was made".to_owned(),
        Standing::TakenBack => "Taken back".to_owned(),
        Standing::SignedOut => "Ended when you signed out".to_owned(),
        Standing::Replaced => "Replaced by a later decision".to_owned(),
        Standing::Suspended(why) => format!("Suspended: {}. You are asked anew", suspended(why)),
    }
}

fn happened(what: Happened) -> String {
    match what {
        Happened::Allowed {
            by_operator,
            scope,
            from,
            end,
            calls: most,
        } => {
            let who = if by_operator {
                "The operator of this server allowed it for you"
            } else {
                "You allowed it"
            };
            let from = from.map(|from| format!(" from {}", moment(from)));
            let from = from.unwrap_or_default();
            match (scope, most) {
                (Scope::Once, _) => format!("{who}, for one call"),
                (Scope::Session, _) => format!(
                    "{who} until you sign out in that browser, at the latest {}",
                    moment(end)
                ),
                (Scope::Until, Some(most)) => {
                    format!(
                        "{who}{from} until {}, for at most {}",
                        moment(end),
                        calls(most)
                    )
                }
                (Scope::Until, None) => format!("{who}{from} until {}", moment(end)),
            }
        }
        Happened::Refused { again } => {
            format!(
                "You did not allow it, and were not to be asked again before {}",
                moment(again)
            )
        }
        Happened::Used { times: Some(n) } => {
            format!("Used last, to within an hour; {} so far", calls(n))
        }
        Happened::Used { times: None } => "Used last, to within an hour".to_owned(),
        Happened::ToolChanged { version } => {
            format!("Used with a changed tool from then on, version {version}")
        }
        Happened::CallMade => "Used for its one call".to_owned(),
        Happened::CallsMade(n) => format!("Used up: {} made", calls(n)),
        Happened::TakenBack => "You took it back".to_owned(),
        Happened::TakenBackByOperator => "The operator of this server took it back".to_owned(),
        Happened::SignedOut => "Ended, because you signed out".to_owned(),
        Happened::ClientChanged => "Used through a changed client from then on".to_owned(),
        Happened::Suspended(why) => format!("Suspended: {}", suspended(why)),
        Happened::Replaced => "Replaced by a later decision".to_owned(),
        Happened::Lapsed => "Ended, because it was not used for 30 days".to_owned(),
        Happened::Passed => "Ended, because its time had passed".to_owned(),
    }
}

fn suspended(why: Suspension) -> &'static str {
    match why {
        Suspension::Publisher => "a tool of another publisher took the name",
        Suspension::Client => "sign-ins of the client lead back to other hosts than before",
        Suspension::ClientGone => "what the client said of itself cannot be read any more",
    }
}
