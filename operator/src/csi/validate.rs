//! ValidateVolumeCapabilities: whether a volume can be used in certain ways.

use std::collections::HashMap;

use lunette_api::Lun;
use lunette_proto::csi;
use lunette_proto::csi::validate_volume_capabilities_response::Confirmed;
use thiserror::Error;

use super::class::{Change, Class};
use super::cluster::{self, Cluster};
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError, Use};
use super::{Driver, volume};
use crate::error::Error;

/// Why the question has no answer.
#[derive(Debug, Error)]
pub enum ValidateError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for ValidateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::NoVolume(_) => Kind::NotFound,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// The answer: all of it confirmed, or why not.
///
/// # Errors
/// When the call is wrong or there is no such volume.
pub async fn validate<C: Cluster>(
    driver: &Driver<C>,
    call: &csi::ValidateVolumeCapabilitiesRequest,
) -> Result<csi::ValidateVolumeCapabilitiesResponse, ValidateError> {
    let id = parse::volume_id(&call.volume_id)?;
    if call.volume_capabilities.is_empty() {
        return Err(ParseError::Missing("volume_capabilities").into());
    }
    let no_volume = || ValidateError::NoVolume(call.volume_id.clone());
    let lun = driver.cluster.lun(&id.ok_or_else(no_volume)?).await?.ok_or_else(no_volume)?;
    Ok(match objection(&lun, call) {
        None => confirmed(call),
        Some(message) => csi::ValidateVolumeCapabilitiesResponse { confirmed: None, message },
    })
}

fn objection(lun: &Lun, call: &csi::ValidateVolumeCapabilitiesRequest) -> Option<String> {
    if let Some(error) = call.volume_capabilities.iter().find_map(|c| Use::read(c).err()) {
        return Some(error.to_string());
    }
    let context = volume::context(lun);
    if let Some((key, value)) = call.volume_context.iter().find(|(key, value)| context.get(*key) != Some(*value)) {
        return Some(format!("the volume's context has no {key:?} of {value:?}"));
    }
    if let Err(error) = Change::read(&call.mutable_parameters) {
        return Some(error.to_string());
    }
    parameters(lun, &call.parameters)
}

fn parameters(lun: &Lun, given: &HashMap<String, String>) -> Option<String> {
    if given.is_empty() {
        return None;
    }
    match Class::read(given, &HashMap::new()) {
        Err(error) => Some(error.to_string()),
        Ok(class) if class.pool != lun.spec.pool => Some(format!("the volume's pool is {}", lun.spec.pool)),
        Ok(class) if class.block_size != lun.spec.block_size => {
            Some(format!("the volume's block size is {}", lun.spec.block_size))
        }
        Ok(_) => None,
    }
}

fn confirmed(call: &csi::ValidateVolumeCapabilitiesRequest) -> csi::ValidateVolumeCapabilitiesResponse {
    let confirmed = Confirmed {
        volume_context: call.volume_context.clone(),
        volume_capabilities: call.volume_capabilities.clone(),
        parameters: call.parameters.clone(),
        mutable_parameters: call.mutable_parameters.clone(),
    };
    csi::ValidateVolumeCapabilitiesResponse { confirmed: Some(confirmed), message: String::new() }
}
