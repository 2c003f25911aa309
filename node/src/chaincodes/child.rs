//! A child process that is kept running: started again when it ends, its output in the node's log.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::kind::Program;

/// How long after its end a process is started again: at first, and at most. Twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A process that ran as long is started again at once, nearly.
const SETTLED: Duration = Duration::from_secs(30);
/// How long a process may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// Runs a program, and ends the whole process group when the node that started it is gone, however it went: its end
/// of this shell's standard input is closed then. Some shims go on without a peer.
/// The shell itself outlives the first request to end, so that the program has the time that it is given.
const GUARD: &str = r#"exec 3<&0
(exec >/dev/null 2>&1; trap '' TERM; cat <&3; kill -TERM 0; sleep 5; kill -KILL 0) &
trap : TERM
"$@" 3<&- </dev/null &
program=$!
wait $program
status=$?
while kill -0 $program 2>/dev/null; do wait $program; status=$?; done
exit $status"#;
/// What variables of the node begin with that are not for chaincodes: they have secrets, or would change what a shim
/// does.
const NOT_FOR_CHAINCODES: [&str; 3] = ["QUIRE_", "CORE_", "CHAINCODE_"];
/// Bytes of a line of its output that are kept.
const MAX_LINE_BYTES: u64 = 4 << 10;

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// What the node's log calls it.
    pub(crate) name: Arc<str>,
    /// Where it runs.
    pub(crate) dir: PathBuf,
    pub(crate) program: Program,
    pub(crate) env: Vec<(&'static str, String)>,
}

/// A process that is kept running as long as this exists. If it is dropped, the process is ended soon.
#[derive(Debug)]
pub(crate) struct Kept {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a process that was run once came to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It cannot be started.
    #[error("{program} cannot be started")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed. What it said is in the log.
    #[error("{program} failed ({status})")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
}

impl Run {
    /// Runs it to its end.
    pub(crate) async fn once(&self) -> Result<(), RunError> {
        let program = || self.program.program.display().to_string();
        let failed = |source| RunError::Start {
            program: program(),
            source,
        };
        let mut child = self.start().map_err(failed)?;
        let guarded = child.stdin.take();
        let output = self.log_output(&mut child);
        let status = child.wait().await.map_err(failed)?;
        drop(guarded);
        output.finish().await;
        if status.success() {
            return Ok(());
        }
        let program = program();
        Err(RunError::Failed { program, status })
    }

    /// Runs it again and again until the caller stops it.
    pub(crate) fn keep(self) -> Kept {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(self.keep_running(stopped));
        Kept { stop, task }
    }

    async fn keep_running(self, mut stopped: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let how = match self.start() {
                Ok(mut child) => {
                    let guarded = child.stdin.take();
                    let output = self.log_output(&mut child);
                    tokio::select! {
                        ended = child.wait() => {
                            drop(guarded);
                            output.finish().await;
                            ended.map_or_else(|error| error.to_string(), |status| status.to_string())
                        }
                        () = asked(&mut stopped) => {
                            end(&mut child).await;
                            return;
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= SETTLED {
                pause = FIRST_PAUSE;
            }
            let again = format!("{pause:?}");
            tracing::warn!(chaincode = %self.name, how, again, "the chaincode's process ended");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = asked(&mut stopped) => return,
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Starts it in a process group of its own, because what it starts in turn has to end with it. The group ends
    /// when the child's standard input is dropped.
    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if NOT_FOR_CHAINCODES
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command
            .args(["-c", GUARD, "sh"])
            .arg(&self.program.program)
            .args(&self.program.args)
            .current_dir(&self.dir)
            .envs(self.env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    fn log_output(&self, child: &mut Child) -> Output {
        let stdout = child.stdout.take().map(|stdout| self.log(stdout));
        let stderr = child.stderr.take().map(|stderr| self.log(stderr));
        Output([stdout, stderr])
    }

    fn log(&self, output: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let name = Arc::clone(&self.name);
        tokio::spawn(async move {
            let mut output = BufReader::new(output);
            while let Ok(Some(line)) = next_line(&mut output).await {
                tracing::info!(chaincode = %name, "{line}");
            }
        })
    }
}

/// Those who put the output of a process into the log.
struct Output([Option<JoinHandle<()>>; 2]);

impl Output {
    /// Waits for what a process that ended said last. Where a grandchild still has the pipe, that is not
    /// waited for.
    async fn finish(self) {
        for task in self.0.into_iter().flatten() {
            let abort = task.abort_handle();
            if tokio::time::timeout(GRACE, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Kept {
    /// Asks the process to end, and makes it after five seconds. Returns when it has.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // A task that panicked has dropped its process.
        self.task.await.ok();
    }
}

/// The next line of an output, cut where it is too long; none at its end.
async fn next_line(
    output: &mut (impl AsyncBufRead + Unpin + Send),
) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    (&mut *output)
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', &mut line)
        .await?;
    if line.is_empty() {
        return Ok(None);
    }
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// Returns when the process is to end.
pub(super) async fn asked(stopped: &mut watch::Receiver<bool>) {
    // An error says that nobody keeps the process any more.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

/// Ends a process with all that it started.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let group = group.and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group
            && let Err(error) = kill_process_group(group, signal)
        {
            tracing::debug!(%error, "a chaincode's process was not told to end");
        }
    };
    signal(Signal::TERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        signal(Signal::KILL);
        child.wait().await.ok();
    }
    // What the process started may have outlived it.
    signal(Signal::KILL);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn script(dir: &Path, text: &str) -> Run {
        Run {
            name: "script".into(),
            dir: dir.to_owned(),
            program: Program {
                program: "sh".into(),
                args: vec!["-c".into(), text.into()],
            },
            env: vec![("CORE_PEER_ADDRESS", "127.0.0.1:7052".to_owned())],
        }
    }

    /// Waits until a file has so many lines; the lines.
    async fn lines(path: &Path, count: usize) -> Vec<String> {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie is not alive: nobody here reaps a grandchild.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        !state.is_empty() && !state.starts_with('Z')
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_that_ends_is_started_again_and_ends_when_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("starts");
        let text = "echo $$ $CORE_PEER_ADDRESS >> starts; test $(wc -l < starts) = 1 && exit 3; exec sleep 600";
        let kept = script(dir.path(), text).keep();
        let starts = lines(&file, 2).await;
        assert!(starts[0].ends_with(" 127.0.0.1:7052"), "{starts:?}");
        let pid = starts[1].split(' ').next().unwrap();
        assert!(is_alive(pid));
        kept.stop().await;
        assert!(!is_alive(pid));
        assert_eq!(lines(&file, 2).await.len(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_process_started_ends_with_it_also_where_it_ignores_the_request() {
        let dir = tempfile::tempdir().unwrap();
        let text = "sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 1; done' & wait";
        let kept = script(dir.path(), text).keep();
        let child = lines(&dir.path().join("child"), 1).await.remove(0);
        assert!(is_alive(&child));
        kept.stop().await;
        while is_alive(&child) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_node_started_ends_with_it_however_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let text = "sh -c 'echo $$ > grandchild; exec sleep 600' & echo $$ > child; wait";
        let mut child = script(dir.path(), text).start().unwrap();
        let guarded = child.stdin.take().unwrap();
        let mut pids = lines(&dir.path().join("child"), 1).await;
        pids.extend(lines(&dir.path().join("grandchild"), 1).await);
        assert!(pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
        // As the kernel does with a process that is killed.
        drop(guarded);
        while pids.iter().any(|pid| is_alive(pid)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_build_that_fails_is_told_and_one_that_cannot_be_started() {
        let dir = tempfile::tempdir().unwrap();
        let failed = script(dir.path(), "echo broken >&2; exit 7").once().await;
        assert!(matches!(failed, Err(RunError::Failed { status, .. }) if status.code() == Some(7)));
        script(dir.path(), "exit 0").once().await.unwrap();
        let mut missing = script(dir.path(), "");
        missing.program.program = "no-such-program".into();
        assert!(
            matches!(missing.once().await, Err(RunError::Failed { status, .. }) if status.code() == Some(127))
        );
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut() {
        let endless = vec![b'x'; 3 * 4096 + 5];
        let mut output = BufReader::new(&endless[..]);
        let mut lengths = Vec::new();
        while let Some(line) = next_line(&mut output).await.unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [4096, 4096, 4096, 5]);
    }
}
