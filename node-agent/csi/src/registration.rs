//! The kubelet finds our socket in its folder of plugins, and asks who we are.

use std::path::PathBuf;

use lunette_api::csi::DRIVER;
use lunette_proto::registration::registration_server::Registration;
use lunette_proto::registration::{
    CSI_PLUGIN, InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use tonic::{Request, Response, Status};

/// Of CSI, as the kubelet compares it: all of version 1 is one to it (`pkg/volume/csi/csi_plugin.go`).
const VERSION: &str = "1.0.0";

/// The service.
pub struct RegistrationService {
    /// Where CSI is served, as the kubelet sees it.
    pub endpoint: PathBuf,
}

#[tonic::async_trait]
impl Registration for RegistrationService {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: CSI_PLUGIN.to_owned(),
            name: DRIVER.to_owned(),
            endpoint: self.endpoint.display().to_string(),
            supported_versions: vec![VERSION.to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        call: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let RegistrationStatus { plugin_registered, error } = call.get_ref();
        if *plugin_registered {
            tracing::info!("the kubelet has registered the driver");
        } else {
            tracing::error!(error, "the kubelet does not register the driver, so no pod gets a volume on this node");
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
