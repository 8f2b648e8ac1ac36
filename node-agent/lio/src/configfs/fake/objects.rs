//! configfs itself (`fs/configfs/dir.c`, `symlink.c`): directories, default groups, attributes, links, and when a
//! directory may go. Knows nothing of what the objects mean.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::super::{Entry, EntryKind};

/// What a directory is: decides what `mkdir` and `ln -s` in it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    Core,
    Hba,
    Device,
    Iscsi,
    Target,
    Tpg,
    Portals,
    Luns,
    Lun,
    Acls,
    Acl,
    MappedLun,
    Loopback,
    LoopTarget,
    LoopTpg,
    LoopAcls,
    /// Nothing can be made in it.
    Plain,
}

/// What an attribute accepts and how it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    ReadOnly,
    Number(i64, i64),
    Word(&'static [&'static str]),
    Chap,
    Methods,
    Control,
    DeviceEnable,
    Reconfigured,
    UnlessExported,
    UnitSerial,
    BlockDev,
    ResetRing,
    FreeKeptBuf,
    TpgEnable,
    Authentication,
    CmdsnDepth,
    WriteProtect,
    Nexus,
    Info,
    AuthenticateTarget,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    /// `default`: came with its parent and goes with it.
    Directory {
        kind: Kind,
        default: bool,
    },
    Attribute {
        text: String,
        rule: Rule,
    },
    Link(String),
}

/// Every path below the target root; the root itself is the empty path.
#[derive(Debug, Default)]
pub(super) struct Objects(BTreeMap<String, Item>);

/// Parent and last element.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

impl Objects {
    pub(super) fn exists(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn kind(&self, path: &str) -> Result<Kind, Errno> {
        match self.0.get(path) {
            Some(Item::Directory { kind, .. }) => Ok(*kind),
            Some(_) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    pub(super) fn attribute(&self, path: &str) -> Result<(&str, Rule), Errno> {
        match self.0.get(path) {
            Some(Item::Attribute { text, rule }) => Ok((text, *rule)),
            Some(Item::Directory { .. }) => Err(Errno::EISDIR),
            Some(Item::Link(_)) | None => Err(Errno::ENOENT),
        }
    }

    /// The text of an attribute that must be there; empty if it is not.
    pub(super) fn text(&self, path: &str) -> &str {
        self.attribute(path).map_or("", |(text, _)| text)
    }

    pub(super) fn link(&self, path: &str) -> Result<&str, Errno> {
        match self.0.get(path) {
            Some(Item::Link(to)) => Ok(to),
            Some(_) => Err(Errno::EPERM),
            None => Err(Errno::ENOENT),
        }
    }

    pub(super) fn add(&mut self, path: &str, item: Item) {
        self.0.insert(path.to_owned(), item);
    }

    pub(super) fn add_directory(&mut self, path: &str, kind: Kind, default: bool) {
        self.add(path, Item::Directory { kind, default });
    }

    /// Attributes of one directory: name, first text, rule.
    pub(super) fn add_attributes(&mut self, directory: &str, attributes: &[(&str, &str, Rule)]) {
        for (name, text, rule) in attributes {
            self.add(&join(directory, name), Item::Attribute { text: (*text).to_owned(), rule: *rule });
        }
    }

    pub(super) fn set(&mut self, path: &str, new: String) {
        if let Some(Item::Attribute { text, .. }) = self.0.get_mut(path) {
            *text = new;
        }
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<Entry>, Errno> {
        self.kind(path)?;
        let entry = |(child, item): (&String, &Item)| {
            let kind = match item {
                Item::Directory { .. } => EntryKind::Directory,
                Item::Attribute { .. } => EntryKind::Attribute,
                Item::Link(_) => EntryKind::Link,
            };
            Entry { name: split(child).1.to_owned(), kind }
        };
        Ok(self.children(path).map(entry).collect())
    }

    fn children(&self, path: &str) -> impl Iterator<Item = (&String, &Item)> {
        let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
        let length = inside.len();
        let below = self.0.range(inside.clone()..).take_while(move |(child, _)| child.starts_with(&inside));
        below.filter(move |(child, _)| child.len() > length && !child[length..].contains('/'))
    }

    /// The paths of the links that point at this object.
    pub(super) fn links_to<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(_, item)| matches!(item, Item::Link(to) if to == path))
            .map(|(link, _)| link.as_str())
    }

    /// The links that stand in this directory: path and what they point at.
    pub(super) fn links_in(&self, path: &str) -> impl Iterator<Item = (&str, &str)> {
        self.children(path).filter_map(|(link, item)| match item {
            Item::Link(to) => Some((link.as_str(), to.as_str())),
            _ => None,
        })
    }

    /// The paths of the directories of this kind.
    pub(super) fn of_kind(&self, wanted: Kind) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(_, item)| matches!(item, Item::Directory { kind, .. } if *kind == wanted))
            .map(|(path, _)| path.as_str())
    }

    /// `configfs_rmdir`: a default group is EPERM; a link's target is EBUSY; links or made directories in it, or in
    /// its default groups, are ENOTEMPTY (`configfs_detach_prep`).
    pub(super) fn remove_directory(&mut self, path: &str) -> Result<(), Errno> {
        match self.0.get(path) {
            Some(Item::Directory { default: false, .. }) => {}
            Some(Item::Directory { default: true, .. }) => return Err(Errno::EPERM),
            Some(_) => return Err(Errno::ENOTDIR),
            None => return Err(Errno::ENOENT),
        }
        self.may_detach(path)?;
        let below = format!("{path}/");
        self.0.retain(|other, _| other != path && !other.starts_with(&below));
        Ok(())
    }

    fn may_detach(&self, path: &str) -> Result<(), Errno> {
        if self.links_to(path).next().is_some() {
            return Err(Errno::EBUSY);
        }
        self.children(path).try_for_each(|(child, item)| match item {
            Item::Attribute { .. } => Ok(()),
            Item::Directory { default: true, .. } => self.may_detach(child),
            Item::Directory { default: false, .. } | Item::Link(_) => Err(Errno::ENOTEMPTY),
        })
    }

    pub(super) fn dump(&self) -> BTreeMap<String, String> {
        let text = |item: &Item| match item {
            Item::Directory { .. } => "/".to_owned(),
            Item::Attribute { text, .. } => text.clone(),
            Item::Link(to) => format!("-> {to}"),
        };
        self.0.iter().map(|(path, item)| (path.clone(), text(item))).collect()
    }
}
