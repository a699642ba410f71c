//! `wasi:keyvalue` without the grant: no store opens, whatever it is called, and so nothing else can be done.

use wasmtime::component::{HasData, Resource};

use super::super::bindings::keyvalue::wasi::keyvalue::{atomics, batch, store};
use crate::host::kv::{Bucket, Cas};

/// A function was reached whose resource no guest can have.
#[derive(Debug, thiserror::Error)]
#[error("a store was used, and none is open")]
struct NoStore;

/// Stores without the grant.
pub(in super::super) struct NoKv;

impl HasData for NoKv {
    type Data<'a> = Self;
}

impl store::Host for NoKv {
    async fn open(
        &mut self,
        _identifier: String,
    ) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
        Ok(Err(store::Error::AccessDenied))
    }
}

impl store::HostBucket for NoKv {
    async fn get(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Err(NoStore.into())
    }

    async fn set(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
        _value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Err(NoStore.into())
    }

    async fn delete(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Err(NoStore.into())
    }

    async fn exists(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
    ) -> wasmtime::Result<Result<bool, store::Error>> {
        Err(NoStore.into())
    }

    async fn list_keys(
        &mut self,
        _bucket: Resource<Bucket>,
        _cursor: Option<String>,
    ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
        Err(NoStore.into())
    }

    async fn drop(&mut self, _bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl atomics::Host for NoKv {
    async fn increment(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
        _delta: i64,
    ) -> wasmtime::Result<Result<i64, store::Error>> {
        Err(NoStore.into())
    }

    async fn swap(
        &mut self,
        _cas: Resource<Cas>,
        _value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        Err(NoStore.into())
    }
}

impl atomics::HostCas for NoKv {
    async fn new(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
    ) -> wasmtime::Result<Result<Resource<Cas>, store::Error>> {
        Err(NoStore.into())
    }

    async fn current(
        &mut self,
        _cas: Resource<Cas>,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Err(NoStore.into())
    }

    async fn drop(&mut self, _cas: Resource<Cas>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl batch::Host for NoKv {
    async fn get_many(
        &mut self,
        _bucket: Resource<Bucket>,
        _keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, store::Error>> {
        Err(NoStore.into())
    }

    async fn set_many(
        &mut self,
        _bucket: Resource<Bucket>,
        _pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Err(NoStore.into())
    }

    async fn delete_many(
        &mut self,
        _bucket: Resource<Bucket>,
        _keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Err(NoStore.into())
    }
}
