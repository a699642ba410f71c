//! Two tools of one package: one is given values and answers with what it holds, the other opens what it is told to and says it
//! everywhere.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tools;

#[tools]
mod probe {
    use bailiwick_sdk::{Json, Progress, Reveal, ToolError, log};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, JsonSchema)]
    struct Given {
        /// Wanted as a handle.
        #[schemars(extend("x-pii" = {"class": "email", "action": "encrypt"}))]
        email: String,
        /// Wanted as handles, one for each place.
        #[serde(default)]
        #[schemars(extend("x-pii" = {"class": "nickname", "action": "encrypt"}))]
        nicknames: Vec<String>,
        /// As it comes.
        #[serde(default)]
        note: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Held {
        held: Vec<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Open {
        #[serde(default)]
        handles: Vec<String>,
        /// Whether it ends in a panic with all that it has opened.
        #[serde(default)]
        panic: bool,
    }

    #[derive(Serialize, JsonSchema)]
    struct Opened {
        opened: Vec<String>,
        refused: Vec<String>,
    }

    /// Says what it was given.
    #[tool]
    fn reveal_keep(given: Given) -> Json<Held> {
        let all = [given.email].into_iter().chain(given.nicknames);
        let held = all.chain([given.note]).collect();
        Json(Held { held })
    }

    /// Opens what it is told to.
    #[tool]
    fn reveal_probe(
        open: Open,
        reveal: Reveal,
        progress: Progress,
    ) -> Result<Json<Opened>, ToolError> {
        let (mut opened, mut refused) = (Vec::new(), Vec::new());
        log::info!("before");
        for handle in &open.handles {
            match reveal.open(handle) {
                Ok(value) => opened.push(value),
                Err(error) => refused.push(format!("{error:?}")),
            }
        }
        for value in &opened {
            log::error!("opened {value}");
            println!("opened {value}");
            eprintln!("opened {value}");
        }
        // Without the grant it is told to nobody.
        let _ = progress.report_doing(1.0, None, &opened.join(" "));
        if open.panic {
            panic!("opened {opened:?}");
        }
        Ok(Json(Opened { opened, refused }))
    }
}
