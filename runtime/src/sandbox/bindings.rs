//! The interfaces of `wit/`, as the host sees them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "bailiwick:tool/tool",
    // A question without an answer ends the run.
    imports: { "bailiwick:tool/ask": trappable },
    exports: { default: async },
    require_store_data_send: true,
});
