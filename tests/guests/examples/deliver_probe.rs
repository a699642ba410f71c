//! Two tools of one package: one is given a value and answers with its handle, the other sends what it is told to, one after the
//! other, and answers with all that came back.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tools;

#[tools]
mod probe {
    use bailiwick_sdk::{Deliver, Http, Json};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, JsonSchema)]
    struct Given {
        /// Wanted as a handle.
        #[schemars(extend("x-pii" = {"class": "email", "action": "encrypt"}))]
        email: String,
        /// Wanted as a handle.
        #[serde(default)]
        #[schemars(extend("x-pii" = {"class": "nickname", "action": "encrypt"}))]
        nickname: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Held {
        email: String,
        nickname: String,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Sent {
        #[serde(default)]
        requests: Vec<Letter>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Letter {
        url: String,
        /// Its media type.
        kind: String,
        /// What stands in the field `x-to`.
        #[serde(default)]
        to: String,
        body: String,
        /// What stands behind it, in pieces in which nothing is recognized.
        #[serde(default)]
        guess: Vec<String>,
        /// How often the body is repeated.
        #[serde(default)]
        times: usize,
    }

    #[derive(Serialize, JsonSchema)]
    struct Came {
        /// What each answer said, its fields first, or why there is none.
        came: Vec<String>,
    }

    /// Says what it was given.
    #[tool]
    fn deliver_keep(given: Given) -> Json<Held> {
        Json(Held {
            email: given.email,
            nickname: given.nickname,
        })
    }

    /// Sends what it is told to, and says what came back.
    #[tool]
    fn deliver_probe(sent: Sent, http: Http, _deliver: Deliver) -> Json<Came> {
        let came = sent.requests.into_iter().map(|letter| said(&http, letter));
        Json(Came {
            came: came.collect(),
        })
    }

    fn said(http: &Http, letter: Letter) -> String {
        let mut request = http.post(letter.url).header("content-type", letter.kind);
        if !letter.to.is_empty() {
            request = request.header("x-to", letter.to);
        }
        let body = letter.body.repeat(letter.times.max(1)) + &letter.guess.concat();
        match request.body(body).send() {
            Ok(answer) => {
                let fields = answer
                    .headers()
                    .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
                fields.collect::<String>() + &answer.text()
            }
            Err(error) => format!("refused: {error}"),
        }
    }
}
