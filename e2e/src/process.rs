//! Child processes: started with a log file, dying with the harness, ended by pid. Owns nothing above that.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// A name for messages and the log file.
    pub part: String,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment added to the harness's own.
    pub env: Vec<(String, String)>,
    /// Where stdout and stderr go, appended.
    pub log: PathBuf,
    /// Lives on when the harness ends (`e2e cluster-up`).
    pub detached: bool,
}

/// A running child; dropped means killed unless detached.
#[derive(Debug)]
pub struct Process {
    start: Start,
    child: Child,
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts a command from one thread that lives as long as the harness: the kernel sends the parent-death signal when
/// the *thread* that started a child ends, and test threads end early.
fn spawn_from_keeper(command: Command) -> std::io::Result<Child> {
    static KEEPER: OnceLock<Mutex<mpsc::SyncSender<Job>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (sender, jobs) = mpsc::sync_channel::<Job>(16);
        std::thread::spawn(move || {
            for (mut command, answer) in jobs {
                // The asker may have given up; then there is nobody to tell.
                drop(answer.send(command.spawn()));
            }
        });
        Mutex::new(sender)
    });
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    let (answer, answered) = mpsc::channel();
    keeper
        .lock()
        .map_err(|_| gone())?
        .send((command, answer))
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When the log cannot be opened or the program not started.
    pub fn start(start: Start) -> Result<Self> {
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&start.log)
                .map_err(Error::file(&start.log))
        };
        let (out, err) = (open()?, open()?);
        // setpriv(1) sets the parent-death signal and executes the program in its own place: the pid is the program's.
        let wrapper = if start.detached {
            &["setsid"][..]
        } else {
            &["setpriv", "--pdeathsig", "KILL", "--"][..]
        };
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(&start.program).args(&start.args);
        command.envs(start.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let program = format!("{} by {}", start.program.display(), wrapper[0]);
        let child = spawn_from_keeper(command).map_err(|source| Error::Start { program, source })?;
        Ok(Self { start, child })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.start.log
    }

    /// How it was started.
    #[must_use]
    pub fn how(&self) -> &Start {
        &self.start
    }

    /// The exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// An error about this part, with the end of its log.
    #[must_use]
    pub fn error(&self, message: &str) -> Error {
        let (part, log) = (self.start.part.clone(), self.start.log.clone());
        Error::Part {
            part,
            message: message.to_owned(),
            tail: tail(&log, 4096),
            log,
        }
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, `KILL`).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.child.id(), name)
    }

    /// Kills at once and collects it.
    pub fn kill(&mut self) {
        // Both fail only when it is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to end and kills it after `grace`; the exit status tells which.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        if self.ended().is_none() {
            self.signal("TERM")?;
        }
        let until = Instant::now() + grace;
        while Instant::now() < until {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        self.child.wait().map_err(|source| Error::Start {
            program: self.start.part.clone(),
            source,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.start.detached {
            self.kill();
        }
    }
}

/// Sends a signal by name to a process this harness started.
///
/// # Errors
/// When the process is gone.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let (name, pid) = (format!("-{name}"), pid.to_string());
    // `kill` is a shell builtin everywhere; the binary is not.
    run(Command::new("sh").args(["-c", "kill \"$0\" \"$1\"", &name, &pid])).map(drop)
}

/// Runs a short command to its end; its stdout.
///
/// # Errors
/// When it cannot be started or does not end well.
pub fn run(command: &mut Command) -> Result<String> {
    let line = format!("{command:?}").replace('"', "");
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command {
        command: line,
        status: output.status.to_string(),
        stderr,
    })
}

/// The last `bytes` of a file, whole lines where possible; empty when unreadable.
#[must_use]
pub fn tail(path: &Path, bytes: u64) -> String {
    let Ok(mut file) = File::open(path) else {
        return String::new();
    };
    let length = file.metadata().map(|m| m.len()).unwrap_or(0);
    let mut text = Vec::new();
    if file.seek(SeekFrom::Start(length.saturating_sub(bytes))).is_err()
        || file.take(bytes).read_to_end(&mut text).is_err()
    {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A loopback port nobody listens on now.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    let no_port = |source| Error::Start {
        program: "a loopback listener".to_owned(),
        source,
    };
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(no_port)?;
    Ok(listener.local_addr().map_err(no_port)?.port())
}
