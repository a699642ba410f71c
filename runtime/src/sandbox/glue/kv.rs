//! `wasi:keyvalue` over [`Session`]: linked where `kv` is granted.

use wasmtime::component::Resource;

use super::super::bindings::keyvalue::wasi::keyvalue::{atomics, batch, store};
use super::super::state::State;
use crate::host::kv::{Bucket, Cas, KvError, Session};

fn error(error: KvError) -> store::Error {
    match error {
        KvError::Denied => store::Error::AccessDenied,
        KvError::Key
        | KvError::Value
        | KvError::Batch
        | KvError::Cursor
        | KvError::UsedUp
        | KvError::Full
        | KvError::Number
        | KvError::Unavailable => store::Error::Other(error.to_string()),
    }
}

/// Of a call that has none, nothing gets here.
#[derive(Debug, thiserror::Error)]
#[error("a store was used without the grant")]
struct NoSession;

fn session(kv: &mut Option<Session>) -> wasmtime::Result<&mut Session> {
    Ok(kv.as_mut().ok_or(NoSession)?)
}

impl State {
    /// A store behind a handle; cheap to copy.
    fn bucket(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<Bucket> {
        Ok(self.table.get(bucket)?.clone())
    }
}

impl store::Host for State {
    async fn open(
        &mut self,
        identifier: String,
    ) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
        Ok(match session(&mut self.kv)?.open(&identifier) {
            Ok(bucket) => Ok(self.table.push(bucket)?),
            Err(why) => Err(error(why)),
        })
    }
}

impl store::HostBucket for State {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(session(&mut self.kv)?
            .get(&bucket, &key)
            .await
            .map_err(error))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(session(&mut self.kv)?
            .set(&bucket, &key, &value)
            .await
            .map_err(error))
    }

    async fn delete(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(session(&mut self.kv)?
            .delete(&bucket, &[&key])
            .await
            .map_err(error))
    }

    async fn exists(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<bool, store::Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(session(&mut self.kv)?
            .exists(&bucket, &key)
            .await
            .map_err(error))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
        let bucket = self.bucket(&bucket)?;
        let page = session(&mut self.kv)?
            .list(&bucket, cursor.as_deref())
            .await;
        Ok(page
            .map(|page| store::KeyResponse {
                keys: page.keys,
                cursor: page.cursor,
            })
            .map_err(error))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, store::Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(session(&mut self.kv)?
            .increment(&bucket, &key, delta)
            .await
            .map_err(error))
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        // The handle is used up, whatever comes of it.
        let cas = self.table.delete(cas)?;
        Ok(match session(&mut self.kv)?.swap(&cas, &value).await {
            Ok(None) => Ok(()),
            Ok(Some(newer)) => Err(atomics::CasError::CasFailed(self.table.push(newer)?)),
            Err(why) => Err(atomics::CasError::StoreError(error(why))),
        })
    }
}

impl atomics::HostCas for State {
    async fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Cas>, store::Error>> {
        let bucket = self.bucket(&bucket)?;
        Ok(match session(&mut self.kv)?.cas(&bucket, &key).await {
            Ok(cas) => Ok(self.table.push(cas)?),
            Err(why) => Err(error(why)),
        })
    }

    async fn current(
        &mut self,
        cas: Resource<Cas>,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        let cas = self.table.get(&cas)?;
        Ok(session(&mut self.kv)?.current(cas).await.map_err(error))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, store::Error>> {
        let bucket = self.bucket(&bucket)?;
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let values = session(&mut self.kv)?.get_many(&bucket, &names).await;
        Ok(values
            .map(|values| keys.into_iter().zip(values).collect())
            .map_err(error))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let bucket = self.bucket(&bucket)?;
        let pairs: Vec<(&str, &[u8])> = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
            .collect();
        Ok(session(&mut self.kv)?
            .set_many(&bucket, &pairs)
            .await
            .map_err(error))
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let bucket = self.bucket(&bucket)?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        Ok(session(&mut self.kv)?
            .delete(&bucket, &keys)
            .await
            .map_err(error))
    }
}
