//! ListVolumes, ControllerGetVolume and their like: what there is, a page at a time.
//!
//! Every Lun is a volume: any can be given a PersistentVolume by hand. Pages are in the order of the ids, and a
//! token is the last id of a page, so that Luns that come and go between two pages neither repeat nor hide
//! any other.

use lunette_api::Lun;
use lunette_api::csi::VolumeId;
use thiserror::Error;

use super::cluster::{self, Cluster};
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::{Driver, initiator, volume};
use crate::error::Error;

/// Why nothing is listed.
#[derive(Debug, Error)]
pub enum ListError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The token is none of ours.
    #[error("starting_token {0:?} is none that this driver gave: begin again without one")]
    Token(String),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// There is no such snapshot.
    #[error("there is no snapshot {0}")]
    NoSnapshot(String),
    /// Nothing is known yet, which is not the same as that there is nothing.
    #[error("the Luns have not been seen yet: the driver has just started, or does not reach the API server")]
    NotSeen,
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for ListError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            // As CSI asks: the caller begins again.
            Self::Token(_) => Kind::Busy,
            Self::NoVolume(_) | Self::NoSnapshot(_) => Kind::NotFound,
            Self::NotSeen => Kind::Unavailable,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// So many entries at most; `None`: all.
    pub most: Option<usize>,
    /// The last id of the page before.
    pub after: Option<VolumeId>,
}

impl Page {
    /// Reads the call.
    ///
    /// # Errors
    /// When the number is negative, or the token none of ours.
    pub fn read(max_entries: i32, starting_token: &str) -> Result<Self, ListError> {
        let most = usize::try_from(max_entries).map_err(|_| ParseError::NegativeEntries(max_entries))?;
        let after = match starting_token {
            "" => None,
            token => Some(token.parse().map_err(|_| ListError::Token(token.to_owned()))?),
        };
        Ok(Self { most: (most > 0).then_some(most), after })
    }

    /// The page of these entries, and the token of the next; empty: there is none.
    pub fn of<T>(&self, mut all: Vec<T>, id: impl Fn(&T) -> VolumeId) -> (Vec<T>, String) {
        all.sort_by_cached_key(&id);
        let mut rest: Vec<T> =
            all.into_iter().filter(|t| self.after.as_ref().is_none_or(|after| id(t) > *after)).collect();
        let most = self.most.unwrap_or(rest.len());
        let more = rest.len() > most;
        rest.truncate(most);
        let token = rest.last().filter(|_| more).map(|last| id(last).to_string()).unwrap_or_default();
        (rest, token)
    }
}

/// A volume and the nodes that have it.
pub type Published = (Lun, Vec<String>);

/// A page of the volumes, and the token of the next.
///
/// # Errors
/// When the Luns have not been seen yet.
pub fn list<C: Cluster>(driver: &Driver<C>, page: &Page) -> Result<(Vec<Published>, String), ListError> {
    let (luns, token) = page.of(driver.cluster.luns().ok_or(ListError::NotSeen)?, volume::id);
    let entries = luns.into_iter().map(|lun| {
        let on = initiator::nodes(&lun);
        (lun, on)
    });
    Ok((entries.collect(), token))
}

/// One volume.
///
/// # Errors
/// When there is none.
pub async fn get<C: Cluster>(driver: &Driver<C>, id: &str) -> Result<Published, ListError> {
    let no_volume = || ListError::NoVolume(id.to_owned());
    let lun_id = parse::volume_id(id)?.ok_or_else(no_volume)?;
    let lun = driver.cluster.lun(&lun_id).await?.ok_or_else(no_volume)?;
    let on = initiator::nodes(&lun);
    Ok((lun, on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<VolumeId> {
        names.iter().map(|name| format!("ns/{name}").parse().expect("an id")).collect()
    }

    fn page(most: i32, token: &str, names: &[&str]) -> (Vec<String>, String) {
        let (entries, token) = Page::read(most, token).expect("a page").of(ids(names), Clone::clone);
        (entries.into_iter().map(|id| id.name).collect(), token)
    }

    #[test]
    fn pages_follow_each_other_whatever_comes_and_goes() {
        let all = ["c", "a", "b"];
        assert_eq!(page(0, "", &all), (vec!["a".into(), "b".into(), "c".into()], String::new()));
        assert_eq!(page(2, "", &all), (vec!["a".into(), "b".into()], "ns/b".to_owned()));
        assert_eq!(page(2, "ns/b", &all), (vec!["c".into()], String::new()));
        assert_eq!(page(2, "ns/b", &["a", "c", "bb"]), (vec!["bb".into(), "c".into()], String::new()));
        assert_eq!(page(1, "ns/b", &["bb", "c"]), (vec!["bb".into()], "ns/bb".to_owned()));
        assert_eq!(page(3, "", &all).1, "");
        assert_eq!(page(1, "", &[]), (vec![], String::new()));
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        assert!(matches!(Page::read(0, "invalid-token"), Err(ListError::Token(_))));
        assert!(matches!(Page::read(-1, ""), Err(ListError::Parse(ParseError::NegativeEntries(-1)))));
    }
}
