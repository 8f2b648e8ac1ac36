//! Reads the iSCSI target of one LUN.
//!
//! What somebody put into our target by hand and our types have no word for (an ACL that is not an IQN, a portal
//! written another way, a link of another name) comes back as the steps that clear it.

use super::{ReadError, directories, links, number, optional_number, settings, text};
use crate::configfs::Configfs;
use crate::iqn::Iqn;
use crate::name::{BackstoreName, LunNumber, TpgTag, Uid};
use crate::node::Node;
use crate::portal::Portal;
use crate::secret::{Chap, Login, Secret};
use crate::settings::{TPG_ATTRIB, TPG_PARAM};
use crate::step::Step;
use crate::tree::{Acl, Lun, MappedLun, Target, Tpg};

/// The target and how to clear its strays; `None` if it is not there.
pub(super) fn read(
    fs: &dyn Configfs,
    iqn: &Iqn,
    device: &Node,
    uid: &Uid,
) -> Result<Option<(Target, Vec<Step>)>, ReadError> {
    if !super::exists(fs, &Node::target(iqn))? {
        return Ok(None);
    }
    let mut reader = Reader { fs, device, link: BackstoreName::of(uid), strays: Vec::new() };
    let mut target = Target { iqn: iqn.clone(), tpgs: Default::default() };
    for name in directories(fs, &Node::target(iqn))?.iter().filter(|name| name.starts_with("tpgt_")) {
        let node = Node::target(iqn).child(name);
        match TpgTag::from_directory(name) {
            Some(tag) => {
                target.tpgs.insert(tag, reader.tpg(&node)?);
            }
            None => reader.clear_tpg(&node)?,
        }
    }
    Ok(Some((target, reader.strays)))
}

struct Reader<'a> {
    fs: &'a dyn Configfs,
    device: &'a Node,
    link: BackstoreName,
    strays: Vec<Step>,
}

impl Reader<'_> {
    fn tpg(&mut self, node: &Node) -> Result<Tpg, ReadError> {
        let mut tpg = Tpg {
            enabled: number::<u8>(self.fs, &node.child("enable"))? != 0,
            attrib: settings(self.fs, &node.child("attrib"), TPG_ATTRIB)?,
            param: settings(self.fs, &node.child("param"), TPG_PARAM)?,
            auth_method: text(self.fs, &node.child("param/AuthMethod"))?.unwrap_or_default(),
            portals: Default::default(),
            luns: Default::default(),
            acls: Default::default(),
        };
        self.acls(node, &mut tpg)?;
        self.portals(node, &mut tpg)?;
        self.luns(node, &mut tpg)?;
        Ok(tpg)
    }

    fn portals(&mut self, node: &Node, tpg: &mut Tpg) -> Result<(), ReadError> {
        for name in directories(self.fs, &node.child("np"))? {
            match Portal::parse(&name) {
                Ok(portal) if portal.to_string() == name => {
                    tpg.portals.insert(portal);
                }
                _ => self.strays.push(Step::Rmdir(node.child("np").child(&name))),
            }
        }
        Ok(())
    }

    fn luns(&mut self, node: &Node, tpg: &mut Tpg) -> Result<(), ReadError> {
        for name in directories(self.fs, &node.child("lun"))? {
            let directory = node.child("lun").child(&name);
            match LunNumber::from_directory(&name) {
                Some(number) => {
                    tpg.luns.insert(number, self.lun(&directory)?);
                }
                None => self.clear(&directory)?,
            }
        }
        Ok(())
    }

    fn lun(&self, directory: &Node) -> Result<Lun, ReadError> {
        let Some(name) = links(self.fs, directory)?.into_iter().next() else { return Ok(Lun::Bare) };
        let link = directory.child(&name);
        match self.fs.read_link(&link) {
            Ok(to) if to == *self.device && name == self.link.as_str() => Ok(Lun::Linked),
            Ok(to) => Ok(Lun::Foreign { link, to: to.to_string() }),
            Err(errno) => Ok(Lun::Foreign { link, to: format!("an unreadable place ({errno})") }),
        }
    }

    fn acls(&mut self, node: &Node, tpg: &mut Tpg) -> Result<(), ReadError> {
        for name in directories(self.fs, &node.child("acls"))? {
            let directory = node.child("acls").child(&name);
            match Iqn::parse(&name) {
                Ok(initiator) if initiator.as_str() == name => {
                    let acl = self.acl(&directory, node)?;
                    tpg.acls.insert(initiator, acl);
                }
                _ => self.clear_acl(&directory)?,
            }
        }
        Ok(())
    }

    fn acl(&mut self, directory: &Node, tpg: &Node) -> Result<Acl, ReadError> {
        let mut acl = Acl {
            chap: chap(self.fs, &directory.child("auth"))?,
            authentication: optional_number(self.fs, &directory.child("attrib/authentication"))?,
            cmdsn_depth: number(self.fs, &directory.child("cmdsn_depth"))?,
            luns: Default::default(),
        };
        for name in mapped_luns(self.fs, directory)? {
            let mapped = directory.child(&name);
            match LunNumber::from_directory(&name) {
                Some(number) => {
                    let lun = self.mapped_lun(&mapped, tpg)?;
                    acl.luns.insert(number, lun);
                }
                None => self.clear(&mapped)?,
            }
        }
        Ok(acl)
    }

    fn mapped_lun(&mut self, directory: &Node, tpg: &Node) -> Result<MappedLun, ReadError> {
        let read_only = number::<u8>(self.fs, &directory.child("write_protect"))? != 0;
        let mut mapped = MappedLun { lun: None, read_only };
        for name in links(self.fs, directory)? {
            let link = directory.child(&name);
            let to = self.fs.read_link(&link).ok().filter(|to| to.parent() == Some(tpg.child("lun")));
            match to.and_then(|to| LunNumber::from_directory(to.name())) {
                Some(lun) if name == self.link.as_str() => mapped.lun = Some(lun),
                _ => self.strays.push(Step::Unlink(link)),
            }
        }
        Ok(mapped)
    }

    /// A directory with links and no directories of its own that could be removed.
    fn clear(&mut self, directory: &Node) -> Result<(), ReadError> {
        let names = links(self.fs, directory)?;
        self.strays.extend(names.iter().map(|name| Step::Unlink(directory.child(name))));
        self.strays.push(Step::Rmdir(directory.clone()));
        Ok(())
    }

    fn clear_acl(&mut self, directory: &Node) -> Result<(), ReadError> {
        for name in mapped_luns(self.fs, directory)? {
            self.clear(&directory.child(&name))?;
        }
        self.strays.push(Step::Rmdir(directory.clone()));
        Ok(())
    }

    fn clear_tpg(&mut self, node: &Node) -> Result<(), ReadError> {
        self.strays.push(Step::Disable(node.clone()));
        for name in directories(self.fs, &node.child("acls"))? {
            self.clear_acl(&node.child("acls").child(&name))?;
        }
        let portals = directories(self.fs, &node.child("np"))?;
        self.strays.extend(portals.iter().map(|name| Step::Rmdir(node.child("np").child(name))));
        for name in directories(self.fs, &node.child("lun"))? {
            self.clear(&node.child("lun").child(&name))?;
        }
        self.strays.push(Step::Rmdir(node.clone()));
        Ok(())
    }
}

/// The directories of an ACL that are not the kernel's own.
fn mapped_luns(fs: &dyn Configfs, acl: &Node) -> Result<Vec<String>, ReadError> {
    Ok(directories(fs, acl)?.into_iter().filter(|name| name.starts_with("lun_")).collect())
}

/// What an ACL's `auth/` holds; a half-written login has an empty name or secret.
fn chap(fs: &dyn Configfs, auth: &Node) -> Result<Option<Chap>, ReadError> {
    let initiator = login(fs, auth, "userid", "password")?;
    let target = login(fs, auth, "userid_mutual", "password_mutual")?;
    let nobody = || Login { user: String::new(), password: Secret::new("") };
    match (initiator, target) {
        (None, None) => Ok(None),
        (initiator, target) => Ok(Some(Chap { initiator: initiator.unwrap_or_else(nobody), target })),
    }
}

fn login(fs: &dyn Configfs, auth: &Node, user: &str, password: &str) -> Result<Option<Login>, ReadError> {
    // The kernel keeps the word by which it was told that there is none.
    let read =
        |name: &str| Ok(text(fs, &auth.child(name))?.filter(|text| !text.starts_with("NULL")).unwrap_or_default());
    let (user, password): (String, String) = (read(user)?, read(password)?);
    let login = Login { user, password: Secret::new(password) };
    Ok(Some(login).filter(|login| !login.user.is_empty() || !login.password.expose().is_empty()))
}
