//! A working copy driven by the real git command line, cut off from the user's own configuration. Owns one folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process::run;

/// A git command that reads no configuration of the machine or user and asks nobody.
#[must_use]
pub fn git() -> Command {
    let mut command = Command::new("git");
    for variable in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
    ] {
        command.env_remove(variable);
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    // Test folders may belong to another user than the one running (containers, CI checkouts).
    command.args(["-c", "safe.directory=*", "-c", "gc.auto=0", "-c", "http.proxy="]);
    command
}

/// A working copy with one remote, on `master`.
#[derive(Debug)]
pub struct TestRepo {
    dir: PathBuf,
    environment: Vec<(String, String)>,
}

impl TestRepo {
    /// Makes a working copy in `dir` whose remote is `url`.
    ///
    /// # Errors
    /// When git fails.
    pub fn new(dir: &Path, url: &str) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let repo = Self {
            dir: dir.to_owned(),
            environment: Vec::new(),
        };
        repo.git(&["init", "--quiet", "--initial-branch=master"])?;
        repo.git(&["remote", "add", "origin", url])?;
        Ok(repo)
    }

    /// Adds an environment variable to every later git command, such as `GIT_SSH_COMMAND`.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs git in the working copy; its stdout without the last newline.
    ///
    /// # Errors
    /// When git fails; the message has its stderr.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        let mut command = git();
        command.arg("-C").arg(&self.dir).args(args);
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        run(&mut command).map(|text| text.trim_end().to_owned())
    }

    /// Writes a file, with the folders it needs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.dir.join(path);
        let folder = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        std::fs::write(&path, text).map_err(Error::file(&path))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = self.dir.join(path);
        std::fs::read_to_string(&path).map_err(Error::file(&path))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, path: &str) -> Result<()> {
        let path = self.dir.join(path);
        std::fs::remove_file(&path).map_err(Error::file(&path))
    }

    /// Copies a folder into the working copy, at its root.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn copy_from(&self, folder: &Path) -> Result<()> {
        run(Command::new("cp").arg("-R").arg(folder.join(".")).arg(&self.dir)).map(drop)
    }

    /// Commits everything as `author` (`Name <mail>`), an empty change too; the commit's id.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit(&self, message: &str, author: &str) -> Result<String> {
        let (name, mail) = author.split_once(" <").unwrap_or((author, "e2e@example.com>"));
        let (name, mail) = (
            format!("user.name={name}"),
            format!("user.email={}", mail.trim_end_matches('>')),
        );
        self.git(&["add", "--all"])?;
        self.git(&[
            "-c",
            &name,
            "-c",
            &mail,
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            message,
        ])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes the current branch.
    ///
    /// # Errors
    /// When git fails.
    pub fn push(&self) -> Result<()> {
        self.git(&["push", "--quiet", "origin", "HEAD"]).map(drop)
    }

    /// Pushes the current branch over whatever is there.
    ///
    /// # Errors
    /// When git fails.
    pub fn force_push(&self) -> Result<()> {
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"])
            .map(drop)
    }

    /// Commits everything and pushes it; the commit's id.
    ///
    /// # Errors
    /// When git fails.
    pub fn publish(&self, message: &str, author: &str) -> Result<String> {
        let commit = self.commit(message, author)?;
        self.push()?;
        Ok(commit)
    }
}
