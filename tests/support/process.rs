//! A program under test: its output is collected, and it never outlives its test.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

/// No program is waited for longer, for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a program.
const LOOK: Duration = Duration::from_millis(10);

/// A running program; dropping it kills it.
pub(crate) struct Program {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// What came out of one pipe so far.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts it with nothing to read.
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = Output::collect(child.stdout.take().expect("piped"));
        let stderr = Output::collect(child.stderr.take().expect("piped"));
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has logged so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Both, for the message of a failed test.
    pub(crate) fn said(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr())
    }

    /// Waits until `find` finds something in what it prints and logs.
    pub(crate) async fn until<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = find(&self.said()) {
                return found;
            }
            let ended = self.child.try_wait().expect("a child to ask for");
            assert!(
                began.elapsed() < PATIENCE && ended.is_none(),
                "waited for {what}; ended: {ended:?}; {}",
                self.said()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for its end and gives how it ended and how long that took.
    pub(crate) async fn ended(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child to ask for") {
                self.stdout.finish();
                self.stderr.finish();
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "it does not end; {}", self.said());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its process id.
    #[allow(dead_code, reason = "few tests clean up after a program that was killed")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `INT`, `HUP` or `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {}", self.child.id()))
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal was sent");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                filled.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    /// Waits for the pipe's end.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader that does not panic");
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}
