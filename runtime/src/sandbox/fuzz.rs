//! The targets of this layer.

pub(crate) use super::executor::fuzz::{message, seeds as message_seeds};
pub(crate) use super::glue::files::fuzz::{WORDS as PATH_WORDS, path, seeds as path_seeds};
