//! A terminal for a test: the test types into it, and reads its screen.
//!
//! Nothing is ever slept for: a test waits until the screen shows what it should, on a loaded machine
//! as long as it takes.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::super::command::Folder;

/// Longer than any machine needs.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) const CTRL_C: &str = "\x03";
pub(super) const CTRL_D: &str = "\x04";
pub(super) const CTRL_R: &str = "\x12";
pub(super) const UP: &str = "\x1b[A";

/// A terminal with a prompt on it.
pub(super) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    input: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

const ROWS: NonZero<u16> = NonZero::new(40).unwrap();

fn nonzero(cols: u16) -> NonZero<u16> {
    NonZero::new(cols).unwrap()
}

const fn size(cols: u16) -> PtySize {
    PtySize { rows: ROWS.get(), cols, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    /// The prompt on the store `facts` in this folder.
    pub(super) fn open(folder: &Folder, cols: u16) -> Self {
        Self::open_with(folder, cols, &[])
    }

    pub(super) fn open_with(folder: &Folder, cols: u16, env: &[(&str, &str)]) -> Self {
        let mut terminal = Self::start(folder, &["repl", "facts"], cols, env);
        terminal.wait_for("To begin with:");
        terminal.wait("the prompt", prompt_waits);
        terminal
    }

    /// Any command.
    pub(super) fn start(folder: &Folder, args: &[&str], cols: u16, env: &[(&str, &str)]) -> Self {
        let pty = native_pty_system().openpty(size(cols)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ostracon"));
        command.args(args);
        command.cwd(folder.path("."));
        for name in ["NO_COLOR", "PAGER", "OSTRACON_FORMAT", "COLUMNS", "LINES", "LESS"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("PAGER", "");
        command.env("XDG_CONFIG_HOME", folder.path("config"));
        command.env("XDG_STATE_HOME", folder.path("state"));
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let (mut output, input) = (pty.master.try_clone_reader().unwrap(), pty.master.take_writer().unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, nonzero(cols), 0)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (into, all) = (Arc::clone(&screen), Arc::clone(&bytes));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // At its end a terminal fails to be read.
            while let Ok(read) = output.read(&mut buffer) {
                if read == 0 {
                    break;
                }
                into.lock().unwrap().process(&buffer[..read]);
                all.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { master: pty.master, child, input, screen, bytes }
    }

    /// Presses these keys.
    pub(super) fn keys(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Types a line, and waits until the prompt comes back with this on the screen.
    #[track_caller]
    pub(super) fn ask(&mut self, line: &str, expected: &str) -> String {
        self.keys(line);
        // Text that is typed before the editor reads is shown twice: by the terminal, and by the editor.
        let last = line.chars().last().unwrap();
        self.wait(line, |screen| cursor_line(screen).ends_with(last));
        self.keys("\r");
        self.wait(expected, |screen| screen.contents().contains(expected) && prompt_waits(screen))
    }

    /// Presses Ctrl-C, and waits for an empty prompt.
    #[track_caller]
    pub(super) fn stop(&mut self) {
        self.keys(CTRL_C);
        self.wait("an empty prompt", prompt_waits);
    }

    #[track_caller]
    pub(super) fn wait_for(&mut self, expected: &str) -> String {
        self.wait(expected, |screen| screen.contents().contains(expected))
    }

    /// Waits until the screen meets a condition, and returns its text.
    #[track_caller]
    pub(super) fn wait(&mut self, what: &str, is: impl Fn(&vt100::Screen) -> bool) -> String {
        let begun = Instant::now();
        loop {
            {
                let parser = self.screen.lock().unwrap();
                if is(parser.screen()) {
                    return parser.screen().contents();
                }
                assert!(begun.elapsed() < DEADLINE, "waited for {what:?}:\n{}", parser.screen().contents());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses a key again and again, until the screen shows this.
    #[track_caller]
    pub(super) fn press_until(&mut self, key: &str, expected: &str) {
        let begun = Instant::now();
        while !self.screen.lock().unwrap().screen().contents().contains(expected) {
            assert!(begun.elapsed() < DEADLINE, "{expected:?} never came:\n{}", self.contents());
            self.keys(key);
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    pub(super) fn contents(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Whether the first occurrence on the screen has a colour of its own.
    pub(super) fn is_coloured(&self, symbol: char) -> Option<bool> {
        let parser = self.screen.lock().unwrap();
        let (rows, cols) = parser.screen().size();
        let mut cells = (0..rows.get()).flat_map(|row| (0..cols.get()).map(move |col| (row, col)));
        cells.find_map(|(row, col)| {
            let cell = parser.screen().cell(row, col)?;
            cell.contents().contains(symbol).then(|| cell.fgcolor() != vt100::Color::Default)
        })
    }

    /// Everything that was ever sent to the terminal.
    pub(super) fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Sends the command a signal, as a service manager does.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Everything that was sent to the terminal until the command ended.
    #[track_caller]
    pub(super) fn bytes_at_end(mut self) -> String {
        self.wait_for_end();
        // Its last output may still be on its way.
        std::thread::sleep(Duration::from_millis(300));
        self.bytes()
    }

    pub(super) fn resize(&mut self, cols: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(ROWS, nonzero(cols));
        self.master.resize(size(cols)).unwrap();
    }

    /// Waits until the command has ended, and gives its exit code.
    #[track_caller]
    pub(super) fn end(mut self) -> u32 {
        self.wait_for_end()
    }

    #[track_caller]
    fn wait_for_end(&mut self) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(begun.elapsed() < DEADLINE, "it never ended:\n{}", self.contents());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text left of the cursor.
fn cursor_line(screen: &vt100::Screen) -> String {
    let (row, column) = screen.cursor_position();
    screen.contents_between(row, 0, row, column)
}

/// Whether the cursor stands after a prompt with nothing typed.
fn prompt_waits(screen: &vt100::Screen) -> bool {
    let line = cursor_line(screen);
    line.starts_with("facts") && line.trim_end().ends_with('>')
}
