//! The classes that are shipped, and sets of classes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest name of a class, in bytes: it stands in rules, consents and audit records.
const CLASS_BYTES_MAX: usize = 40;

/// A class of personal data or of secrets, such as `email`, `card` or `jp-my-number`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Class(Arc<str>);

/// Why a text does not name a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a class is named by 1 to 40 of `a-z 0-9 -`, begins with a letter and does not end with a hyphen"
)]
pub struct ClassError;

impl Class {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it opens something.
    pub fn is_secret(&self) -> bool {
        self.built_in().is_some_and(|one| one.secret)
    }

    /// What it holds, as a plural in English.
    pub fn english(&self) -> String {
        self.built_in().map_or_else(
            || format!("data of the kind “{self}”"),
            |one| one.en.to_owned(),
        )
    }

    /// The same in Japanese.
    pub fn japanese(&self) -> String {
        self.built_in()
            .map_or_else(|| format!("「{self}」の情報"), |one| one.ja.to_owned())
    }

    /// What is shipped under this name.
    pub fn built_in(&self) -> Option<&'static BuiltIn> {
        built_in().iter().find(|one| one.name == self.as_str())
    }
}

impl FromStr for Class {
    type Err = ClassError;

    fn from_str(text: &str) -> Result<Self, ClassError> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let first = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
        if !first || text.ends_with('-') || text.len() > CLASS_BYTES_MAX || !text.bytes().all(plain)
        {
            return Err(ClassError);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Class {
    type Error = ClassError;

    fn try_from(text: String) -> Result<Self, ClassError> {
        text.parse()
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", &*self.0)
    }
}

/// A class that is shipped, with the words of a consent page.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// What it holds, as a plural in English.
    pub en: &'static str,
    /// The same in Japanese.
    pub ja: &'static str,
    /// Whether it opens something: never shown in part.
    pub secret: bool,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $en:literal $ja:literal $secret:literal;)*) => {
        /// A shipped class, by its place in the list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Kind { $($kind),* }

        #[cfg(test)]
        pub(super) const KINDS: &[Kind] = &[$(Kind::$kind),*];

        static BUILT_IN: &[BuiltIn] = &[$(BuiltIn { name: $name, en: $en, ja: $ja, secret: $secret }),*];
    };
}

kinds! {
    Email "email" "e-mail addresses" "メールアドレス" false;
    Phone "phone" "telephone numbers" "電話番号" false;
    Card "card" "payment card numbers" "カード番号" false;
    Iban "iban" "bank account numbers (IBAN)" "銀行口座番号（IBAN）" false;
    Ip "ip-address" "internet addresses (IP)" "IPアドレス" false;
    Mac "mac-address" "device addresses (MAC)" "MACアドレス" false;
    BirthDate "birth-date" "dates of birth" "生年月日" false;
    Address "postal-address" "postal addresses" "住所" false;
    Postcode "postcode" "postcodes" "郵便番号" false;
    Passport "passport" "passport numbers" "旅券番号" false;
    MyNumber "jp-my-number" "Japanese My Numbers" "マイナンバー（個人番号）" false;
    ResidenceCard "jp-residence-card" "Japanese residence card numbers" "在留カード番号" false;
    DrivingLicence "jp-driving-licence" "Japanese driving licence numbers" "運転免許証番号" false;
    Pension "jp-pension-number" "Japanese basic pension numbers" "基礎年金番号" false;
    HealthInsurance "jp-health-insurance" "Japanese health insurance numbers" "健康保険の番号" false;
    Ssn "us-ssn" "US social security numbers" "米国の社会保障番号" false;
    Itin "us-itin" "US taxpayer numbers (ITIN)" "米国の納税者番号（ITIN）" false;
    Nino "uk-nino" "UK national insurance numbers" "英国の国民保険番号" false;
    Nhs "uk-nhs" "UK NHS numbers" "英国のNHS番号" false;
    TaxId "de-tax-id" "German tax numbers" "ドイツの納税者番号" false;
    Nir "fr-nir" "French social security numbers" "フランスの社会保障番号" false;
    Nif "es-nif" "Spanish identity numbers (NIF)" "スペインの身分証番号（NIF）" false;
    Nie "es-nie" "Spanish foreigner numbers (NIE)" "スペインの外国人番号（NIE）" false;
    CodiceFiscale "it-codice-fiscale" "Italian tax codes" "イタリアの納税者番号" false;
    Pesel "pl-pesel" "Polish identity numbers (PESEL)" "ポーランドの個人番号（PESEL）" false;
    Personnummer "se-personnummer" "Swedish identity numbers" "スウェーデンの個人番号" false;
    Cpf "br-cpf" "Brazilian taxpayer numbers (CPF)" "ブラジルの納税者番号（CPF）" false;
    Aadhaar "in-aadhaar" "Indian Aadhaar numbers" "インドのAadhaar番号" false;
    Rrn "kr-rrn" "Korean resident numbers" "韓国の住民登録番号" false;
    Nric "sg-nric" "Singapore identity numbers (NRIC, FIN)" "シンガポールの身分証番号（NRIC、FIN）" false;
    ResidentId "cn-resident-id" "Chinese resident numbers" "中国の居民身分証番号" false;
    Personal "personal-data" "other personal data that the tool's author has marked" "その他の個人情報（ツールの作者による指定）" false;
    PrivateKey "private-key" "private keys" "秘密鍵" true;
    Jwt "jwt" "signed tokens (JWT)" "署名付きトークン（JWT）" true;
    AwsKey "aws-key" "AWS access keys" "AWSのアクセスキー" true;
    GitHubToken "github-token" "GitHub tokens" "GitHubのトークン" true;
    GoogleKey "google-key" "Google keys" "Googleのキー" true;
    SlackToken "slack-token" "Slack tokens" "Slackのトークン" true;
    StripeKey "stripe-key" "Stripe keys" "Stripeのキー" true;
    ApiKey "api-key" "API keys of other services" "その他のサービスのAPIキー" true;
    UrlPassword "url-password" "passwords in URLs" "URL内のパスワード" true;
    Password "password" "passwords" "パスワード" true;
}

/// Every class that is shipped.
pub fn built_in() -> &'static [BuiltIn] {
    BUILT_IN
}

/// A class by its place in the list of a detector: those that are shipped, then the operator's own.
pub(super) type Id = u8;

impl Kind {
    pub(super) fn id(self) -> Id {
        self as Id
    }

    /// How many letters and digits at the end stay when it is masked: what people compare.
    pub(super) fn kept(name: &str) -> usize {
        match name {
            "card" | "iban" => 4,
            "phone" => 2,
            _ => 0,
        }
    }
}

/// Some classes, and whether something was said that is no personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u128);

/// Said of ids, times and counts.
pub(super) const OTHER: Id = 127;

impl Set {
    pub(super) fn of(id: Id) -> Self {
        Self(1u128.checked_shl(id.into()).unwrap_or_default())
    }

    pub(super) fn has(self, id: Id) -> bool {
        self.0 & Self::of(id).0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for Set {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Set {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
