//! `bailiwick token`.

use std::process::ExitCode;
use std::sync::Arc;

use super::TokenArgs;
use crate::clock::SystemClock;
use crate::dev;
use crate::idp::DevIdp;

pub(super) fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let (mut config, _) = args.config.read()?;
    let (_, idp) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
    println!(
        "{}",
        idp.access_token(DevIdp::user(&args.user)?, &args.client, &args.scope)?
    );
    Ok(ExitCode::SUCCESS)
}
