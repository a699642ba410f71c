//! Every bound of the runtime, with its unit and its reason, in one place.

mod callers;
mod calls;
mod clock;
mod consents;
mod data;
mod evidence;
mod packages;
mod traffic;

pub use callers::*;
pub use calls::*;
pub use clock::*;
pub use consents::*;
pub use data::*;
pub use evidence::*;
pub use packages::*;
pub use traffic::*;
