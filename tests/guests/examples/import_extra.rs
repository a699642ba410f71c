//! Imports an interface that no host of ours has.
//!
//! Refused at admission, with the name `evil:extra/door@0.1.0`.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::tool;

mod door {
    wit_bindgen::generate!({
        inline: r"
            package evil:extra@0.1.0;

            interface door {
                open: func() -> u32;
            }

            world burglar {
                import door;
            }
        ",
    });
}

/// Calls an interface that nobody knows.
#[tool]
fn import_extra() -> String {
    door::evil::extra::door::open().to_string()
}
