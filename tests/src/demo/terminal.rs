//! Where the story is shown: redrawn on a terminal, one line for each transition elsewhere.

use super::{
    frame::{HEIGHT, Row, WIDTH, clock},
    world::World,
};
use std::{
    io::{IsTerminal, Write, stdout},
    time::{Duration, Instant},
};

/// The least time between two pictures.
const PAUSE: Duration = Duration::from_millis(500);

/// The output of one run. Dropping it gives the terminal back.
pub struct Screen {
    redrawn: bool,
    colour: bool,
    last: Option<Instant>,
    printed: usize,
}

impl Screen {
    /// Looks at what standard output is.
    pub fn new() -> Self {
        let size = rustix::termios::tcgetwinsize(stdout()).map(|size| (size.ws_col, size.ws_row));
        let fits = size.is_ok_and(|(columns, rows)| usize::from(columns) >= WIDTH && usize::from(rows) >= HEIGHT);
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            redrawn: stdout().is_terminal() && fits && !dumb,
            colour,
            last: None,
            printed: 0,
        }
    }

    /// Takes the terminal over, if it is one.
    pub fn begin(&self) {
        if self.redrawn {
            write("\x1b[?1049h\x1b[?25l\x1b[2J");
        }
    }

    /// Shows what is new.
    pub fn show(&mut self, world: &World, frame: impl FnOnce() -> Vec<Row>) {
        if !self.redrawn {
            self.lines(world);
            return;
        }
        if self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        self.last = Some(Instant::now());
        let rows = frame();
        // The rows are apart, not ended: a line feed after the last would scroll.
        let text: Vec<String> = rows
            .iter()
            .map(|row: &Row| format!("{}\x1b[K", row.print(self.colour)))
            .collect();
        write(&format!("\x1b[H{}", text.join("\r\n")));
    }

    /// Gives the terminal back, and leaves the whole story on it.
    pub fn end(&mut self, world: &World) {
        if self.redrawn {
            write("\x1b[?25h\x1b[?1049l");
            self.redrawn = false;
        }
        self.lines(world);
    }

    fn lines(&mut self, world: &World) {
        for line in world.lines.iter().skip(self.printed) {
            let who = line.who.unwrap_or("demo");
            write(&format!(
                "{:>6}  {who:<8}  {}\n",
                clock(world.elapsed(line.at)),
                line.text
            ));
        }
        self.printed = world.lines.len();
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.redrawn {
            write("\x1b[?25h\x1b[?1049l");
        }
    }
}

fn write(text: &str) {
    let mut out = stdout().lock();
    // Nobody may be reading any more; the report is written all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
