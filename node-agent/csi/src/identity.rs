//! Identity: who the driver is, and whether it is ready.

use std::sync::Arc;

use lunette_api::csi::DRIVER;
use lunette_proto::csi::identity_server::Identity;
use lunette_proto::csi::plugin_capability::{Service, Type, VolumeExpansion, service, volume_expansion};
use lunette_proto::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};
use tonic::{Request, Response, Status};

use crate::Driver;
use crate::host::Host;
use crate::luns::Luns;

/// The service.
pub struct IdentityService<L, H>(pub Arc<Driver<L, H>>);

fn service(type_: service::Type) -> PluginCapability {
    PluginCapability { r#type: Some(Type::Service(Service { r#type: type_.into() })) }
}

#[tonic::async_trait]
impl<L: Luns, H: Host> Identity for IdentityService<L, H> {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: std::collections::HashMap::new(),
        }))
    }

    /// Of the whole driver, as the controller's half says it.
    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        let online = VolumeExpansion { r#type: volume_expansion::Type::Online.into() };
        let capabilities = vec![
            service(service::Type::ControllerService),
            service(service::Type::VolumeAccessibilityConstraints),
            PluginCapability { r#type: Some(Type::VolumeExpansion(online)) },
        ];
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse { ready: Some(self.0.luns.is_ready() && !self.0.is_cut_off) }))
    }
}
