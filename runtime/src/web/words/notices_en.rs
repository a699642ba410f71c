//! What happened and what to do, in English.

use super::{Notice, Notices, SignInFailed, Ways};

pub(super) const NOTICES: Notices = Notices {
    fault: "Something is wrong on our side",
    fault_text: |id| {
        format!(
            "Nothing was changed. Try again in a minute. If it stays so, tell the operator this number: {id}."
        )
    },
    other_host: Notice {
        title: "This is not our address",
        text: "The page was asked for under a name that is not ours, so nothing was done. Open the link from your client again.",
    },
    forged: Notice {
        title: "This form did not come from our page",
        text: "Another site tried to send it for you, so nothing was done. Open the link from your client again and decide there.",
    },
    question_signed_out: Notice {
        title: "You are not signed in any more",
        text: "Nothing was decided. Open the question again; you will be asked to sign in.",
    },
    question_expired: Notice {
        title: "This question has expired",
        text: "Nothing was decided. Go back to your client and let it call the tool again; it will show you a new link.",
    },
    question_fresh: Notice {
        title: "Sign in once more",
        text: "What you want to allow needs a sign-in within the last five minutes. Nothing was decided.",
    },
    question_no_acr: Notice {
        title: "This cannot be allowed here",
        text: "What you want to allow needs a sign-in that says how it was done (“acr”), and your identity provider does not say it. Signing in again does not change that; tell the operator of this server. Nothing was decided.",
    },
    question_unknown: Notice {
        title: "This question is not for you, or no longer open",
        text: "Only the user for whom a tool was called can see and answer its question. If that is you, check that the link is complete and that you are signed in under the right name. If somebody sent you this link, close it.",
    },
    not_taken: "Your answer was not taken",
    page_changed: "The page was opened in another session, or has changed since. Nothing was decided.",
    past: "The last day has passed. Nothing was decided.",
    misfit: "What came back is not what the page asks. Nothing was decided.",
    nothing_decided: " Nothing was decided.",
    not_chosen: |what| format!("You did not choose for “{what}”."),
    no_day: |what| format!("For “{what}” the last day is missing or is no date."),
    no_number: |what| format!("For “{what}” the number of calls is no number from 1 to 1000."),
    once_only: |what| format!("“{what}” can be allowed for one call only."),
    consent_unknown: Notice {
        title: "There is nothing to take back",
        text: "You have no such consent, or it has ended. Nothing was changed.",
    },
    consents_signed_out: Notice {
        title: "You are not signed in any more",
        text: "Nothing was changed. Show your consents again; you may be asked to sign in.",
    },
    consents_unclear: Notice {
        title: "Nothing was taken back",
        text: "The form does not say which consents it means. Show your consents again and take them back there.",
    },
    receipt_unknown: Notice {
        title: "There is no such decision of yours",
        text: "A receipt is for whoever decided. If that is you, check that you are signed in under the right name.",
    },
    link_incomplete: Notice {
        title: "This link is not complete",
        text: "It leads to no page of ours. Open the link from your client again, all of it.",
    },
    too_many: Notice {
        title: "Too many people sign in right now",
        text: "Try again in a minute.",
    },
    issuer_unavailable: Notice {
        title: "You cannot sign in right now",
        text: "Your identity provider does not answer as it should. Try again in a minute; if it stays so, tell the operator.",
    },
    no_sign_in: Notice {
        title: "Nobody can sign in here",
        text: "This server has no sign-in, so nobody can consent. The operator can add [sign_in] to its configuration.",
    },
    page_too_old: Notice {
        title: "This page is too old",
        text: "You signed in again since it was opened. Open your consents again and sign out there.",
    },
    signed_out: Notice {
        title: "Signed out",
        text: "Nobody is signed in here. What was allowed in a browser until sign-out, and is not listed under “My consents” as ended, goes on until the moment that it says; take it back there, or sign out everywhere. Your identity provider may still know you: sign out there as well if others use this browser.",
    },
    signed_out_here: Notice {
        title: "Signed out",
        text: "You are signed out here, and what you allowed in this browser until you sign out has ended. Your identity provider may still know you: sign out there as well if others use this browser.",
    },
    signed_out_everywhere: Notice {
        title: "Signed out",
        text: "You are signed out here and in every other browser. What you allowed until you sign out has ended. Other consents stay as they are: take them back under “My consents”. Your identity provider may still know you: sign out there as well if others use your browsers.",
    },
    sign_in: SignInFailed {
        title: "You are not signed in",
        incomplete: "The answer of your identity provider is not complete.",
        other_browser: "This browser did not begin it. A sign-in must end in the browser in which it began, within ten minutes and with cookies allowed. If somebody sent you this link, close it.",
        gone: "It was finished before, or it took longer than ten minutes.",
        other_issuer: "The answer did not come from the identity provider that we asked.",
        declined: "Your identity provider did not sign you in.",
        code: "Your identity provider does not take the answer with which this browser came back: it was used before, is too old, or belongs to another sign-in.",
        issuer: "Your identity provider does not answer as it should. Try again in a minute; if it stays so, tell the operator.",
        keys: "The keys of your identity provider cannot be read. Try again in a minute; if it stays so, tell the operator.",
        id_token: "We cannot trust what your identity provider says about you. Try again; if it stays so, tell the operator.",
    },
};

pub(super) const WAYS: Ways = Ways {
    question: "Open the question again",
    fresh: "Sign in once more",
    consents: "Show my consents",
    sign_in: "Sign in again",
    again: "Try again",
};
