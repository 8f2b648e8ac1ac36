//! `volume.json`: what a volume is, beside its bytes.
//!
//! The size in it is the least that the data file must have: a grown file may be longer until the
//! description follows, a shorter one has lost data. The true size is the file's.

use lunette_backend::VolumeSpec;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The only format there is so far.
const FORMAT: u32 = 1;

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    format: u32,
    /// Bytes.
    pub block_size: u32,
    /// Bytes.
    pub size: u64,
    /// `namespace/name` of the LUN or snapshot when it was made.
    pub owner: String,
}

/// Why a description says nothing.
#[derive(Debug, Error)]
pub(crate) enum DescriptionError {
    #[error("it is not the JSON that Lunette wrote")]
    Malformed(#[source] serde_json::Error),
    #[error("it has format {0}, which a newer version of Lunette wrote")]
    Newer(u32),
    #[error("it says blocks of {0} bytes, which no volume has")]
    BlockSize(u32),
}

impl Description {
    pub fn of(spec: &VolumeSpec) -> Self {
        Self { format: FORMAT, block_size: spec.block_size, size: spec.size, owner: spec.owner.clone() }
    }

    /// Of a copy of that size, for another owner.
    pub fn copied(&self, size: u64, owner: &str) -> Self {
        Self { size, owner: owner.to_owned(), ..self.clone() }
    }

    pub fn grown_to(&self, size: u64) -> Self {
        Self { size, ..self.clone() }
    }

    pub fn parse(text: &[u8]) -> Result<Self, DescriptionError> {
        let found: Self = serde_json::from_slice(text).map_err(DescriptionError::Malformed)?;
        if found.format != FORMAT {
            return Err(DescriptionError::Newer(found.format));
        }
        if !is_block_size(found.block_size) {
            return Err(DescriptionError::BlockSize(found.block_size));
        }
        Ok(found)
    }

    pub fn to_text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("plain fields are always JSON");
        text.push(b'\n');
        text
    }
}

/// Bytes of a block that LIO and initiators agree on.
pub(crate) fn is_block_size(bytes: u32) -> bool {
    bytes == 512 || bytes == 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Description {
        Description::of(&VolumeSpec { size: 1 << 30, block_size: 512, owner: "default/data".into() })
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Description::parse(&sample().to_text()).unwrap(), sample());
    }

    #[test]
    fn the_format_on_disk_stays_as_it_is() {
        let text = r#"{"format": 1, "blockSize": 512, "size": 1073741824, "owner": "default/data"}"#;
        assert_eq!(Description::parse(text.as_bytes()).unwrap(), sample());
    }

    #[test]
    fn nonsense_and_newer_formats_are_refused() {
        assert!(matches!(Description::parse(b"{"), Err(DescriptionError::Malformed(_))));
        let newer = Description { format: 2, ..sample() };
        assert!(matches!(Description::parse(&newer.to_text()), Err(DescriptionError::Newer(2))));
        let odd = Description { block_size: 520, ..sample() };
        assert!(matches!(Description::parse(&odd.to_text()), Err(DescriptionError::BlockSize(520))));
    }
}
