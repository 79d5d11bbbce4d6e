//! Repositories made with the real git, and pools over temporary caches.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_git::{GitPool, RefSpec, Remote, RepoUrl};

/// A bare repository under a server root, written with plumbing commands: no work tree, any name goes.
pub(crate) struct Origin {
    root: TempDir,
}

impl Origin {
    pub(crate) fn empty() -> Self {
        let origin = Self {
            root: TempDir::new().unwrap(),
        };
        run(
            origin.root.path(),
            &["init", "-q", "--bare", "-b", "master", "repo.git"],
            b"",
        );
        origin
    }

    /// With one commit of `a.yaml` on master.
    pub(crate) fn new() -> Self {
        let origin = Self::empty();
        origin.commit_files("master", &[("deploy/a.yaml", "a: 1\n")]);
        origin
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("repo.git")
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        run(&self.dir(), args, b"")
    }

    pub(crate) fn blob(&self, content: &[u8]) -> String {
        run(&self.dir(), &["hash-object", "-w", "--stdin"], content)
    }

    /// A tree from `mode type id\tname` lines, names unchecked by mktree beyond what it must.
    pub(crate) fn tree(&self, lines: &[(&str, &str, &str)]) -> String {
        let kind = |mode: &str| match mode {
            "040000" => "tree",
            "160000" => "commit",
            _ => "blob",
        };
        let text: Vec<u8> = lines
            .iter()
            .flat_map(|(mode, id, name)| format!("{mode} {} {id}\t{name}\0", kind(mode)).into_bytes())
            .collect();
        run(&self.dir(), &["mktree", "-z", "--missing"], &text)
    }

    /// A tree object from raw bytes, for names that no tool would write.
    pub(crate) fn raw_tree(&self, mode: &str, name: &[u8], id: &str) -> String {
        let raw: Vec<u8> = (0..20)
            .map(|i| u8::from_str_radix(&id[i * 2..i * 2 + 2], 16).unwrap())
            .collect();
        let bytes = [mode.as_bytes(), b" ", name, b"\0", &raw].concat();
        run(
            &self.dir(),
            &["hash-object", "-w", "-t", "tree", "--literally", "--stdin"],
            &bytes,
        )
    }

    /// Commits a tree onto a branch, with the branch's tip as parent.
    pub(crate) fn commit(&self, branch: &str, tree: &str) -> String {
        let tip = self.git(&[
            "for-each-ref",
            "--format=%(objectname)",
            &format!("refs/heads/{branch}"),
        ]);
        let mut args = vec!["commit-tree", tree, "-m", "A change\n\nbody"];
        if !tip.is_empty() {
            args.extend(["-p", &tip]);
        }
        let id = self.git(&args);
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &id]);
        id
    }

    /// A tree of files from nothing.
    pub(crate) fn files(&self, files: &[(&str, &str)]) -> String {
        let index = self.root.path().join("index");
        let _ = std::fs::remove_file(&index);
        for (path, content) in files {
            let id = self.blob(content.as_bytes());
            let info = format!("100644,{id},{path}");
            let mut command = git(&self.dir(), &["update-index", "--add", "--cacheinfo", &info]);
            assert!(command.env("GIT_INDEX_FILE", &index).status().unwrap().success());
        }
        let out = git(&self.dir(), &["write-tree"])
            .env("GIT_INDEX_FILE", &index)
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// A commit or tag object from its text.
    pub(crate) fn object(&self, kind: &str, text: &str) -> String {
        run(
            &self.dir(),
            &["hash-object", "-w", "-t", kind, "--stdin"],
            text.as_bytes(),
        )
    }

    pub(crate) fn commit_files(&self, branch: &str, files: &[(&str, &str)]) -> String {
        let tree = self.files(files);
        self.commit(branch, &tree)
    }
}

fn git(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "Ann\u{1b}[31m")
            .env(format!("GIT_{who}_EMAIL"), "ann@example.com");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    command
}

fn run(dir: &Path, args: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut command = git(dir, args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "git {args:?} failed");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

pub(crate) struct Pool {
    pub(crate) cache: TempDir,
    pub(crate) git: GitPool,
}

pub(crate) fn pool() -> Pool {
    let cache = TempDir::new().unwrap();
    let git = GitPool::new(cache.path(), 4).unwrap();
    Pool { cache, git }
}

impl Pool {
    /// The only mirror there is.
    pub(crate) fn mirror(&self) -> PathBuf {
        let all = self.mirrors();
        assert_eq!(all.len(), 1);
        all[0].clone()
    }

    pub(crate) fn mirrors(&self) -> Vec<PathBuf> {
        let found = std::fs::read_dir(self.cache.path().join("mirrors"));
        found.into_iter().flatten().map(|f| f.unwrap().path()).collect()
    }
}

pub(crate) fn remote(url: &str) -> Remote {
    Remote {
        timeout: Duration::from_secs(20),
        ..Remote::new(RepoUrl::parse(url).unwrap())
    }
}

pub(crate) fn master() -> RefSpec {
    RefSpec::Branch("master".to_owned())
}
