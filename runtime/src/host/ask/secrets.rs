//! Recognises questions for secrets, and links, in what a form shows.
//!
//! A heuristic against carelessness, by a short list of words in English and Japanese. Whoever wants to get round it will: it does
//! not stand in for the user's own judgement, and the docs say so.

/// Words that name a secret wherever they stand.
const WORDS: [&str; 29] = [
    "apikey",
    "cardnumber",
    "credential",
    "credentials",
    "cvc",
    "cvv",
    "mfa",
    "otp",
    "passcode",
    "passcodes",
    "passphrase",
    "passphrases",
    "passwd",
    "password",
    "passwords",
    "privatekey",
    "pwd",
    "secret",
    "secrets",
    "secretkey",
    "seedphrase",
    "ssn",
    "token",
    "tokens",
    "accesstoken",
    "authtoken",
    "bearertoken",
    "refreshtoken",
    "totp",
];

/// Words that name one when they follow each other.
const PHRASES: [[&str; 2]; 18] = [
    ["access", "key"],
    ["api", "key"],
    ["api", "keys"],
    ["bank", "pin"],
    ["card", "number"],
    ["card", "pin"],
    ["credit", "card"],
    ["debit", "card"],
    ["pin", "code"],
    ["pin", "number"],
    ["private", "key"],
    ["recovery", "code"],
    ["recovery", "phrase"],
    ["security", "code"],
    ["seed", "phrase"],
    ["social", "security"],
    ["verification", "code"],
    ["your", "pin"],
];

/// Japanese has no spaces between words, so these are looked for anywhere.
const PARTS: [&str; 18] = [
    "api キー",
    "apiキー",
    "アクセスキー",
    "カード番号",
    "クレジットカード",
    "シークレット",
    "セキュリティコード",
    "セキュリティーコード",
    "トークン",
    "パスコード",
    "パスフレーズ",
    "パスワード",
    "マイナンバー",
    "ワンタイムコード",
    "暗証番号",
    "確認コード",
    "認証コード",
    "秘密鍵",
];

/// Whether a text names something that a form must not ask for.
pub(super) fn asks_for_secret(text: &str) -> bool {
    let words = words(text);
    let follows = |phrase: &[&str; 2]| {
        words
            .windows(phrase.len())
            .any(|pair| pair.iter().zip(phrase).all(|(word, of)| word == of))
    };
    let plain = folded(text).to_lowercase();
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        // The name of a field; in a sentence it is a verb as often.
        || words == ["pin"]
        || PHRASES.iter().any(follows)
        || PARTS.iter().any(|part| plain.contains(part))
}

/// Whether a client would make a link of some part of it.
pub(super) fn has_link(text: &str) -> bool {
    let plain = folded(text).to_lowercase();
    plain.contains("http://") || plain.contains("https://")
}

/// The words of a text in lower case, those of `camelCase` and `snake_case` among them.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut lower_before = false;
    for c in folded(text).chars() {
        let begins = c.is_uppercase() && lower_before;
        if (begins || !c.is_ascii_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Letters of full width as the plain ones that they stand for.
fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p25_secrets_are_recognised_in_english_and_in_japanese() {
        for text in [
            "password",
            "Your PASSWORD, please",
            "user_password",
            "userPassword",
            "ｐａｓｓｗｏｒｄ",
            "apiKey",
            "API key",
            "access-token",
            "GitHub token",
            "card_number",
            "Credit card",
            "pin",
            "PIN code",
            "one-time code (OTP)",
            "client secret",
            "パスワードを入力してください",
            "カード番号",
            "ＡＰＩキー",
            "暗証番号",
        ] {
            assert!(asks_for_secret(text), "{text}");
        }
        for text in [
            "Which note?",
            "Pin this note to the top?",
            "compass words",
            "How many keys does the piano have?",
            "business card design",
            "tokenizer",
            "passage",
            "どのメモを消しますか",
            "鍵盤の数",
        ] {
            assert!(!asks_for_secret(text), "{text}");
        }
    }

    #[test]
    fn p25_links_are_recognised() {
        for text in [
            "see https://a.example",
            "HTTP://A.EXAMPLE",
            "ｈｔｔｐｓ：／／a",
        ] {
            assert!(has_link(text), "{text}");
        }
        assert!(!has_link("the http method"));
    }
}
