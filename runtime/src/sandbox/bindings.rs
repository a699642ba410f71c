//! The interfaces of `wit/`, as the host sees them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "bailiwick:tool/tool",
    exports: { default: async },
    require_store_data_send: true,
});
