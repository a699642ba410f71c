//! The interfaces of `wit/`, as the host sees them.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "bailiwick:tool/tool",
    // A question without an answer ends the run.
    // A call of another tool waits for it, and may end the run as well. What is opened waits for the disk.
    imports: {
        "bailiwick:tool/ask": trappable,
        "bailiwick:tool/tools": async | trappable,
        "bailiwick:tool/protected": async,
    },
    exports: { default: async },
    // What a guest answers passes between processes where it runs in one of its own.
    additional_derives: [serde::Serialize, serde::Deserialize],
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
