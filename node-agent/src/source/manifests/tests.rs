//! A directory of manifests that changes under us: what it says, what it goes on saying, what it is told of.

mod anything;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

fn manifest(name: &str, extra: &str) -> String {
    format!(
        "apiVersion: lunette.io/v1alpha1\nkind: Lun\nmetadata: {{name: {name}}}\nspec: {{pool: files, size: 1Gi{extra}}}\n"
    )
}

struct Directory {
    dir: TempDir,
    manifests: Manifests,
}

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("m")).unwrap();
        let manifests = agent(dir.path());
        Self { dir, manifests }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("m").join(name)
    }

    /// By another inode, as editors and `kubectl cp` do, so that the clock's steps do not matter.
    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(".new"), text).unwrap();
        fs::rename(self.path(".new"), self.path(name)).unwrap();
    }

    fn look(&self) -> (View, Vec<String>) {
        self.manifests.read();
        self.manifests.load()
    }

    fn names(&self) -> Vec<String> {
        names(&self.look().0)
    }

    fn restart(&mut self) {
        self.manifests = agent(self.dir.path());
    }
}

fn agent(dir: &Path) -> Manifests {
    Manifests::new(dir.join("m"), "here".to_owned(), &dir.join("state")).unwrap()
}

fn names(view: &View) -> Vec<String> {
    let mut names: Vec<String> = view.luns.values().map(|lun| lun.metadata.name.clone().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_come_change_and_go() {
    let dir = Directory::new();
    assert!(dir.names().is_empty());
    dir.put("a.yaml", &manifest("a", ""));
    dir.put("b.json", r#"{"apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "b"}, "spec": {"pool": "files", "size": 512}}"#);
    dir.put("c.txt", "no manifest");
    assert_eq!(dir.names(), ["a", "b"]);
    assert!(!dir.manifests.read(), "nothing changed");
    fs::remove_file(dir.path("a.yaml")).unwrap();
    assert!(dir.manifests.read());
    assert_eq!(dir.names(), ["b"]);
}

#[test]
fn a_new_spec_is_a_new_generation_and_the_same_identity() {
    let dir = Directory::new();
    let look = || dir.look().0.luns.into_iter().map(|(uid, lun)| (uid, lun.metadata.generation)).next().unwrap();
    dir.put("a.yaml", &manifest("a", ""));
    let (uid, first) = look();
    dir.put("a.yaml", &format!("# a remark\n{}", manifest("a", "")));
    assert_eq!(look(), (uid.clone(), first));
    dir.put("a.yaml", &manifest("a", ", blockSize: 4096"));
    assert_eq!((first, look()), (Some(1), (uid, Some(2))));
}

#[test]
fn a_file_that_cannot_be_understood_keeps_what_it_said() {
    let dir = Directory::new();
    dir.put("a.yaml", &manifest("a", ""));
    assert_eq!(dir.names(), ["a"]);
    dir.put("a.yaml", "kind: [");
    let (view, notices) = dir.look();
    assert_eq!((names(&view), view.complete), (vec!["a".to_owned()], true));
    assert!(notices[0].starts_with("a.yaml: document 1 is not YAML: "), "{notices:?}");
    assert!(notices[0].ends_with("; what it said before stays in force"), "{notices:?}");
    dir.put("a.yaml", &manifest("b", ""));
    assert_eq!((dir.names(), dir.look().1), (vec!["b".to_owned()], vec![]));
}

#[test]
fn after_a_restart_a_broken_file_is_stood_in_for_by_what_was_last_wanted() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &manifest("a", ""));
    dir.put("b.yaml", &manifest("b", ""));
    assert!(dir.look().0.complete);
    dir.restart();
    dir.put("a.yaml", "kind: [");
    dir.put("c.yaml", &manifest("c", ""));
    let (view, _) = dir.look();
    assert_eq!((names(&view), view.complete), (vec!["a".into(), "b".into(), "c".into()], false));
    fs::remove_file(dir.path("a.yaml")).unwrap();
    let (view, _) = dir.look();
    assert_eq!((names(&view), view.complete), (vec!["b".into(), "c".into()], true));
}

#[test]
fn a_directory_that_vanished_keeps_what_it_said() {
    let dir = Directory::new();
    dir.put("a.yaml", &manifest("a", ""));
    assert_eq!(dir.names(), ["a"]);
    fs::remove_dir_all(dir.dir.path().join("m")).unwrap();
    let (view, notices) = dir.look();
    assert_eq!((names(&view), view.complete), (vec!["a".to_owned()], false));
    assert!(notices[0].contains("cannot be read") && notices[0].ends_with("what it said before stays in force"));
    assert!(!dir.manifests.read(), "no news a second time");
}

#[test]
fn a_name_given_twice_is_the_first_files_and_is_told() {
    let dir = Directory::new();
    dir.put("a.yaml", &manifest("db", ""));
    dir.put("b.yaml", &manifest("db", ", blockSize: 4096"));
    let (view, notices) = dir.look();
    assert_eq!(view.luns.values().map(|lun| lun.spec.block_size).collect::<Vec<_>>(), [512]);
    assert!(notices[0].starts_with("b.yaml: Lun "), "{notices:?}");
    assert!(notices[0].ends_with("was already given by an earlier file or document, which stays in force: rename one"));
}

#[test]
fn a_uid_is_kept_if_it_is_one_and_nobody_elses() {
    let dir = Directory::new();
    let uid = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
    let with = |name: &str, uid: &str| manifest(name, "").replace("}\nspec", &format!(", uid: {uid:?}}}\nspec"));
    dir.put("a.yaml", &with("a", uid));
    dir.put("b.yaml", &with("b", uid));
    dir.put("c.yaml", &with("c", "../../etc"));
    let (view, notices) = dir.look();
    assert_eq!(view.luns.keys().collect::<Vec<_>>(), [uid]);
    assert_eq!(
        notices,
        [
            "c.yaml: document 1: Lun c: the uid \"../../etc\" is no UUID: leave metadata.uid out, and the Lun is given one",
            "b.yaml: Lun default/b has the uid of another: leave metadata.uid out",
        ]
    );
}

#[test]
fn only_this_nodes_luns_are_taken() {
    let dir = Directory::new();
    dir.put("a.yaml", &format!("{}---\n{}", manifest("a", ", nodeName: here"), manifest("b", ", nodeName: there")));
    assert_eq!(dir.names(), ["a"]);
}

#[test]
fn a_huge_file_is_refused_by_its_size_and_what_is_no_file_by_that() {
    let dir = Directory::new();
    // A hundred megabytes of nothing: read, it would be a null document and no trouble.
    fs::File::create(dir.path("huge.yaml")).unwrap().set_len(100 << 20).unwrap();
    nix::unistd::mkfifo(&dir.path("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (view, notices) = dir.look();
    assert!(!view.complete);
    assert_eq!(
        notices,
        [
            "huge.yaml: has more than 8 MiB, which no set of manifests needs: split it or take it away",
            "pipe.yaml: is no file: only files and links to files are read",
        ]
    );
}

#[test]
fn a_secret_is_found_by_namespace_and_name() {
    let dir = Directory::new();
    dir.put(
        "s.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: prod}\nstringData: {username: a}\n",
    );
    dir.look();
    assert_eq!(dir.manifests.secret("prod", "s").unwrap()["username"], b"a");
    let trouble = dir.manifests.secret("default", "s").unwrap_err();
    let expected = format!("there is no Secret s in namespace default: add its manifest to {}", dir.path("").display());
    assert_eq!(trouble.message, expected.trim_end_matches('/'));
}

#[test]
fn a_deletion_counts_once_and_only_with_the_data() {
    let dir = Directory::new();
    dir.put("a.yaml", &manifest("a", ", reclaimPolicy: Delete"));
    let look = || dir.look().0.luns.into_values().next().unwrap();
    let first = look();
    dir.manifests.gone(&first, false);
    assert_eq!(look().metadata.uid, first.metadata.uid, "its data are there");
    dir.manifests.gone(&first, true);
    assert!(dir.manifests.read(), "the name means another LUN now");
    let second = look();
    assert_ne!(second.metadata.uid, first.metadata.uid);
    dir.manifests.gone(&first, true);
    assert_eq!(look().metadata.uid, second.metadata.uid, "that one was counted");
}

#[test]
fn a_view_is_replaced_only_by_one_that_says_something_else() {
    let dir = Directory::new();
    dir.put("a.yaml", &manifest("a", ""));
    let mut view = View::default();
    assert!(replace_if_other(&mut view, dir.look().0));
    std::thread::sleep(Duration::from_millis(5));
    dir.put("a.yaml", &manifest("a", ""));
    assert!(!replace_if_other(&mut view, dir.look().0), "only its time is another");
    dir.put("a.yaml", &manifest("a", ", writeCache: WriteThrough"));
    assert!(replace_if_other(&mut view, dir.look().0));
    dir.put("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: a}\n");
    assert!(replace_if_other(&mut view, dir.look().0), "workers read Secrets by name when they are told to look");
    assert!(!replace_if_other(&mut view, dir.look().0));
    dir.put(
        "p.yaml",
        "apiVersion: lunette.io/v1alpha1\nkind: LunPool\nmetadata: {name: files}\nspec: {directory: {path: /a}}\n",
    );
    assert!(replace_if_other(&mut view, dir.look().0));
    dir.put("b.yaml", "kind: [");
    assert!(replace_if_other(&mut view, dir.look().0), "it is no longer complete");
}
