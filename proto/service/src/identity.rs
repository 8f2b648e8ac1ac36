//! Identity: who the driver is, what it can do, and whether this half of it is ready.

use std::collections::HashMap;

use lunette_api::csi::DRIVER;
use lunette_proto::csi::identity_server::Identity;
use lunette_proto::csi::plugin_capability::{Service, Type, VolumeExpansion, service, volume_expansion};
use lunette_proto::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};
use tonic::{Request, Response, Status};

/// The service, which asks each time whether its half is ready.
pub struct IdentityService<F>(pub F);

fn service(type_: service::Type) -> PluginCapability {
    PluginCapability { r#type: Some(Type::Service(Service { r#type: type_.into() })) }
}

#[tonic::async_trait]
impl<F: Fn() -> bool + Send + Sync + 'static> Identity for IdentityService<F> {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: HashMap::new(),
        }))
    }

    /// Of the whole driver, whichever half is asked.
    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        // A volume grows whether it is attached or not: one value stands for both.
        let online = VolumeExpansion { r#type: volume_expansion::Type::Online.into() };
        let capabilities = vec![
            service(service::Type::ControllerService),
            service(service::Type::GroupControllerService),
            service(service::Type::VolumeAccessibilityConstraints),
            PluginCapability { r#type: Some(Type::VolumeExpansion(online)) },
        ];
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse { ready: Some((self.0)()) }))
    }
}
