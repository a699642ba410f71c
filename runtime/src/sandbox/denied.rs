//! Stand-ins for what a call is not granted: each answers its interface's own denial, and nothing lies behind it.

mod kv;

use std::sync::LazyLock;

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceType, types};
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, ip_name_lookup, network, tcp_create_socket, udp_create_socket,
};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::RequestOptions;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};

pub(super) use kv::NoKv;

use super::bindings::bailiwick::tool::{ask, caller, progress, protected, secrets, tools};
use super::state::State;

/// A function was reached whose resource no guest can have.
#[derive(Debug, thiserror::Error)]
#[error("a socket was used, and there are none")]
struct NoSocket;

/// Progress without the grant.
pub(super) struct NoProgress;

impl HasData for NoProgress {
    type Data<'a> = Self;
}

impl progress::Host for NoProgress {
    fn report(
        &mut self,
        _progress: f64,
        _total: Option<f64>,
        _message: Option<String>,
    ) -> Result<(), progress::ProgressError> {
        Err(progress::ProgressError::Denied)
    }
}

/// Questions without the grant.
pub(super) struct NoAsk;

impl HasData for NoAsk {
    type Data<'a> = Self;
}

impl ask::Host for NoAsk {
    fn form(
        &mut self,
        _message: String,
        _schema: String,
    ) -> wasmtime::Result<Result<ask::Answer, ask::AskError>> {
        Ok(Err(ask::AskError::Denied))
    }
}

/// Secrets without the grant: there are none.
pub(super) struct NoSecrets;

impl HasData for NoSecrets {
    type Data<'a> = Self;
}

impl secrets::Host for NoSecrets {
    fn exists(&mut self, _name: String) -> bool {
        false
    }
}

/// Other tools without the grant.
pub(super) struct NoTools;

impl HasData for NoTools {
    type Data<'a> = Self;
}

impl tools::Host for NoTools {
    async fn call(
        &mut self,
        _name: String,
        _arguments: String,
    ) -> wasmtime::Result<Result<tools::Reply, tools::CallError>> {
        Ok(Err(tools::CallError::Denied))
    }
}

/// What the token says, without the grant.
pub(super) struct NoCaller;

impl HasData for NoCaller {
    type Data<'a> = Self;
}

impl caller::Host for NoCaller {
    fn subject(&mut self) -> Result<String, caller::CallerError> {
        Err(caller::CallerError::Denied)
    }

    fn claim(&mut self, _name: String) -> Result<Option<String>, caller::CallerError> {
        Err(caller::CallerError::Denied)
    }
}

/// Encrypted values without the grant.
pub(super) struct NoProtected;

impl HasData for NoProtected {
    type Data<'a> = Self;
}

impl protected::Host for NoProtected {
    async fn reveal(&mut self, _handle: String) -> Result<String, protected::RevealError> {
        Err(protected::RevealError::Denied)
    }
}

/// Settings without the grant: there are none.
pub(super) fn no_config(state: &mut State) -> WasiConfig<'_> {
    static NOTHING: LazyLock<WasiConfigVariables> = LazyLock::new(WasiConfigVariables::new);
    state.instead(WasiConfig::new(&NOTHING))
}

/// Links requests without the grant: they can be built, since runtimes do that at their start, and never sent.
pub(super) fn link_no_http(linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
    type Handled = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;
    linker.instance(import)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, State>,
         (request, _options): (
            Resource<HostOutgoingRequest>,
            Option<Resource<RequestOptions>>,
        )| {
            store.data_mut().entered().table.delete(request)?;
            let denied: Handled = Err(ErrorCode::HttpRequestDenied);
            Ok((denied,))
        },
    )
}

/// Sockets: nothing creates one and no name is looked up.
pub(super) struct NoSockets;

impl HasData for NoSockets {
    type Data<'a> = Self;
}

impl network::Host for NoSockets {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        _error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        Ok(None)
    }
}

impl network::HostNetwork for NoSockets {
    fn drop(&mut self, _network: Resource<Network>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl instance_network::Host for NoSockets {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        // A name without a thing: no function that takes it looks behind it.
        Ok(Resource::new_own(0))
    }
}

impl tcp_create_socket::Host for NoSockets {
    fn create_tcp_socket(
        &mut self,
        _family: network::IpAddressFamily,
    ) -> SocketResult<Resource<TcpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl udp_create_socket::Host for NoSockets {
    async fn create_udp_socket(
        &mut self,
        _family: network::IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl ip_name_lookup::Host for NoSockets {
    fn resolve_addresses(
        &mut self,
        _network: Resource<Network>,
        _name: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl ip_name_lookup::HostResolveAddressStream for NoSockets {
    fn resolve_next_address(
        &mut self,
        _stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<network::IpAddress>> {
        Err(network::ErrorCode::AccessDenied.into())
    }

    fn subscribe(
        &mut self,
        _stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        Err(NoSocket.into())
    }

    fn drop(
        &mut self,
        _stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// Links `wasi:sockets/tcp` or `udp`: the resources have types, and every function on them ends the call, for it can
/// only be reached with a socket and none is ever made.
pub(super) fn link_socket_methods(
    linker: &mut Linker<State>,
    import: &str,
    instance: &types::ComponentInstance,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let mut inner = linker.instance(import)?;
    for (name, item) in instance.exports(&engine) {
        match item.ty {
            types::ComponentItem::ComponentFunc(_) => {
                inner.func_new(name, |mut store, _, _, _| {
                    store.data_mut().instead(Err(NoSocket.into()))
                })?;
            }
            types::ComponentItem::Resource(_) => {
                let own = match name {
                    "tcp-socket" => ResourceType::host::<TcpSocket>(),
                    "udp-socket" => ResourceType::host::<UdpSocket>(),
                    "incoming-datagram-stream" => ResourceType::host::<Incoming>(),
                    "outgoing-datagram-stream" => ResourceType::host::<Outgoing>(),
                    // Defined by the interface that it comes from.
                    _ => continue,
                };
                inner.resource(name, own, |mut store, _| store.data_mut().instead(Ok(())))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A stream of datagrams that no guest ever has.
pub(super) struct Incoming;
/// The other direction.
pub(super) struct Outgoing;
