//! What a tool can be told of the user: names of claims, from a list that the token's own workings are not on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The pseudonym, which stands in no token.
const SUBJECT: &str = "subject";

/// Longest name of a claim, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What the token says of itself, of how it came to be and of who may use it. None of it is anybody's business but ours.
const TOKEN: [&str; 34] = [
    "acr",
    "act",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "authorization_details",
    "azp",
    "c_hash",
    "client_id",
    "cnf",
    "entitlements",
    "events",
    "exp",
    "groups",
    "iat",
    "iss",
    "jti",
    "jwk",
    "may_act",
    "nbf",
    "nonce",
    "orig",
    "roles",
    "s_hash",
    "scope",
    "scp",
    "sid",
    "sub",
    "sub_id",
    "sub_jwk",
    "token",
    "txn",
    "vot",
];

/// The standard claims of OpenID Connect Core §5.1 but for `sub`, with what each is in English and in Japanese.
const STANDARD: [(&str, &str, &str); 19] = [
    ("address", "your postal address", "住所"),
    ("birthdate", "your date of birth", "生年月日"),
    ("email", "your e-mail address", "メールアドレス"),
    (
        "email_verified",
        "whether your e-mail address was verified",
        "メールアドレスが確認済みかどうか",
    ),
    ("family_name", "your family name", "姓"),
    ("gender", "your gender", "性別"),
    ("given_name", "your given name", "名"),
    ("locale", "your language and region", "言語と地域"),
    ("middle_name", "your middle name", "ミドルネーム"),
    ("name", "your full name", "氏名"),
    ("nickname", "your nickname", "ニックネーム"),
    ("phone_number", "your telephone number", "電話番号"),
    (
        "phone_number_verified",
        "whether your telephone number was verified",
        "電話番号が確認済みかどうか",
    ),
    (
        "picture",
        "the address of your profile picture",
        "プロフィール画像の URL",
    ),
    ("preferred_username", "your user name", "ユーザー名"),
    (
        "profile",
        "the address of your profile page",
        "プロフィールページの URL",
    ),
    (
        "updated_at",
        "when your profile was last changed",
        "プロフィールの最終更新日時",
    ),
    (
        "website",
        "the address of your web site",
        "ウェブサイトの URL",
    ),
    ("zoneinfo", "your time zone", "タイムゾーン"),
];

/// A claim that a tool can be told: a standard one, one that an operator named, or `subject`, a pseudonym that we make.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimName(Arc<str>);

/// No tool is told this of its caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no claim that a tool can be told; use `subject`, a standard claim about the user such as `email`, or a name of `[issuer.claims]` that the operator lists in `tool_claims`"
)]
pub struct NotAClaim(pub String);

impl ClaimName {
    /// The standard claims.
    pub fn standard() -> impl Iterator<Item = Self> {
        STANDARD.iter().map(|(name, ..)| Self((*name).into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the pseudonym, which says of the user only that it is the same one.
    pub fn is_pseudonym(&self) -> bool {
        &*self.0 == SUBJECT
    }

    /// Whether the token itself calls it so, whatever the operator's configuration.
    pub fn is_standard(&self) -> bool {
        self.described().is_some()
    }

    /// Whether a member of this name at the top of a token is about the token itself.
    pub fn is_of_the_token(name: &str) -> bool {
        TOKEN.iter().any(|one| one.eq_ignore_ascii_case(name))
    }

    /// What seeing it means, in English.
    pub(super) fn english(&self) -> String {
        if self.is_pseudonym() {
            return "Tell you apart from others by a pseudonym that no other tool knows".to_owned();
        }
        match self.described() {
            Some((_, english, _)) => format!("See {english}"),
            None => format!("See what your sign-in says of you as “{self}”"),
        }
    }

    /// The same in Japanese.
    pub(crate) fn japanese(&self) -> String {
        if self.is_pseudonym() {
            return "このツールだけに通じる仮名で、あなたをほかの人と区別する".to_owned();
        }
        match self.described() {
            Some((_, _, japanese)) => format!("あなたの{japanese}を見る"),
            None => format!("サインイン情報のうち「{self}」を見る"),
        }
    }

    fn described(&self) -> Option<&'static (&'static str, &'static str, &'static str)> {
        STANDARD.iter().find(|(name, ..)| *name == &*self.0)
    }
}

impl FromStr for ClaimName {
    type Err = NotAClaim;

    fn from_str(text: &str) -> Result<Self, NotAClaim> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let is_name = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(plain);
        match is_name && !Self::is_of_the_token(text) {
            true => Ok(Self(text.into())),
            false => Err(NotAClaim(text.chars().take(NAME_BYTES_MAX).collect())),
        }
    }
}

impl Serialize for ClaimName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for ClaimName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_token_is_no_claim_that_a_tool_can_be_told() {
        for name in TOKEN {
            for spelled in [name.to_owned(), name.to_uppercase()] {
                assert!(spelled.parse::<ClaimName>().is_err(), "{spelled}");
            }
        }
        for name in ["", "e mail", "email\0", "é", &"a".repeat(65)] {
            assert!(name.parse::<ClaimName>().is_err(), "{name:?}");
        }
        for name in ClaimName::standard() {
            assert!(name.is_standard(), "{name}");
            assert_eq!(name.as_str().parse::<ClaimName>(), Ok(name));
        }
        assert!(
            "department"
                .parse::<ClaimName>()
                .is_ok_and(|name| !name.is_standard())
        );
    }

    #[test]
    fn each_claim_has_a_sentence_of_its_own() {
        let email: ClaimName = "email".parse().unwrap();
        assert_eq!(email.english(), "See your e-mail address");
        assert_eq!(email.japanese(), "あなたのメールアドレスを見る");
        let other: ClaimName = "department".parse().unwrap();
        assert_eq!(
            other.english(),
            "See what your sign-in says of you as “department”"
        );
        assert_eq!(other.japanese(), "サインイン情報のうち「department」を見る");
    }

    #[test]
    fn a_pseudonym_is_no_standard_claim_and_has_a_sentence_of_its_own() {
        let subject: ClaimName = "subject".parse().unwrap();
        assert!(subject.is_pseudonym() && !subject.is_standard());
        assert_eq!(
            subject.english(),
            "Tell you apart from others by a pseudonym that no other tool knows"
        );
        assert_eq!(
            subject.japanese(),
            "このツールだけに通じる仮名で、あなたをほかの人と区別する"
        );
    }

    #[test]
    fn a_name_has_at_most_64_bytes() {
        let longest = "a".repeat(64);
        assert_eq!(longest.parse::<ClaimName>().unwrap().as_str(), longest);
        assert_eq!("a".repeat(65).parse::<ClaimName>(), Err(NotAClaim(longest)));
    }
}
