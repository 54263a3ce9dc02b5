//! The sandbox: finds its interpreter once, then runs programs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use groupwise_core::ParamError;
use tempfile::TempDir;

use super::process::{Ended, run, system};
use super::{
    Isolation, ProgramReport, SandboxConfig, SandboxError, StdinTest, TestReport, TestStatus, asserts,
    same_output,
};

/// Closes the sandbox from inside.
const BOOT: &str = include_str!("boot.py");
/// Time for what is not the program's own: finding the interpreter, trying namespaces.
const PROBE_TIME: Duration = Duration::from_secs(30);
/// Exit status that stands for the signal of a limit on processor time.
const OUT_OF_CPU_TIME: i32 = 128 + 24;

/// Runs Python programs against tests.
///
/// # Edge cases
/// - The interpreter is looked for, and namespaces are tried, at the first run; what was found holds from then on.
/// - Programs may run at once from several threads.
/// - A program in which no bytes stand (an empty reply) is run as well: it prints nothing and defines nothing.
///
/// # Errors
/// [`SandboxError`]: no interpreter, no namespaces where they were asked for, or the operating system refuses to start a process
/// or to make a folder.  Never because of the program.
///
/// # Source
/// Ours.  Outputs are compared whole; Open-R1's published comparison looks at the lines that both have.
///
/// # Example
/// ```no_run
/// use groupwise_reward::sandbox::{Sandbox, SandboxConfig, StdinTest, TestStatus};
/// let sandbox = Sandbox::new(SandboxConfig::default())?;
/// let test = StdinTest { stdin: "2 3\n".to_owned(), stdout: "5\n".to_owned() };
/// let report = sandbox.stdin_tests("print(sum(map(int, input().split())))", &[test])?;
/// assert_eq!(report.overall(), TestStatus::Pass);
/// let report = sandbox.assertions("def f(x): return 2 * x", &["assert f(2) == 4".to_owned()])?;
/// assert_eq!(report.fraction(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    host: OnceLock<Result<Host, SandboxError>>,
}

/// What this machine offers.
#[derive(Clone, Debug)]
struct Host {
    python: PathBuf,
    isolation: Isolation,
}

impl Sandbox {
    /// Checks the configuration; nothing is run yet.
    ///
    /// # Errors
    /// Those of [`SandboxConfig`].
    pub fn new(config: SandboxConfig) -> Result<Self, ParamError> {
        config.check()?;
        Ok(Self {
            config,
            host: OnceLock::new(),
        })
    }

    /// What programs are kept apart by on this machine: namespaces or a process group.
    ///
    /// # Errors
    /// Those of [`Sandbox`].
    pub fn isolation(&self) -> Result<Isolation, SandboxError> {
        self.host().map(|host| host.isolation)
    }

    /// Runs a program once for each test: the input given, the whole output compared.
    ///
    /// # Edge cases
    /// Exit status 0 and the right output pass.  The right output before a crash is an error, more output than is read a failure.
    ///
    /// # Errors
    /// Those of [`Sandbox`].
    pub fn stdin_tests(&self, program: &str, tests: &[StdinTest]) -> Result<ProgramReport, SandboxError> {
        let host = self.host()?;
        let run = |test: &StdinTest| {
            let room = Room::new(&[("program.py", program)], &["work"])?;
            let file = room.path("program.py");
            let command = self.command(host, &room.path("work"), [file.as_os_str()]);
            let ended = self.run(command, test.stdin.clone().into_bytes())?;
            Ok(self.judge(&ended, &test.stdout))
        };
        let tests = tests.iter().map(run).collect::<Result<_, _>>()?;
        Ok(ProgramReport { tests })
    }

    /// Runs tests, each one or more statements of Python, with the names that a program defines.
    ///
    /// The tests run in a process of their own and call the program's functions in another one; only plain data travels between
    /// them.  So a program can neither end the tests as passed, nor print a mark of success, nor return an object that is equal to
    /// everything, nor find the values that are expected.
    ///
    /// # Edge cases
    /// - Arguments and results of built-in types travel by value, and what a call does to a list, dictionary or set is done to the
    ///   caller's; an instance of a subclass becomes one of the built-in type.  Other objects stay where they are: attributes, items, calls, iteration,
    ///   length and truth go through; arithmetic and order do not, and such an object is equal to no plain data.
    /// - Exceptions of built-in types arrive as such; others as none that a test could name.
    /// - A built-in name that the program defines (`abs`) counts only if the tests name nothing else of the program.
    /// - A program that does not load, or ends the process: error for every test that is left.
    ///
    /// # Errors
    /// Those of [`Sandbox`].
    pub fn assertions(&self, program: &str, tests: &[String]) -> Result<ProgramReport, SandboxError> {
        let host = self.host()?;
        let files = [
            ("program.py", program),
            ("callee.py", asserts::CALLEE),
            ("caller.py", asserts::CALLER),
        ];
        let room = Room::new(&files, &["program", "tests"])?;
        let max_bytes = self.output_bytes().to_string();
        let max_bytes = OsStr::new(&max_bytes);
        let (callee, caller, file) = (
            room.path("callee.py"),
            room.path("caller.py"),
            room.path("program.py"),
        );
        let callee = [callee.as_os_str(), file.as_os_str(), max_bytes];
        let callee = self.command(host, &room.path("program"), callee);
        let caller = self.command(host, &room.path("tests"), [caller.as_os_str(), max_bytes]);
        let tests = asserts::run(callee, caller, tests, self.time())?;
        Ok(ProgramReport { tests })
    }

    fn judge(&self, ended: &Ended, expected: &str) -> TestReport {
        let code = ended.status.code();
        if !ended.in_time || code == Some(OUT_OF_CPU_TIME) {
            return TestReport::new(
                TestStatus::Timeout,
                format!("not within {} s", self.config.time_s),
            );
        }
        if ended.output.cut {
            let why = format!("more than {} KB of output", self.config.output_kb);
            return TestReport::new(TestStatus::Fail, why);
        }
        if code != Some(0) {
            return TestReport::new(TestStatus::Error, ended.last_words.clone());
        }
        if same_output(&String::from_utf8_lossy(&ended.output.bytes), expected) {
            TestReport::new(TestStatus::Pass, "")
        } else {
            TestReport::new(TestStatus::Fail, "another output")
        }
    }

    fn host(&self) -> Result<&Host, SandboxError> {
        self.host
            .get_or_init(|| self.find_host())
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Finds the interpreter behind a name that may be a script of a version manager, then tries namespaces.
    fn find_host(&self) -> Result<Host, SandboxError> {
        let failed = |reason: String| SandboxError::Python {
            python: self.config.python.clone(),
            reason,
        };
        const ASK: &str = "import resource, sys; print(sys.executable if sys.version_info >= (3, 9) else '')";
        let mut command = Command::new(&self.config.python);
        command.args(["-I", "-S", "-c", ASK]);
        let ended = run(command, Vec::new(), PROBE_TIME, 1 << 16).map_err(|e| failed(e.to_string()))??;
        let path = String::from_utf8_lossy(&ended.output.bytes).trim_end().to_owned();
        match (ended.status.code(), path.is_empty()) {
            (Some(0), false) => self.try_isolation(PathBuf::from(path)),
            (Some(0), true) => Err(failed("it is older than 3.9".to_owned())),
            _ => Err(failed(ended.last_words)),
        }
    }

    fn try_isolation(&self, python: PathBuf) -> Result<Host, SandboxError> {
        let host = |isolation| Host {
            python: python.clone(),
            isolation,
        };
        if self.config.isolation == Isolation::ProcessGroup {
            return Ok(host(Isolation::ProcessGroup));
        }
        let inside = host(Isolation::Namespaces);
        let room = Room::new(&[("program.py", "print(open('x', 'w').write('12'))")], &["work"])?;
        let file = room.path("program.py");
        let command = self.command(&inside, &room.path("work"), [file.as_os_str()]);
        let reason = match run(command, Vec::new(), PROBE_TIME, 1 << 16) {
            Ok(ended) => {
                let ended = ended?;
                if ended.status.success() && ended.output.bytes == b"2\n" {
                    return Ok(inside);
                }
                ended.last_words
            }
            Err(error) => format!("unshare: {error}"),
        };
        match self.config.isolation {
            Isolation::Namespaces => Err(SandboxError::Namespaces { reason }),
            Isolation::Auto | Isolation::ProcessGroup => Ok(host(Isolation::ProcessGroup)),
        }
    }

    fn run(&self, command: Command, input: Vec<u8>) -> Result<Ended, SandboxError> {
        run(command, input, self.time(), self.output_bytes()).map_err(system("starting a program"))?
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.config.time_s)
    }

    fn output_bytes(&self) -> u64 {
        self.config.output_kb << 10
    }

    /// A command that closes the sandbox around itself and then runs a Python program with its arguments.
    fn command<'a>(
        &self,
        host: &Host,
        folder: &Path,
        program: impl IntoIterator<Item = &'a OsStr>,
    ) -> Command {
        const UNSHARE: [&str; 9] = [
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "--",
        ];
        const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let namespaces = host.isolation == Isolation::Namespaces;
        let mut command = if namespaces {
            let mut command = Command::new("unshare");
            command.args(UNSHARE).arg(&host.python);
            command
        } else {
            Command::new(&host.python)
        };
        let config = &self.config;
        let plan = serde_json::json!({
            "namespaces": namespaces,
            "folder": folder,
            "folder_bytes": config.folder_kb << 10,
            "folder_files": config.files + 1, // The folder itself is one.
            "cpu_s": config.time_s.ceil() + 1.0,
            "open_files": config.open_files,
            "processes": config.processes,
            "memory_bytes": config.memory_mb << 20,
        });
        command.args(["-I", "-S", "-B", "-c", BOOT]).arg(plan.to_string());
        command
            .arg(&host.python)
            .args(["-B", "-s", "-X", "utf8"])
            .args(program);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8");
        command.env("HOME", folder).env("TMPDIR", folder);
        // The order of a set must not differ from run to run.
        command
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        // One thread each: the number of processes is limited.
        command
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1");
        command
    }
}

/// A folder with files and empty folders, removed when dropped.
struct Room(TempDir);

impl Room {
    fn new(files: &[(&str, &str)], folders: &[&str]) -> Result<Self, SandboxError> {
        let failed = system("making the working folder");
        let room = Self(
            tempfile::Builder::new()
                .prefix("groupwise-")
                .tempdir()
                .map_err(&failed)?,
        );
        for (name, content) in files {
            fs::write(room.path(name), content).map_err(&failed)?;
        }
        for name in folders {
            fs::create_dir(room.path(name)).map_err(&failed)?;
        }
        Ok(room)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
