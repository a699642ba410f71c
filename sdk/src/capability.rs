//! What a parameter of a tool must be in order to be handed in by the host.

/// A kind of capability that a tool can take as a parameter.
pub trait Capability {
    /// The word for it in manifests and grants.
    const KIND: &'static str;

    /// The handle. It carries no authority: what it reaches was decided before the call began.
    fn handle() -> Self;
}
