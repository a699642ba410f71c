//! The interfaces of `wit/`, as the host sees them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "bailiwick:tool/tool",
    // A question without an answer ends the run.
    imports: { "bailiwick:tool/ask": trappable },
    exports: { default: async },
    require_store_data_send: true,
});

/// The interfaces of `wasi:keyvalue`. Stores wait for the disk.
pub(super) mod keyvalue {
    wasmtime::component::bindgen!({
        path: "../wit/deps/keyvalue",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::host::kv::Bucket,
            "wasi:keyvalue/atomics.cas": crate::host::kv::Cas,
        },
        require_store_data_send: true,
    });
}
